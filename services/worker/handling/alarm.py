"""Calls back once, at the earliest of the times that were asked for."""

import asyncio
from collections.abc import Callable


class Alarm:
    """An alarm of a loop's, set to nothing at first."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.Handle | None = None
        # Kept here: what uvloop gives for a time that is now, or past, does not tell it.
        self._at_seconds = 0.0

    def set(self, at_seconds: float) -> None:
        """Ring at this time of the loop's, if it would not ring before."""
        if self._handle is not None:
            if self._at_seconds <= at_seconds:
                return
            self._handle.cancel()
        self._at_seconds = at_seconds
        self._handle = self._loop.call_at(at_seconds, self._go_off)

    def _go_off(self) -> None:
        self._handle = None
        self._ring()
