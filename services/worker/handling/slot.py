"""One place for an app process, with the lines that it carries out: keeps a process in it.

Rules
- A process that ends is replaced, and what was under way in it is given to the next; so is one that
  outgrew its memory, or whose code has changed, once nothing is under way.
- What cannot be given stays in its line, for as long as it takes.

Not here: who is to blame for a death, and how often it is tried (`lines`).
"""

import asyncio
import random
from collections.abc import Callable, Sequence

import structlog

from forebay.link import Answers, HandlerSpec
from services.failing import CannotStart
from services.settings import AppConfig
from services.worker.counting import WorkerCounters
from services.worker.handling.alarm import Alarm
from services.worker.handling.asked import Asked
from services.worker.handling.hanging import Hanging
from services.worker.handling.interface import Handled, Question, Verdict
from services.worker.handling.lines import Lines, NoAnswer
from services.worker.handling.process import AppProcess, NotStarted, running_process
from services.worker.handling.telling import Telling

_log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
"""Between processes that answer nothing; one that did is replaced after the first pause."""


def _jitter() -> float:
    return random.uniform(0.8, 1.2)


class Slot:
    """One app process after the other."""

    def __init__(
        self,
        app: AppConfig,
        counters: WorkerCounters,
        has_handlers: Callable[[Sequence[HandlerSpec]], None],
    ) -> None:
        """Call `has_handlers` with what each process has handlers for."""
        self._app = app
        self._counters = counters
        self._has_handlers = has_handlers
        self._loop = asyncio.get_running_loop()
        self._lines = Lines(counters, _jitter)
        self._process: AppProcess | None = None
        self._hanging = Hanging(app.timeout)
        self._telling = Telling()
        self._going_for = ""
        self._is_giving_due = False
        self._pauses = Alarm(self._loop, self._give)
        self._hurry = asyncio.Event()
        self._is_first = True
        self._has_answered = False
        self._said = ""
        self._start: asyncio.Future[bool] = self._loop.create_future()

    # ---- asking

    def ask(self, owner: object, question: Question, hear: Callable[[Handled], None]) -> None:
        """See `Handling.ask`."""
        self._lines.ask(owner, question, hear)
        if not self._is_giving_due:
            self._give_soon()

    def ask_once(self, question: Question, hear: Callable[[Handled], None]) -> Asked:
        """See `Lines.ask_once`."""
        asked = self._lines.ask_once(question, hear)
        self._give_soon()
        return asked

    def forget(self, asked: Asked) -> None:
        """See `Lines.forget`."""
        self._lines.forget(asked)
        self._give_soon()

    def abandon(self, owner: object) -> None:
        """See `Handling.abandon`."""
        self._lines.abandon(owner)
        self._give_soon()

    # ---- keeping a process

    async def run(self) -> None:
        """Keep a process, until cancelled.

        Raises:
            CannotStart: the first one did not start.

        Cancelling: the process is ended in order; a second time: killed.
        """
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            self._going_for = ""
            self._has_answered = False
            self._hurry.clear()
            try:
                async with running_process(self._app, self._hear, self._give_soon) as process:
                    await self._serve(process)
            except NotStarted as error:
                self._tell_not_started(str(error))
            if self._has_answered:
                pause_seconds = FIRST_PAUSE_SECONDS
            if not self._going_for:
                await self._pause(pause_seconds * random.uniform(0.5, 1.5))
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    async def started(self) -> bool:
        """Wait until the process that is being started takes tasks, or has failed to."""
        return await asyncio.shield(self._start)

    async def replace(self, reason: str) -> bool:
        """Have another process take the place of this one; False if it does not start.

        What is under way is finished before, and what is asked meanwhile waits.
        """
        if self._start.done():
            self._start = self._loop.create_future()
        self._let_go(reason)
        self._hurry.set()
        return await self.started()

    def look(self) -> None:
        """Look after the process: does it go on, does it grow."""
        process = self._process
        if process is None:
            return
        process.read()  # what has come while this process itself did not go on
        if self._hanging.look(self._lines.under_way, process.marks, self._loop.time()):
            process.give_up(f"a handler did not come back within {self._app.timeout:g} s")
            return
        memory_bytes = process.memory_bytes()
        if memory_bytes > 2 * self._app.memory_limit:
            process.give_up(f"it took {memory_bytes >> 20} MiB of memory")
        elif memory_bytes > self._app.memory_limit:
            self._let_go(f"it took {memory_bytes >> 20} MiB of memory")

    async def _serve(self, process: AppProcess) -> None:
        ready = await process.started(self._app.start_timeout)
        memory_bytes = process.memory_bytes()
        if memory_bytes > self._app.memory_limit:
            raise NotStarted(
                f"it takes {memory_bytes >> 20} MiB of memory at its start, and app.memory_limit is"
                f" {self._app.memory_limit >> 20} MiB"
            )
        self._counters.app_starts.value += 1
        self._is_first = False
        self._said = ""
        self._has_handlers(ready.handlers)
        if not self._going_for:
            self._settle_start(True)
        _log.info("app process started", app=self._app.path, pid=process.pid)
        self._hanging = Hanging(self._app.timeout)
        self._process = process
        try:
            if self._going_for:
                self._let_go(self._going_for)
            self._give_soon()
            reason = await process.ended()
        finally:
            self._process = None
        self._take_back(process, reason)

    def _take_back(self, process: AppProcess, reason: str) -> None:
        if self._going_for and not self._lines.under_way:
            _log.info("app process replaced", pid=process.pid, reason=reason)
            return
        self._counters.app_deaths.value += 1
        _log.warning(
            "app process died",
            pid=process.pid,
            reason=reason,
            under_way=len(self._lines.under_way),
        )
        end = self._lines.end if process.is_believed else self._lines.end_disbelieved
        end(process.marks, f"the app process died ({reason})", self._loop.time())

    def _let_go(self, reason: str) -> None:
        """Give the process nothing more, and end it once nothing is under way."""
        self._going_for = self._going_for or reason
        if self._process is not None and not self._lines.under_way:
            self._process.let_go(self._going_for)

    def _tell_not_started(self, reason: str) -> None:
        if self._is_first:
            raise CannotStart(f"the app {self._app.path} cannot start: {reason}")
        if reason != self._said:
            self._said = reason
            _log.error("app process cannot start", app=self._app.path, reason=reason)
        self._settle_start(False)

    def _settle_start(self, has_started: bool) -> None:
        if not self._start.done():
            self._start.set_result(has_started)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass

    # ---- giving and hearing

    def _give_soon(self) -> None:
        """Give what there is in this turn of the loop, all at once."""
        if not self._is_giving_due:
            self._is_giving_due = True
            self._loop.call_soon(self._give)

    def _give(self) -> None:
        self._is_giving_due = False
        process = self._process
        if process is None or self._going_for:
            return
        now_seconds = self._loop.time()
        while process.has_room and (tasks := self._lines.give(now_seconds, process.marks)):
            process.give(tasks)
        if self._lines.next_seconds is not None:
            self._pauses.set(self._lines.next_seconds)

    def _hear(self, answers: Answers) -> None:
        process = self._process
        if process is None:
            return
        self._has_answered = True
        now_seconds = self._loop.time()
        self._count(answers, now_seconds)
        try:
            self._lines.hear(answers, now_seconds)
        except NoAnswer as error:
            process.disbelieve(str(error))
            return
        if self._going_for:
            self._let_go(self._going_for)
        else:
            self._give_soon()

    def _count(self, answers: Answers, now_seconds: float) -> None:
        handled = self._counters.app_handled
        if answers.passed:
            handled.add("passed", len(answers.passed))
        for answer in answers.others:
            handled.add(answer.verdict.name.lower())
            if answer.verdict is Verdict.FAILED:
                asked = self._lines.under_way.get(answer.number)
                if asked is not None:
                    self._telling.tell(asked, answer, now_seconds)
