"""The time of a test's server: it stands still, until it is turned.

Rules: installed before anything of ours is imported that might keep the machine's own clock, as a
default of an argument for one; so this imports nothing.
"""

import time
from typing import Final

# Not 0, which means "never" to many; and small, so that a float tells nanoseconds apart.
_BEGINNING_SECONDS: Final = 1_000.0


class KitClock:
    """What `time` tells in this process, once it is installed."""

    def __init__(self) -> None:
        self._machine_time = time.time
        self._monotonic = _BEGINNING_SECONDS
        self._ahead = 0.0
        self.set_to_now()

    def install(self) -> None:
        """Be the process's clock, for waiting and for what is written down."""
        vars(time).update(
            monotonic=self.monotonic,
            monotonic_ns=lambda: _nanoseconds(self.monotonic()),
            time=self.time,
            time_ns=lambda: _nanoseconds(self.time()),
        )

    def set_to_now(self) -> None:
        """Have the wall clock show what the machine's shows; no time passes by that."""
        self._ahead = self._machine_time() - self._monotonic

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self._monotonic += seconds

    def monotonic(self) -> float:
        """See `time.monotonic`."""
        return self._monotonic

    def time(self) -> float:
        """See `time.time`."""
        return self._monotonic + self._ahead


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
