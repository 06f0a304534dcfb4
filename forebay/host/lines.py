"""Who is called when: a line's tasks one after the other, different lines at the same time.

A *runner* is a coroutine that works off one line after another. As long as handlers do not wait,
one runner does all. When its handler does, the next runner takes over what is ready; so there are
as many as handlers that wait, however many lines there are, and a task costs no task of the loop's.

Rules
- When a task fails, those behind it in its line that the worker gave before it knew so (in the same
  generation, or an earlier one) are answered UNSTARTED.
- A handler that waits for longer than the timeout is cancelled, and again after each further one.
  One that does not wait cannot be: the worker ends the process.
- The mark of a task is BEGUN before its handler is called, and ENDED before its answer is written.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from mmap import mmap
from typing import Final

from forebay.app import App
from forebay.host.answering import Answering
from forebay.host.speaking import Speaking
from forebay.host.trying import Tried, failure, try_task
from forebay.link import TASKS_AT_MOST, Answer, Mark, Task, Verdict

# Runners that wait for work are kept, a few kB each; making one costs as much as several tasks.
_IDLE_RUNNERS_AT_MOST: Final = 64

_log = logging.getLogger("forebay.host")

_BEGUN: Final = int(Mark.BEGUN)
_ENDED: Final = int(Mark.ENDED)
_FAILED: Final = Verdict.FAILED


class _Runner:
    """What is known of a runner; all of it but `work` is for the handler it is calling."""

    __slots__ = ("is_overdue", "is_suspended", "is_waiting", "wake", "work")

    def __init__(self) -> None:
        self.work: asyncio.Task[None] | None = None
        self.wake: asyncio.Future[None] | None = None
        self.is_waiting = False
        """It awaits a handler, which may go on in the same turn."""
        self.is_suspended = False
        """The loop has turned since."""
        self.is_overdue = False
        """The handler was cancelled for it."""


class Lines:
    """All tasks that were given and are not yet answered."""

    def __init__(
        self,
        app: App,
        marks: mmap,
        speaking: Speaking,
        answering: Answering,
        timeout_seconds: float,
    ) -> None:
        self._app = app
        self._marks = marks
        self._speaking = speaking
        self._answering = answering
        self._timeout_seconds = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._lines: dict[str, deque[Task]] = {}
        self._ready: deque[str] = deque()
        # The generation in which a line's last failure was given. At most so many tasks can have
        # been given without knowing of it, so lines that failed before as many others are past.
        self._failed: dict[str, int] = {}
        self._runners: set[_Runner] = set()
        self._idle: list[_Runner] = []
        self._is_attended = False
        self._held = 0
        self._is_closing = False
        self._deadlines: dict[_Runner, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()

    def give(self, tasks: list[Task]) -> None:
        """Take tasks, in their order. Nothing is called before the loop's next turn."""
        lines = self._lines
        for task in tasks:
            waiting = lines.get(task.line)
            if waiting is None:
                lines[task.line] = deque((task,))
                self._ready.append(task.line)
            else:
                waiting.append(task)
        if self._ready:
            self._is_quiet.clear()
            if not self._is_attended and not self._held:
                self._wake_one()

    def forget_waiting(self) -> None:
        """Drop what was not begun: nobody waits for it any more."""
        for line in self._ready:
            del self._lines[line]
        self._ready.clear()
        for waiting in self._lines.values():
            waiting.clear()
        if not self._lines:
            self._is_quiet.set()

    async def finish(self) -> None:
        """Wait until all that was given is answered.

        Cancelling: loses nothing.
        """
        await self._is_quiet.wait()

    async def close(self) -> None:
        """Cancel what is still under way.

        Cancelling: some handlers may go on for a moment.
        """
        self._is_closing = True
        self.forget_waiting()
        if self._timer is not None:
            self._timer.cancel()
        works = [runner.work for runner in self._runners if runner.work is not None]
        for work in works:
            work.cancel()
        if works:
            await asyncio.wait(works, timeout=1.0)

    def _wake_one(self) -> None:
        if self._idle:
            runner = self._idle.pop()
            if runner.wake is not None:
                runner.wake.set_result(None)
        else:
            runner = _Runner()
            self._runners.add(runner)
            runner.work = self._loop.create_task(self._run(runner))
            runner.work.add_done_callback(self._miss)
        self._attend(runner)

    def _attend(self, runner: _Runner) -> None:
        """Look after a runner once it has given way to the loop: callbacks keep their order."""
        self._is_attended = True
        self._loop.call_soon(self._look_after, runner)

    def _look_after(self, runner: _Runner) -> None:
        self._is_attended = False
        if runner.is_waiting and not runner.is_suspended:
            runner.is_suspended = True
            self._deadlines[runner] = self._loop.time() + self._timeout_seconds
            if self._timer is None:
                self._timer = self._loop.call_later(self._timeout_seconds, self._end_overdue)
        if self._ready and not self._speaking.is_full:
            self._wake_one()

    def _miss(self, work: asyncio.Task[None]) -> None:
        """A runner ends when there are enough of them, or all end; else it is a fault of ours."""
        if not work.cancelled() and (fault := work.exception()) is not None:
            _log.critical("the app process cannot go on", exc_info=fault)
            self._speaking.give_up()

    def _end_overdue(self) -> None:
        now = self._loop.time()
        self._timer = None
        for runner, deadline in list(self._deadlines.items()):
            if deadline > now:  # they stand in the order of their deadlines
                break
            runner.is_overdue = True
            if runner.work is not None:
                runner.work.cancel()
            del self._deadlines[runner]
            self._deadlines[runner] = now + self._timeout_seconds
        if self._deadlines:
            next_deadline = next(iter(self._deadlines.values()))
            self._timer = self._loop.call_at(next_deadline, self._end_overdue)

    async def _run(self, runner: _Runner) -> None:
        try:
            while True:
                while self._ready:
                    if self._speaking.is_full:
                        await self._wait_for_room(runner)
                        continue
                    line = self._ready.popleft()
                    await self._work_off(line, self._lines[line], runner)
                if len(self._idle) >= _IDLE_RUNNERS_AT_MOST:
                    return
                runner.wake = self._loop.create_future()
                self._idle.append(runner)
                await self._rest(runner, runner.wake)
                if runner in self._idle:  # nobody woke it: a handler's cancellation came late
                    self._idle.remove(runner)
        finally:
            self._runners.discard(runner)

    async def _work_off(self, line: str, waiting: deque[Task], runner: _Runner) -> None:
        app, marks, answering = self._app, self._marks, self._answering
        while waiting:
            task = waiting.popleft()
            if self._failed and self._is_behind_a_failure(task):
                answering.answer(Answer(task.number, Verdict.UNSTARTED))
                continue
            marks[task.place] = _BEGUN
            tried = try_task(app, task)
            if tried is None:
                marks[task.place] = _ENDED
                is_time = answering.let_pass(task.number)
            else:
                if not isinstance(tried, Answer):
                    runner.is_waiting = True
                    tried = await tried
                    runner.is_waiting = False
                    if runner.is_suspended:
                        tried = self._resume(runner, task, tried)
                marks[task.place] = _ENDED
                is_time = self._answer(task, tried)
            if is_time:
                await self._let_others(runner)
        del self._lines[line]
        if not self._lines:
            self._is_quiet.set()

    def _answer(self, task: Task, tried: Tried) -> bool:
        if tried is None:
            return self._answering.let_pass(task.number)
        if tried.verdict is _FAILED:
            self._failed.pop(task.line, None)
            self._failed[task.line] = task.generation
            if len(self._failed) > TASKS_AT_MOST:
                del self._failed[next(iter(self._failed))]
        return self._answering.answer(tried)

    def _is_behind_a_failure(self, task: Task) -> bool:
        generation = self._failed.get(task.line)
        if generation is None:
            return False
        if task.generation <= generation:
            return True
        del self._failed[task.line]
        return False

    def _resume(self, runner: _Runner, task: Task, tried: Tried) -> Tried:
        """The loop has turned since the handler was called."""
        runner.is_suspended = False
        self._deadlines.pop(runner, None)
        self._attend(runner)
        _forget_cancellation(runner)
        if not runner.is_overdue:
            return tried
        runner.is_overdue = False
        # A handler that catches its cancellation, whatever it says then, was late.
        trace = tried.trace if tried is not None else ""
        return failure(task, f"took longer than {self._timeout_seconds:g} s", trace)

    async def _let_others(self, runner: _Runner) -> None:
        """Give way for a turn, so that what waits can go on; for longer if the worker is slow."""
        self._attend(runner)
        await self._rest(runner, asyncio.sleep(0))
        if self._speaking.is_full:
            await self._wait_for_room(runner)
        self._attend(runner)

    async def _wait_for_room(self, runner: _Runner) -> None:
        """Begin nothing while the worker does not take what it is told. Others need not come."""
        self._held += 1
        await self._rest(runner, self._speaking.has_room())
        self._held -= 1
        if self._speaking.has_ended.is_set():
            self.forget_waiting()
        self._attend(runner)

    async def _rest(self, runner: _Runner, until: Awaitable[None]) -> None:
        """Wait for something of our own. What a handler did to the task it ran in is over."""
        try:
            await until
        except asyncio.CancelledError:
            if self._is_closing:
                raise
            _forget_cancellation(runner)


def _forget_cancellation(runner: _Runner) -> None:
    while runner.work is not None and runner.work.cancelling():
        runner.work.uncancel()


@asynccontextmanager
async def open_lines(
    app: App, marks: mmap, speaking: Speaking, timeout_seconds: float
) -> AsyncIterator[Lines]:
    """Work off tasks until the end.

    Cancelling: as `Lines.close`.
    """
    answering = Answering(speaking)
    lines = Lines(app, marks, speaking, answering, timeout_seconds)
    try:
        yield lines
    finally:
        await lines.close()
        answering.write()
