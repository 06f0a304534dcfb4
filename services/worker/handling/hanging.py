"""Notices a process that does not go on.

A handler that waits is ended by its own process when its time is over. One that does not give way
to its process's loop cannot be; nor can anything else in that process go on.

Rules: pure; looked at every second or so, so times are as coarse as that.
"""

from collections.abc import Mapping

from forebay.link import Mark
from services.worker.handling.asked import Asked, Marks

GRACE_SECONDS = 2.0
"""For a process that has to end a handler in time, on a busy machine."""


class Hanging:
    """What was seen of one process."""

    def __init__(self, timeout_seconds: float) -> None:
        self._limit_seconds = timeout_seconds + GRACE_SECONDS
        self._begun: dict[int, float] = {}
        self._seen: set[int] = set()
        self._still_since: float | None = None

    def look(self, under_way: Mapping[int, Asked], marks: Marks, now_seconds: float) -> bool:
        """Tell whether a handler is at it for too long, or nothing at all has ended for so long."""
        self._begun = {
            number: self._begun.get(number, now_seconds)
            for number, asked in under_way.items()
            if marks[asked.place] == Mark.BEGUN
        }
        if self._still_since is None or not self._seen or self._seen - under_way.keys():
            self._still_since = now_seconds
        self._seen = set(under_way)
        oldest_seconds = min(self._begun.values(), default=now_seconds)
        return now_seconds - min(oldest_seconds, self._still_since) > self._limit_seconds
