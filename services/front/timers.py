"""When something is due for a session: pings, missing pongs, expiries; one timer for all of them.

A wheel of coarse ticks: an event loop's own timers would be a heap entry, a closure and a handle
for each session and each of its deadlines.

Rules
- One entry for each `Timed`; it knows its own deadlines and says when to be woken next.
- Setting and clearing take the same time however many entries there are. Waking may be a tick late,
  never early.
- After a freeze of the process the wheel lets the loop read its sockets before it wakes anybody:
  the pongs that look missing may be waiting there.
"""

import math
from typing import Final, Protocol

from broker.clock import Clock

TICK_SECONDS: Final = 0.25

# A turn that comes so late means that the process stood still, not that it was busy.
_FROZEN_SECONDS: Final = 2.0

NEVER: Final = -1


class Timed(Protocol):
    """What a wheel wakes."""

    due_tick: int
    """Kept by the wheel; `NEVER` while it is not set."""

    def wake(self, now_seconds: float) -> None:
        """Do what is due, and set the next time. Must neither wait nor raise."""


class Wheel:
    """A process's timers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[int, set[Timed]] = {}
        self._turned_tick = self._tick_at(clock.monotonic())

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    @property
    def now_seconds(self) -> float:
        """What the wheel's clock shows."""
        return self._clock.monotonic()

    def set(self, timed: Timed, due_seconds: float) -> None:
        """Wake it at this time of the clock, and at no other."""
        due_tick = max(math.ceil(due_seconds / TICK_SECONDS), self._turned_tick + 1)
        if due_tick == timed.due_tick:
            return
        self.clear(timed)
        timed.due_tick = due_tick
        bucket = self._buckets.get(due_tick)
        if bucket is None:
            bucket = self._buckets[due_tick] = set()
        bucket.add(timed)

    def clear(self, timed: Timed) -> None:
        """Do not wake it."""
        if timed.due_tick == NEVER:
            return
        bucket = self._buckets.get(timed.due_tick)
        if bucket is not None:
            bucket.discard(timed)
            if not bucket:
                del self._buckets[timed.due_tick]
        timed.due_tick = NEVER

    def turn(self) -> None:
        """Wake everything that is due."""
        now_seconds = self._clock.monotonic()
        latest_tick = self._tick_at(now_seconds)
        while self._turned_tick < latest_tick:
            self._turned_tick += 1
            # It stays in its place meanwhile, so that who is woken can clear another in it.
            bucket = self._buckets.get(self._turned_tick)
            while bucket:
                timed = bucket.pop()
                timed.due_tick = NEVER
                timed.wake(now_seconds)
            self._buckets.pop(self._turned_tick, None)

    async def run(self) -> None:
        """Turn until cancelled. Cancelling: nobody is woken any more."""
        while True:
            asked_seconds = self._clock.monotonic()
            await self._clock.sleep(TICK_SECONDS)
            if self._clock.monotonic() - asked_seconds > _FROZEN_SECONDS:
                await self._clock.sleep(TICK_SECONDS)
            self.turn()

    @staticmethod
    def _tick_at(seconds: float) -> int:
        return math.floor(seconds / TICK_SECONDS)
