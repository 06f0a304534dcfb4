"""What the records of a log ask to be done elsewhere, and how far it has been done.

Every worker keeps what is still to be done of each log, as it keeps the view: whoever has the
partition next does it. What is done twice is recognised where it arrives, by a number that comes
from the record's position.

Rules
- In the order of the log; a record's sequels are done when all of them are.
- Only a later record says what is done (`followed`), so a new owner may do the last of it again.
- In memory are the first of them, up to `WAITING_BYTES_AT_MOST`; of those behind them no more than
  where they stand in the log. The partition goes on meanwhile: what they wait for may be that its
  own pool, or that of a partition which waits for this one, is drained.
- Not for ever: whoever appends adds none once the first that is left in the log is so far back that
  the log may lose it.

Not here: doing it (`following_up`).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from broker.follow import record_digest
from broker.interface import Position, StoredRecord
from broker.record import Sequel, Settled, decode_record

_log = structlog.get_logger(__name__)

WAITING_BYTES_AT_MOST = 8 * 1024 * 1024
"""Of payloads in memory. What comes then is left in the log, and read again in its turn."""

LEFT_RECORDS_AT_MOST = 65_536
"""Some 200 bytes each. Beyond it the partition's worker settles nothing more until some is done."""

_SEQUEL_BYTES = 100


class ToFollow(NamedTuple):
    """A record's sequels."""

    position: Position
    epoch: str
    """The log's, in which the position means something."""
    sequels: Sequence[Sequel]
    payloads: Sequence[bytes]

    @property
    def size_bytes(self) -> int:
        """About how much memory they take."""
        return sum(map(len, self.payloads)) + _SEQUEL_BYTES * len(self.sequels)


class _Left(NamedTuple):
    """A record whose sequels are in the log alone."""

    position: Position
    epoch: str
    digest: str
    log_bytes: int
    """How much of the log was read before it."""


class Sequels:
    """One log's sequels that are to be done."""

    def __init__(self, left_bytes_at_most: int) -> None:
        """Add none while the log has grown by so much since the first that is left in it."""
        self._left_bytes_at_most = left_bytes_at_most
        self._waiting: deque[ToFollow] = deque()
        self._waiting_bytes = 0
        self._left: deque[_Left] = deque()
        self._log_bytes = 0
        self._some = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()
        self.followed: Position = -1
        """The sequels of the records up to this position are done, as far as is known here."""

    @property
    def has_room(self) -> bool:
        """Whether more may be added."""
        if not self._left:
            return True
        grown_bytes = self._log_bytes - self._left[0].log_bytes
        return len(self._left) < LEFT_RECORDS_AT_MOST and grown_bytes <= self._left_bytes_at_most

    @property
    def is_none(self) -> bool:
        """Whether nothing is to be done."""
        return not (self._waiting or self._left)

    @property
    def first(self) -> ToFollow | None:
        """What is to be done first, if it is in memory."""
        return self._waiting[0] if self._waiting else None

    @property
    def left_from(self) -> Position:
        """The first position of the log whose sequels are left there; -1 if there is none."""
        return self._left[0].position if self._left else -1

    def clear(self) -> None:
        """Begin again: the log is read anew."""
        self._waiting.clear()
        self._waiting_bytes = 0
        self._left.clear()
        self.followed = -1
        self._tell()

    def take(self, stored: StoredRecord, epoch: str, settled: Settled) -> None:
        """Take note of a record that counts."""
        position = stored.position
        self.hear(settled.followed, position)
        self._log_bytes += len(stored.body)
        if not settled.sequels:
            return
        if self._left or self._waiting_bytes > WAITING_BYTES_AT_MOST:
            digest = record_digest(stored.body)
            self._left.append(_Left(position, epoch, digest, self._log_bytes))
        else:
            self._wait(position, epoch, settled)
        self._tell()

    def hear(self, followed: Position, position: Position) -> None:
        """Take note of what a record says is done.

        What it says of itself or of later ones is of another log, which this one took the place of.
        """
        if followed < position:
            self._follow(followed)

    def done(self, to_follow: ToFollow) -> None:
        """Take note that a record's sequels are done, unless the log is read anew since."""
        if self.first is to_follow:
            self._follow(to_follow.position)

    def bring_back(self, stored: StoredRecord) -> bool:
        """Take from the log, read again, what was left there; tell whether more has room."""
        while self._left and self._left[0].position <= stored.position:
            left = self._left.popleft()
            if (stored.position, record_digest(stored.body)) != (left.position, left.digest):
                _log.error("what was to follow is not in the log any more", position=left.position)
                continue
            settled = decode_record(stored.body)
            if isinstance(settled, Settled):
                self._wait(left.position, left.epoch, settled)
        self._tell()
        return bool(self._left) and self._waiting_bytes <= WAITING_BYTES_AT_MOST

    def _wait(self, position: Position, epoch: str, settled: Settled) -> None:
        to_follow = ToFollow(position, epoch, settled.sequels, settled.sequel_payloads)
        self._waiting.append(to_follow)
        self._waiting_bytes += to_follow.size_bytes

    def _follow(self, position: Position) -> None:
        self.followed = max(self.followed, position)
        while self._waiting and self._waiting[0].position <= self.followed:
            self._waiting_bytes -= self._waiting.popleft().size_bytes
        while self._left and self._left[0].position <= self.followed:
            self._left.popleft()
        self._tell()

    def _tell(self) -> None:
        if self.is_none:
            self._none.set()
            self._some.clear()
        else:
            self._none.clear()
            self._some.set()

    async def until_some(self) -> None:
        """Wait until something is to be done. Cancelling: loses nothing."""
        await self._some.wait()

    async def until_none(self) -> None:
        """Wait until nothing is to be done. Cancelling: loses nothing."""
        await self._none.wait()
