"""Finds the snapshot that a start begins with, in a `tops` stream that is full of older ones.

Rules
- It is looked for from the end of the stream, further and further back: what is older is not read.
- Reading a large one leaves the loop to others after each part: a process that starts must answer
  heartbeats and pings too.

Not here: what is in a snapshot (`services.view.snapshot`), whether it is one of this log
(`log_reader`).
"""

import asyncio

import structlog

from broker.errors import StreamEmpty, UndecodableBody
from broker.follow import read_to_end
from broker.interface import Position, Stream
from services.view.snapshot import Snapshot, SnapshotSearch, WrittenSnapshot

_log = structlog.get_logger(__name__)

# A snapshot of 100,000 channels is 51 records, and somewhere among the last two of them a whole one
# ends and began, unless it was torn. Looking at too few costs another read, at too many 1 ms each.
_FIRST_REACH = 128
_REACH_FACTOR = 4


async def read_latest_snapshot(tops: Stream) -> Snapshot | None:
    """Give the last complete snapshot of a stream; None if it has none.

    Raises:
        BrokerUnavailable: the connection was lost half-way.
        TopologyProblem: there is no such stream.
    """
    written = await _find(tops)
    if written is None:
        return None
    snapshot: Snapshot | None = None
    try:
        for snapshot_so_far in written.reading():
            snapshot = snapshot_so_far
            await asyncio.sleep(0)
    except UndecodableBody as error:
        _log.warning("a snapshot cannot be read", position=written.position, reason=str(error))
        return None
    return snapshot


async def _find(tops: Stream) -> WrittenSnapshot | None:
    try:
        end = await tops.end()
    except StreamEmpty:
        return None
    reach = _FIRST_REACH
    while True:
        start = max(0, end + 1 - reach)
        search, first = await _search(tops, start, end)
        # Asked for what retention took, a stream begins with the first that it kept.
        if search.latest is not None or first > start or start == 0:
            return search.latest
        reach *= _REACH_FACTOR


async def _search(tops: Stream, start: Position, end: Position) -> tuple[SnapshotSearch, Position]:
    """Look through the stream from `start` on; give the position of its first record too."""
    search = SnapshotSearch()
    first: Position | None = None
    async for record in read_to_end(tops, start, end):
        first = record.position if first is None else first
        search.look_at(record.body)
    return search, start if first is None else first
