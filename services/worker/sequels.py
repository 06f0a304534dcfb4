"""What the records of a log ask to be done elsewhere, and how far it has been done.

Every worker keeps what is still to be done of each log, as it keeps the view: whoever has the
partition next does it. What is done twice is recognised where it arrives, by a number that comes
from the record's position.

Rules
- In the order of the log; a record's sequels are done when all of them are.
- Only a later record says what is done (`followed`), so a new owner may do the last of it again.
- Bounded by whoever appends: while more than `WAITING_BYTES_AT_MOST` are to be done, it adds none.

Not here: doing it (`following_up`).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from broker.interface import Position
from broker.record import Sequel, Settled

WAITING_BYTES_AT_MOST = 8 * 1024 * 1024
"""Of payloads. Beyond it the partition's worker settles nothing more until some of it is done."""

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


class Sequels:
    """One log's sequels that are to be done."""

    def __init__(self) -> None:
        self._waiting: deque[ToFollow] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()
        self.followed: Position = -1
        """The sequels of the records up to this position are done, as far as is known here."""

    @property
    def has_room(self) -> bool:
        """Whether more may be added."""
        return self._waiting_bytes <= WAITING_BYTES_AT_MOST

    def clear(self) -> None:
        """Begin again: the log is read anew."""
        self._waiting.clear()
        self._waiting_bytes = 0
        self.followed = -1
        self._none.set()

    def take(self, position: Position, epoch: str, settled: Settled) -> None:
        """Take note of a record that counts."""
        self.follow(settled.followed)
        if settled.sequels:
            self._waiting.append(
                to_follow := ToFollow(position, epoch, settled.sequels, settled.sequel_payloads)
            )
            self._waiting_bytes += to_follow.size_bytes
            self._none.clear()
            self._news.set()

    def follow(self, position: Position) -> None:
        """Take note that the sequels of the records up to a position are done."""
        self.followed = max(self.followed, position)
        while self._waiting and self._waiting[0].position <= self.followed:
            self._waiting_bytes -= self._waiting.popleft().size_bytes
        if not self._waiting:
            self._none.set()

    async def next(self) -> ToFollow:
        """Wait for the first that is to be done. Cancelling: loses nothing."""
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        return self._waiting[0]

    async def until_none(self) -> None:
        """Wait until nothing is to be done. Cancelling: loses nothing."""
        await self._none.wait()
