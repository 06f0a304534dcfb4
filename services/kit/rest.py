"""Waiting until everything has come to rest, and turning the clock where that takes time.

At rest is: what has arrived is done with, and nothing is under way, not in a pool and not at the
app. What stands still only because it waits for time (a failed handler's next try) is given time;
what is merely due later (a ping, an expiry, the end of a window) is not.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from services.kit.clock import KitClock

# Longer than anything takes that somebody waits for: three tries within a minute, and the answer.
SKIPPED_SECONDS_AT_MOST: Final = 120.0

# Of a float that was added up.
_NO_TIME: Final = 1e-6

# What is due within a step happens at its end, and so up to a step late: fine ones for what a test
# counts in seconds, coarse ones for days, since a step takes up to a millisecond of the machine's.
# In the longer ones processes may take each other for dead; in the last hour they meet again.
_STEP_SECONDS: Final = 0.25
_COARSE: Final = ((86_400.0, 300.0), (3_600.0, 30.0), (60.0, 1.0))
"""While more than so many seconds are left, steps of so many."""


class Rest:
    """Tells one who waits."""

    def __init__(self, clock: KitClock) -> None:
        self._clock = clock
        self._waiter: asyncio.Future[None] | None = None
        self._is_settled: Callable[[], bool] = lambda: True
        self._is_app_busy: Callable[[], bool] = lambda: False
        self._until = 0.0
        self._skip_until = 0.0

    async def reach(
        self,
        is_settled: Callable[[], bool],
        is_app_busy: Callable[[], bool],
        *,
        pass_seconds: float = 0.0,
    ) -> None:
        """Wait until nothing is under way, after so many seconds of the clock.

        Cancelling: what is under way goes on.
        """
        self._is_settled = is_settled
        self._is_app_busy = is_app_busy
        self._until = self._clock.monotonic() + pass_seconds
        self._skip_until = self._until + SKIPPED_SECONDS_AT_MOST
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def look(self, timer_seconds: float | None) -> bool:
        """See `loop.AtRest`."""
        waiter = self._waiter
        if waiter is None or waiter.done() or self._is_app_busy():
            return False
        now = self._clock.monotonic()
        ahead = self._until - now
        if ahead > _NO_TIME:
            step = next((step for left, step in _COARSE if ahead > left), _STEP_SECONDS)
            self._clock.turn(
                ahead if timer_seconds is None else min(ahead, max(timer_seconds, step))
            )
        elif timer_seconds is not None and now < self._skip_until and not self._is_settled():
            self._clock.turn(timer_seconds)
        else:
            waiter.set_result(None)
        return True
