"""An event loop on a clock that stands, which says when nothing more can be done without time.

Rules: sockets are real and time is not: the loop waits for input for as long as it takes, and no
timer is due before somebody has turned the clock.
"""

import asyncio
import selectors
from collections.abc import Callable

from services.kit.clock import KitClock

AtRest = Callable[[float | None], bool]
"""Called when nothing is ready, with the seconds until the next timer, None if there is none.

True if there is something to do now, since the clock was turned or somebody was told; False to wait
for input.
"""


class _Selector(selectors.DefaultSelector):
    def __init__(self, at_rest: AtRest) -> None:
        super().__init__()
        self._at_rest = at_rest

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Give what input there is; wait for some only at rest."""
        events = super().select(0)
        if timeout is not None and timeout <= 0:
            return events
        while not events and not self._at_rest(timeout):
            events = super().select(None)
        return events


class KitLoop(asyncio.SelectorEventLoop):
    """The loop of a test's server."""

    def __init__(self, clock: KitClock, at_rest: AtRest) -> None:
        self._clock = clock
        super().__init__(_Selector(at_rest))

    def time(self) -> float:
        """The clock's, not the machine's."""
        return self._clock.monotonic()
