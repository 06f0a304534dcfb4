"""Snapshots: a partition's state as records of its `tops` stream, so that a start is quick.

A snapshot is a head and as many parts as it takes, one AMQP message each:

    ["head",1,"<id>",<parts>,<log position>,<digest>,<ledger>]
    ["part",1,"<id>",<part>,[["<channel>",[<period>,<offset>,<last seconds>]], …],[<producer>, …],
     [["<digest of a key>",<seconds>], …]]

Rules:
- A snapshot says what a log adds up to at one of its positions. Whoever wrote it, even a worker
  that no longer owns the partition, folded it from the log; so any complete one is right.
- `digest` is that of the record at that position: a log that has another record there is not the
  log the snapshot was taken of.
- Parts may be torn off or mixed with another snapshot's; only a complete one is used.
- A stream is full of snapshots and one of them is wanted: rows are not looked at before it is clear
  whose, and then a part at a time, so that whoever must not be held up can do something between.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator

import msgspec

from broker.batch import FORMAT_VERSION
from broker.errors import UndecodableBody
from broker.interface import Position
from services.view.keys import Row
from services.view.ledger import LedgerState
from services.view.settled import ProducerState
from services.view.tops import Top

# About 128 KiB of channels, 100 KiB of producers, 80 KiB of keys: small beside a message's limit,
# and an encoding step is a few milliseconds.
_ROWS_A_PART = 2_000
_PRODUCERS_A_PART = 500
_KEYS_A_PART = 2_000


class _Head(msgspec.Struct, frozen=True, array_like=True, tag="head", gc=False):
    version: int
    snapshot: str
    parts: int
    position: Position
    digest: str
    ledger: LedgerState


class _Part(msgspec.Struct, frozen=True, array_like=True, tag="part", gc=False):
    version: int
    snapshot: str
    part: int
    channels: list[tuple[str, Top]]
    producers: list[ProducerState]
    keys: list[Row] = []


class _Sealed(msgspec.Struct, frozen=True, array_like=True, tag="part", gc=False):
    """A part whose rows were not looked at."""

    version: int
    snapshot: str
    part: int
    channels: msgspec.Raw
    producers: msgspec.Raw
    keys: msgspec.Raw = msgspec.Raw(b"[]")


class _Genesis(msgspec.Struct, frozen=True, array_like=True, tag="genesis", gc=False):
    """What the topology puts into the new stream, so that it has an end."""

    version: int


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Head | _Sealed | _Genesis)
_part_decoder = msgspec.json.Decoder(_Part)

# Two writers at once are one too many already; each further one only has to be let go of.
_UNFINISHED_AT_MOST = 4


class Snapshot(msgspec.Struct, frozen=True):
    """What a log adds up to at `position`."""

    position: Position
    digest: str
    ledger: LedgerState
    channels: list[tuple[str, Top]]
    producers: list[ProducerState]
    keys: list[Row] = []


def encode_snapshot(snapshot_id: str, snapshot: Snapshot) -> Iterator[bytes]:
    """Write a snapshot as bodies for the `tops` stream, one at a time."""
    channels, producers, keys = snapshot.channels, snapshot.producers, snapshot.keys
    parts = max(
        -(-len(channels) // _ROWS_A_PART),
        -(-len(producers) // _PRODUCERS_A_PART),
        -(-len(keys) // _KEYS_A_PART),
    )
    yield _encoder.encode(
        _Head(
            FORMAT_VERSION,
            snapshot_id,
            parts,
            snapshot.position,
            snapshot.digest,
            snapshot.ledger,
        )
    )
    for part in range(parts):
        rows, names = part * _ROWS_A_PART, part * _PRODUCERS_A_PART
        digests = part * _KEYS_A_PART
        yield _encoder.encode(
            _Part(
                FORMAT_VERSION,
                snapshot_id,
                part,
                channels[rows : rows + _ROWS_A_PART],
                producers[names : names + _PRODUCERS_A_PART],
                keys[digests : digests + _KEYS_A_PART],
            )
        )


class WrittenSnapshot:
    """A complete snapshot, as it was found in a stream."""

    def __init__(self, head: _Head, parts: list[bytes]) -> None:
        self._head = head
        self._parts = parts

    @property
    def position(self) -> Position:
        """Of which position of the log it is."""
        return self._head.position

    def reading(self) -> Iterator[Snapshot | None]:
        """Read a part a step; the last step gives all of it, the others nothing.

        Raises:
            UndecodableBody: a part has other rows than this process knows.
        """
        head = self._head
        channels: list[tuple[str, Top]] = []
        producers: list[ProducerState] = []
        keys: list[Row] = []
        for body in self._parts:
            try:
                part = _part_decoder.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise UndecodableBody(f"no part of a snapshot: {error}") from None
            channels += part.channels
            producers += part.producers
            keys += part.keys
            yield None
        yield Snapshot(head.position, head.digest, head.ledger, channels, producers, keys)


class SnapshotSearch:
    """Looks for the last complete snapshot in what it is shown of a `tops` stream, in order.

    What is no part of a snapshot, or of a format this process does not know, is passed over: a
    snapshot is only ever a short cut.
    """

    def __init__(self) -> None:
        self.latest: WrittenSnapshot | None = None
        """The one that was completed last."""
        self._unfinished: OrderedDict[str, tuple[_Head, list[bytes]]] = OrderedDict()

    def look_at(self, body: bytes) -> None:
        """Take the next body."""
        try:
            item = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if item.version > FORMAT_VERSION or isinstance(item, _Genesis):
            return
        if isinstance(item, _Head):
            self._begin(item)
        elif item.snapshot in self._unfinished:
            parts = self._unfinished[item.snapshot][1]
            if item.part == len(parts):
                parts.append(body)
        self._complete(item.snapshot)

    def _begin(self, head: _Head) -> None:
        self._unfinished.pop(head.snapshot, None)
        self._unfinished[head.snapshot] = head, []
        if len(self._unfinished) > _UNFINISHED_AT_MOST:
            self._unfinished.popitem(last=False)

    def _complete(self, snapshot_id: str) -> None:
        head, parts = self._unfinished.get(snapshot_id, (None, []))
        if head is not None and len(parts) == head.parts:
            self.latest = WrittenSnapshot(head, parts)
            del self._unfinished[snapshot_id]


def latest_snapshot(bodies: Iterable[bytes]) -> Snapshot | None:
    """Give the last complete snapshot of a `tops` stream read in order; None if it has none.

    Raises:
        UndecodableBody: a part has other rows than this process knows.
    """
    search = SnapshotSearch()
    for body in bodies:
        search.look_at(body)
    *_, snapshot = search.latest.reading() if search.latest is not None else (None,)
    return snapshot
