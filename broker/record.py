"""Records: what a partition's log is made of, as bytes.

A *Fence* says who may append from here on; a *Settled* says what became of entries. As a batch,
a record is an index line in JSON and then the payloads of what was published, each raw on a line:

    ["fence",1,"<writer>","<nonce>","<epoch>",<partitions>,<wall time>,<cut>,<after>]
    ["settled",1,<after>,<wall time>,[["<producer>",<number>,<size>,<first>,[<outcome>, …]], …]]

An outcome is an array whose first element says its kind: 0 published, 1 done, 2 refused.

Rules: the second field is the format's version; a process reads its own version and the one
before it. New fields go to the end and have a default.
"""

from collections.abc import Sequence

import msgspec

from broker.batch import FORMAT_VERSION, NO_SENDER, cut_payloads, split_index
from broker.errors import UndecodableBody

_OLDEST_READABLE_VERSION = 1


class Fence(msgspec.Struct, frozen=True, array_like=True, tag="fence", gc=False):
    """From here on only `writer`, with this `nonce`, may append what counts."""

    version: int
    writer: str
    nonce: str
    epoch: str
    """The log's epoch: changes when the log lost its tail or was made anew."""
    partitions: int
    """How many partitions the lane has; a process that thinks otherwise must not start."""
    wall_seconds: int
    """The writer's clock. The greatest one shown so far is the log's time."""
    cut: bool = False
    """Whether a new epoch begins here, and with it every channel afresh."""
    after: int = -1
    """What its writer knew as the last record that counted; -1 for nothing. It counts all the same,
    but a reader that has not got so far has missed something."""


class Published(msgspec.Struct, frozen=True, array_like=True, tag=0, gc=False):
    """An entry became a publication, which the channel's subscribers receive."""

    channel: str
    period: int
    """Start of the period of the channel's first publication, log time in seconds; see `epoch`."""
    offset: int
    """The publication's number in its channel, from 1; 0 in a channel without history."""
    payload_bytes: int
    sender: msgspec.Raw = NO_SENDER


class Done(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """An entry was carried out and leaves nothing to publish."""


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """An entry was not carried out; its sender is told why."""

    code: int
    message: str


Outcome = Published | Done | Refused


class Outcomes(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of some entries of one batch: those from `first` on, in their order."""

    producer: str
    number: int
    size: int
    """How many entries the whole batch has."""
    first: int
    outcomes: list[Outcome]


class _SettledIndex(msgspec.Struct, frozen=True, array_like=True, tag="settled", gc=False):
    version: int
    after: int
    wall_ms: int
    batches: list[Outcomes]


class Settled(msgspec.Struct, frozen=True):
    """Outcomes of entries; counts only if `after` is the position of the last record that did."""

    after: int
    wall_ms: int
    batches: list[Outcomes]
    payloads: list[bytes]
    """The payload of each `Published`, in the order in which they stand in `batches`."""


Record = Fence | Settled

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Fence | _SettledIndex)


def encode_fence(fence: Fence) -> bytes:
    """Write a Fence as a stream message's body."""
    return _encoder.encode(fence)


def encode_settled(
    after: int, wall_ms: int, batches: Sequence[Outcomes], payloads: Sequence[bytes]
) -> bytes:
    """Write a Settled as a stream message's body."""
    index = _SettledIndex(FORMAT_VERSION, after, wall_ms, list(batches))
    return b"\n".join([_encoder.encode(index), *payloads])


def decode_record(body: bytes) -> Record:
    """Read a stream message's body.

    Raises:
        UndecodableBody: it is no record, or one of a format this process does not know.
    """
    index, first_payload = split_index(body, _decoder, "record")
    if not _OLDEST_READABLE_VERSION <= index.version <= FORMAT_VERSION:
        raise UndecodableBody(f"a record of format version {index.version}, not readable here")
    if isinstance(index, Fence):
        if first_payload != len(body):
            raise UndecodableBody("something follows a Fence")
        return index
    lengths = [
        outcome.payload_bytes
        for batch in index.batches
        for outcome in batch.outcomes
        if type(outcome) is Published
    ]
    payloads = list(cut_payloads(body, first_payload, lengths))
    return Settled(index.after, index.wall_ms, index.batches, payloads)


def channel_epoch(log_epoch: str, period: int) -> str:
    """The epoch clients see: of the log, and of the channel's life in it."""
    return f"{log_epoch}.{period:x}"
