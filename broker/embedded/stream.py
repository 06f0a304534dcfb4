"""A stream in memory: what is kept, and its readers.

Rules: a reader holds a position and no records, so that a slow one costs nothing; retention may
overtake it, and it goes on with the first record that is kept.
"""

import math
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

from broker.embedded.signal import Signal
from broker.embedded.travel import Leg, Travel, one_turn
from broker.errors import BrokerUnavailable, StreamEmpty
from broker.interface import Position, Since, StoredRecord

# One position in eight, from the fourth on, is never given to a record. RabbitMQ's positions have
# such holes where it writes chunks of its own; a test that counts on none should fail here too.
_HOLE_EVERY = 8
_HOLE_AT = 3

# A reader gets what has arrived, but leaves the event loop a turn after this many records.
_READ_AT_MOST = 1000

# What a record costs beside its body, so that empty ones fill a stream as well.
_RECORD_BYTES = 64

# Dropped records leave the list in one go once they are both this many and half of it.
_COMPACT_AT = 1024


class KeptRecord(NamedTuple):
    """A record, and what the node knows about it."""

    stored: StoredRecord
    entries: int
    unix_seconds: float


class StoredStream:
    """The records of one stream; beyond `limit_bytes` the oldest are dropped."""

    def __init__(self, limit_bytes: int, wall_clock: Callable[[], float]) -> None:
        self._limit_bytes = limit_bytes
        self._wall_clock = wall_clock
        self._records: list[KeptRecord] = []
        self._first = 0
        self._bytes = 0
        self._next_position: Position = 0
        self._readers: dict[EmbeddedReader, None] = {}
        self.is_deleted = False

    def store(self, body: bytes, entries: int) -> None:
        """Add a record, drop the oldest beyond the limit and tell the readers."""
        self._records.append(
            KeptRecord(StoredRecord(self._next_position, body), entries, self._now())
        )
        self._next_position += 1
        if self._next_position % _HOLE_EVERY == _HOLE_AT:
            self._next_position += 1
        self._bytes += len(body) + _RECORD_BYTES
        self._drop_oldest()
        for reader in self._readers:
            reader.look_again()

    def kept(self) -> Sequence[KeptRecord]:
        """All that is kept, oldest first."""
        return self._records[self._first :]

    def records_from(self, position: Position) -> Sequence[StoredRecord]:
        """Give the first records at or after a position; none if it is past the end."""
        start = bisect_left(
            self._records, position, lo=self._first, key=lambda kept: kept.stored.position
        )
        return [kept.stored for kept in self._records[start : start + _READ_AT_MOST]]

    def position_since(self, since: Since) -> Position:
        """Give the first record's position of that second; the next one's if all are older."""
        index = bisect_left(
            self._records,
            float(math.floor(since.unix_seconds)),
            lo=self._first,
            key=lambda kept: kept.unix_seconds,
        )
        if index < len(self._records):
            return self._records[index].stored.position
        return self._next_position

    def end(self) -> Position:
        """Give the last record's position.

        Raises:
            StreamEmpty: the stream holds nothing.
        """
        if self._first == len(self._records):
            raise StreamEmpty("the stream holds nothing")
        return self._records[-1].stored.position

    def open_reader(self, start: Position | Since, travel: Travel = one_turn) -> "EmbeddedReader":
        """Follow the stream from `start` on, until the reader is closed."""
        position = self.position_since(start) if isinstance(start, Since) else start
        reader = EmbeddedReader(self, position, travel)
        self._readers[reader] = None
        return reader

    def forget(self, reader: "EmbeddedReader") -> None:
        """Tell a closed reader nothing any more."""
        self._readers.pop(reader, None)

    def lose_tail(self, count: int) -> None:
        """Lose the newest records, whose positions are then given anew, and close all readers."""
        for _ in range(min(count, len(self._records) - self._first)):
            lost = self._records.pop()
            self._next_position = lost.stored.position
            self._bytes -= len(lost.stored.body) + _RECORD_BYTES
        self._close_readers()

    def delete(self) -> None:
        """Be no longer there, and close all readers."""
        self.is_deleted = True
        self._close_readers()

    def recreate(self) -> None:
        """Lose everything, begin with the first position again, and close all readers."""
        self.is_deleted = False
        self._records = []
        self._first = self._bytes = self._next_position = 0
        self._close_readers()

    def _close_readers(self) -> None:
        for reader in list(self._readers):
            reader.close()

    def _now(self) -> float:
        """The wall clock, but never going back: `position_since` searches by it."""
        now = self._wall_clock()
        if self._first < len(self._records):
            return max(now, self._records[-1].unix_seconds)
        return now

    def _drop_oldest(self) -> None:
        while self._bytes > self._limit_bytes and self._first < len(self._records) - 1:
            self._bytes -= len(self._records[self._first].stored.body) + _RECORD_BYTES
            self._first += 1
        if self._first >= _COMPACT_AT and self._first * 2 >= len(self._records):
            del self._records[: self._first]
            self._first = 0


class EmbeddedReader:
    """An open read of one stream."""

    def __init__(self, stream: StoredStream, position: Position, travel: Travel) -> None:
        self._stream = stream
        self._travel = travel
        self._position = position
        self._is_closed = False
        self.is_deaf = False
        """Whether it is told of nothing more, and not of that either."""
        self._signal = Signal()

    def __aiter__(self) -> AsyncIterator[Sequence[StoredRecord]]:
        return self

    async def __anext__(self) -> Sequence[StoredRecord]:
        """Wait for records; give those that have arrived.

        Raises:
            BrokerUnavailable: the reader is closed.

        Cancelling: nothing is lost.
        """
        await self._travel(Leg.READING)
        while not self._is_closed:
            records = self._stream.records_from(self._position)
            if records and not self.is_deaf:
                self._position = records[-1].position + 1
                return records
            await self._signal.wait()
            await self._travel(Leg.READING)
        raise BrokerUnavailable("the read was closed")

    def look_again(self) -> None:
        """Have who waits see what has arrived."""
        self._signal.wake()

    def close(self) -> None:
        """End the read; closing twice is harmless."""
        self._is_closed = True
        self._stream.forget(self)
        self._signal.wake()
