"""The team's handlers, which run in the test's own process: asked by its socket.

Rules
- Order, tries and pauses are those of every worker's (`Lines`), in the kit's time.
- Nothing has a timeout but a hook's question: a handler may stand at a breakpoint.
"""

import asyncio
import socket
import time
from collections import defaultdict
from collections.abc import Callable

from forebay.link import TASKS_AT_MOST, Answers, CannotServe, Kind, Ready, Tasks, ToWorker, encode
from forebay.pattern import Pattern
from forebay.testing.control import Failed
from services.worker.counting import WorkerCounters
from services.worker.handling.conversation import Conversation
from services.worker.handling.interface import Handled, Question, Verdict
from services.worker.handling.lines import Lines


class KitHandling:
    """See `Handling`."""

    def __init__(self, end: socket.socket, counters: WorkerCounters) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines = Lines(counters, jitter=lambda: 1.0)
        self._marks = bytearray(TASKS_AT_MOST)
        self._patterns: dict[Kind, list[Pattern]] = defaultdict(list)
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._failed: list[Failed] = []
        self._is_to_give = False
        self._is_over = False
        self._conversation = Conversation(end, self._hear, self._end, self._give_soon)

    async def open(self) -> None:
        """Wait until the app says what it has handlers for.

        Raises:
            AssertionError: it ended instead; a test begins only once its app has started.

        Cancelling: nothing is lost.
        """
        await self._ready

    def close(self) -> None:
        """Ask nothing any more."""
        self._conversation.close()

    @property
    def is_busy(self) -> bool:
        """Whether a handler has been asked and has not answered, and still may."""
        return bool(self._lines.under_way) and not self._is_over

    @property
    def is_settled(self) -> bool:
        """Whether no handler is to be asked, now or later."""
        return not self._lines.pending

    def take_failed(self) -> list[Failed]:
        """Give what has failed since the last time, after all its tries."""
        failed, self._failed = self._failed, []
        return failed

    # ---- as a worker asks

    def handles(self, kind: Kind, name: str) -> bool:
        """See `Handling.handles`."""
        return any(pattern.is_match(name) for pattern in self._patterns[kind])

    def ask(self, owner: object, question: Question, hear: Callable[[Handled], None]) -> None:
        """See `Handling.ask`."""
        self._lines.ask(owner, question, self._noting(question, hear))
        self._give_soon()

    def abandon(self, owner: object) -> None:
        """See `Handling.abandon`."""
        self._lines.abandon(owner)

    async def ask_at_once(self, question: Question, timeout_seconds: float) -> Handled | None:
        """See `Handling.ask_at_once`."""
        heard: asyncio.Future[Handled] = self._loop.create_future()

        def hear(handled: Handled) -> None:
            if not heard.done():
                heard.set_result(handled)

        asked = self._lines.ask_once(question, self._noting(question, hear))
        self._give_soon()
        try:
            async with asyncio.timeout(timeout_seconds):
                return await heard
        except TimeoutError:
            return None
        finally:
            if not heard.done():
                self._lines.forget(asked)

    def _noting(
        self, question: Question, hear: Callable[[Handled], None]
    ) -> Callable[[Handled], None]:
        """Hear of it, and note it if it has failed."""

        def note(handled: Handled) -> None:
            if handled.verdict is Verdict.FAILED:
                self._failed.append(
                    Failed(
                        question.kind,
                        question.name,
                        question.key,
                        handled.attempts,
                        handled.text,
                        handled.trace,
                    )
                )
            hear(handled)

        return note

    # ---- as the app is spoken to

    def _give_soon(self) -> None:
        if not self._is_to_give:
            self._is_to_give = True
            self._loop.call_soon(self._give)

    def _give(self) -> None:
        self._is_to_give = False
        while self._conversation.has_room and (
            tasks := self._lines.give(time.monotonic(), self._marks)
        ):
            self._conversation.say(encode(Tasks(tasks)))
        if (next_seconds := self._lines.next_seconds) is not None:
            self._loop.call_at(next_seconds, self._give)

    def _hear(self, message: ToWorker) -> None:
        match message:
            case Ready(handlers):
                for spec in handlers:
                    self._patterns[spec.kind].append(Pattern(spec.pattern))
                self._ready.set_result(None)
            case Answers():
                self._lines.hear(message, time.monotonic())
                self._give_soon()
            case CannotServe(reason):
                self._end(reason)

    def _end(self, reason: str) -> None:
        self._is_over = True
        if not self._ready.done():
            self._ready.set_exception(AssertionError(f"the app ended before it began: {reason}"))
