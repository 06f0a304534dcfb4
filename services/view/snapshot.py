"""Snapshots: a partition's state as records of its `tops` stream, so that a start is quick.

A snapshot is a head and as many parts as it takes, one AMQP message each:

    ["head",1,"<id>",<parts>,<log position>,<digest>,<ledger>]
    ["part",1,"<id>",<part>,[["<channel>",[<period>,<offset>,<last seconds>]], …],[<producer>, …]]

Rules:
- A snapshot says what a log adds up to at one of its positions. Whoever wrote it, even a worker
  that no longer owns the partition, folded it from the log; so any complete one is right.
- `digest` is that of the record at that position: a log that has another record there is not the
  log the snapshot was taken of.
- Parts may be torn off or mixed with another snapshot's; only a complete one is used.
"""

from collections.abc import Iterable, Iterator

import msgspec

from broker.batch import FORMAT_VERSION
from broker.interface import Position
from services.view.ledger import LedgerState
from services.view.settled import ProducerState
from services.view.tops import Top

# About 128 KiB of channels, and 100 KiB of producers: small beside a message's limit, and an
# encoding step is a few milliseconds.
_ROWS_A_PART = 2_000
_PRODUCERS_A_PART = 500


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


class _Genesis(msgspec.Struct, frozen=True, array_like=True, tag="genesis", gc=False):
    """What the topology puts into the new stream, so that it has an end."""

    version: int


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Head | _Part | _Genesis)


class Snapshot(msgspec.Struct, frozen=True):
    """What a log adds up to at `position`."""

    position: Position
    digest: str
    ledger: LedgerState
    channels: list[tuple[str, Top]]
    producers: list[ProducerState]


def encode_snapshot(snapshot_id: str, snapshot: Snapshot) -> Iterator[bytes]:
    """Write a snapshot as bodies for the `tops` stream, one at a time."""
    channels, producers = snapshot.channels, snapshot.producers
    parts = max(-(-len(channels) // _ROWS_A_PART), -(-len(producers) // _PRODUCERS_A_PART))
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
        yield _encoder.encode(
            _Part(
                FORMAT_VERSION,
                snapshot_id,
                part,
                channels[rows : rows + _ROWS_A_PART],
                producers[names : names + _PRODUCERS_A_PART],
            )
        )


def latest_snapshot(bodies: Iterable[bytes]) -> Snapshot | None:
    """Give the last complete snapshot of a `tops` stream read in order; None if it has none.

    What is no part of a snapshot, or of a format this process does not know, is passed over: a
    snapshot is only ever a short cut.
    """
    latest: Snapshot | None = None
    head: _Head | None = None
    parts: list[_Part] = []
    for body in bodies:
        try:
            item = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if item.version > FORMAT_VERSION or isinstance(item, _Genesis):
            continue
        if isinstance(item, _Head):
            head, parts = item, []
        elif head is not None and item.snapshot == head.snapshot and item.part == len(parts):
            parts.append(item)
        if head is not None and len(parts) == head.parts:
            latest = _join(head, parts)
            head = None
    return latest


def _join(head: _Head, parts: list[_Part]) -> Snapshot:
    return Snapshot(
        head.position,
        head.digest,
        head.ledger,
        [row for part in parts for row in part.channels],
        [row for part in parts for row in part.producers],
    )
