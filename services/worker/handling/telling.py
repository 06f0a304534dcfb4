"""Tells of failed tries in the worker's log, so that a developer sees where a handler raised.

Rules: a few a second, and how many more; a handler that always fails must not cost more than one
that works. All of them are counted, and what has failed for good is in `dead`.
"""

import structlog

from forebay.link import Answer
from services.worker.handling.asked import Asked

_log = structlog.get_logger(__name__)

A_SECOND = 5


class Telling:
    """What one process's failures are told by."""

    def __init__(self) -> None:
        self._second = 0
        self._told = 0
        self._untold = 0

    def tell(self, asked: Asked, answer: Answer, now_seconds: float) -> None:
        """Tell of a try that the process says has failed."""
        if int(now_seconds) != self._second:
            self._second = int(now_seconds)
            self._told = 0
        if self._told >= A_SECOND:
            self._untold += 1
            return
        self._told += 1
        _log.warning(
            "handler failed",
            handler=asked.question.kind.name.lower(),
            name=asked.question.name,
            attempt=asked.failures + 1,
            reason=answer.text,
            trace=answer.trace,
            untold_before=self._untold,
        )
        self._untold = 0
