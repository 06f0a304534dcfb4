"""How far a load has come, for those who wait until it has come so far."""

import asyncio
from collections.abc import Callable


class Progress:
    """Counts over all clients of a load, and a way to wait for what they tell."""

    def __init__(self) -> None:
        self.attempted = 0
        self.acknowledged = 0
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Let all who wait look again."""
        self._changed.set()

    async def until(self, claim: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Wait until the claim holds.

        Raises:
            TimeoutError: it did not hold in time.
        """
        async with asyncio.timeout(timeout_seconds):
            while not claim():
                self._changed.clear()
                await self._changed.wait()
