"""Records: what a partition's log is made of, as bytes.

A *Fence* says who may append from here on; a *Settled* says what became of entries. As a batch,
a record is an index line in JSON and then the payloads of what was published, and those of the
sequels, each raw on a line:

    ["fence",1,"<writer>","<nonce>","<epoch>",<partitions>,<wall time>,<cut>,<after>,<followed>]
    ["settled",1,<after>,<wall time>,[["<producer>",<number>,<size>,<first>,[<outcome>, …]], …],
     [<sequel>, …],<followed>,[["<channel>","<key>"], …],"<nonce>"]

An outcome is an array whose first element says its kind: 0 published, 1 done, 2 refused,
3 replied, 4 ordered. A *sequel* is what has to be done elsewhere because the record counts: 0 an
entry for a pool, 1 a dead letter. It is done after the record was read back, by whoever owns the
partition then, until a later record says that all up to some position have been `followed`.

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
    followed: int = -1
    """The sequels of the records up to this position are done."""


class Published(msgspec.Struct, frozen=True, array_like=True, tag=0, gc=False):
    """An entry became a publication, which the channel's subscribers receive."""

    channel: str
    period: int
    """Start of the period of the channel's first publication, log time in seconds; see `epoch`."""
    offset: int
    """The publication's number in its channel, from 1; 0 in a channel without history."""
    payload_bytes: int
    sender: msgspec.Raw = NO_SENDER
    key: str = ""
    """The entry's: until it is forgotten, nothing is published with it again."""


class Done(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """An entry was carried out and leaves nothing to publish."""


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """An entry was not carried out; its sender is told why."""

    code: int
    message: str


class Replied(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """An entry was a call, and this is what it gave back, for the caller alone."""

    data: bytes
    """In the index, as base64: it may be no JSON, and is small as a rule."""


class Ordered(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """An entry was an order, which every front carries out: its payload."""

    order: bytes


Outcome = Published | Done | Refused | Replied | Ordered


class NextEntry(msgspec.Struct, frozen=True, array_like=True, tag=0, gc=False):
    """A sequel: an entry to be put into the pool of its own partition."""

    kind: int
    channel: str
    sender: msgspec.Raw
    payload_bytes: int
    lane: str
    partition: int


class Letter(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """A sequel: a dead letter; its payload is a batch of the one entry."""

    reason: str
    explanation: str
    channel: str
    attempts: int
    payload_bytes: int


Sequel = NextEntry | Letter


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
    sequels: list[Sequel] = []
    followed: int = -1
    keys: list[tuple[str, str]] = []
    nonce: str = ""


class Settled(msgspec.Struct, frozen=True):
    """Outcomes of entries; counts only if `after` is the position of the last record that did."""

    after: int
    wall_ms: int
    batches: list[Outcomes]
    payloads: list[bytes]
    """The payload of each `Published`, in the order in which they stand in `batches`."""
    sequels: list[Sequel] = []
    sequel_payloads: list[bytes] = []
    followed: int = -1
    """The sequels of the records up to this position are done."""
    keys: list[tuple[str, str]] = []
    """Channel and key of the entries that had one and were carried out without a publication."""
    nonce: str = ""
    """Of the Fence behind which it counts; empty for any. A log that lost its tail gives positions
    again, and there `after` alone may be that of another record."""


Record = Fence | Settled

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Fence | _SettledIndex)


def encode_fence(fence: Fence) -> bytes:
    """Write a Fence as a stream message's body."""
    return _encoder.encode(fence)


def encode_settled(
    after: int,
    wall_ms: int,
    batches: Sequence[Outcomes],
    payloads: Sequence[bytes],
    sequels: Sequence[Sequel] = (),
    sequel_payloads: Sequence[bytes] = (),
    followed: int = -1,
    keys: Sequence[tuple[str, str]] = (),
    nonce: str = "",
) -> bytes:
    """Write a Settled as a stream message's body."""
    index = _SettledIndex(
        FORMAT_VERSION,
        after,
        wall_ms,
        list(batches),
        list(sequels),
        followed,
        list(keys),
        nonce,
    )
    return b"\n".join([_encoder.encode(index), *payloads, *sequel_payloads])


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
    of_outcomes = len(lengths)
    lengths += [sequel.payload_bytes for sequel in index.sequels]
    payloads = list(cut_payloads(body, first_payload, lengths))
    return Settled(
        index.after,
        index.wall_ms,
        index.batches,
        payloads[:of_outcomes],
        index.sequels,
        payloads[of_outcomes:],
        index.followed,
        index.keys,
        index.nonce,
    )


def channel_epoch(log_epoch: str, period: int) -> str:
    """The epoch clients see: of the log, and of the channel's life in it."""
    return f"{log_epoch}.{period:x}"
