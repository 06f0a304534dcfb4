"""Lets a few things a second be told in the log, and counts the others.

What happens to each of ten thousand clients at once must not cost ten thousand lines. Pure: the
time is given.
"""

from __future__ import annotations

A_SECOND = 5


class Sparing:
    """One kind of line."""

    def __init__(self) -> None:
        self._second = 0
        self._told = 0
        self._untold = 0

    def take(self, now_seconds: float) -> int | None:
        """Say whether to tell it: how many were not told since the last; None if not to."""
        if int(now_seconds) != self._second:
            self._second = int(now_seconds)
            self._told = 0
        if self._told >= A_SECOND:
            self._untold += 1
            return None
        self._told += 1
        untold, self._untold = self._untold, 0
        return untold
