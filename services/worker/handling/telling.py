"""Tells of failed tries in the worker's log, so that a developer sees where a handler raised.

Rules: a few a second, and how many more; a handler that always fails must not cost more than one
that works. All of them are counted, and what has failed for good is in `dead`.
"""

import structlog

from forebay.link import Answer
from services.sparing import Sparing
from services.worker.handling.asked import Asked

_log = structlog.get_logger(__name__)


class Telling:
    """What one process's failures are told by."""

    def __init__(self) -> None:
        self._sparing = Sparing()

    def tell(self, asked: Asked, answer: Answer, now_seconds: float) -> None:
        """Tell of a try that the process says has failed."""
        untold = self._sparing.take(now_seconds)
        if untold is None:
            return
        _log.warning(
            "handler failed",
            handler=asked.question.kind.name.lower(),
            name=asked.question.name,
            attempt=asked.failures + 1,
            reason=answer.text,
            trace=answer.trace,
            untold_before=untold,
        )
