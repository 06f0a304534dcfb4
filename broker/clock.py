"""The passing of time as the parts of `broker/` see it, so that tests can turn it by hand.

Rules: for intervals and waiting only; wall time, which goes into records, is asked for elsewhere.
"""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Tells how much time has passed, and waits for some to pass."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait. Cancelling: loses nothing."""


class SystemClock:
    """The machine's own time."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait. Cancelling: loses nothing."""
        await asyncio.sleep(seconds)
