"""An event loop whose time is virtual, and whose processes can be frozen.

When nothing is ready, time jumps to the next timer: a minute of waiting costs nothing, and how long
the machine takes is never seen. There is no input and no output.

What is ready runs in the order in which it became so, as asyncio promises and as the code under
test relies on (a signal wakes in order; what is offered in one turn leaves in one batch). Shuffling
it would find faults that cannot happen. Interleavings come from where they come in a deployment:
each leg of a call to the broker takes a random time (`broker.embedded.travel`), drawn for each
process, so that any two processes meet in any order and no two things happen at once by habit.

A process is whatever runs in a context whose `PROCESS` names it: all tasks, timers and callbacks
inherit it. A frozen one (SIGSTOP) runs nothing, while its connection stays and time passes; when it
goes on, what had reached it runs first, and then its timers, all of them late.

Rules: a task's hash is its number, so that sets of tasks have one order in all runs.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Coroutine, Generator
from heapq import heapify, heappop
from typing import Any

PROCESS: contextvars.ContextVar[str] = contextvars.ContextVar("PROCESS", default="")

# A worker's busiest moment takes some hundred steps.
_STEPS_AT_ONE_MOMENT = 100_000


class Stuck(Exception):
    """Nothing is left to wait for, or time does not pass any more."""


class _Frozen:
    def __init__(self) -> None:
        self.ready: list[asyncio.Handle] = []
        self.timers: list[asyncio.Handle] = []


class _Task(asyncio.Task[Any]):
    def __init__(self, number: int, coroutine: Any, **options: Any) -> None:
        self._number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs coroutines in virtual time."""

    # What asyncio's own loop keeps, and `call_soon` and `call_at` fill.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._steps = 0
        self._frozen: dict[str, _Frozen] = {}
        self._tasks_made = 0
        self.problems: list[str] = []
        """What nobody else hears of: an exception in a callback, or in a task nobody waits for."""
        self.set_debug(False)
        self.set_task_factory(self._make_task)
        self.set_exception_handler(lambda _, problem: self.problems.append(str(problem)))

    def time(self) -> float:
        return self._now

    def freeze(self, process: str) -> None:
        """Have a process run nothing until `thaw`."""
        self._frozen.setdefault(process, _Frozen())

    def thaw(self, process: str) -> None:
        """Let a process go on; if it was not frozen, nothing happens."""
        frozen = self._frozen.pop(process, None)
        if frozen is not None:
            self._ready.extend(frozen.ready)
            self._ready.extend(frozen.timers)

    def thaw_all(self) -> None:
        """Let every process go on."""
        for process in list(self._frozen):
            self.thaw(process)

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **options: Any,
    ) -> asyncio.Task[Any]:
        self._tasks_made += 1
        return _Task(self._tasks_made, coroutine, loop=loop, **options)

    def _run_once(self) -> None:
        self._let_time_pass()
        while self._scheduled and self._scheduled[0].when() <= self._now:
            timer = heappop(self._scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]  # as asyncio's own loop does
            frozen = self._frozen.get(_process_of(timer))
            (self._ready if frozen is None else frozen.timers).append(timer)
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            frozen = self._frozen.get(_process_of(handle))
            if frozen is not None:
                frozen.ready.append(handle)
            elif not handle.cancelled():
                self._steps += 1
                handle._run()

    def _let_time_pass(self) -> None:
        if self._timer_cancelled_count > max(100, len(self._scheduled) // 2):
            self._scheduled = [timer for timer in self._scheduled if not timer.cancelled()]
            heapify(self._scheduled)
            self._timer_cancelled_count = 0
        while self._scheduled and self._scheduled[0].cancelled():
            self._timer_cancelled_count -= 1
            heappop(self._scheduled)._scheduled = False  # type: ignore[attr-defined]
        if self._ready or self._stopping:  # type: ignore[attr-defined]
            if self._steps > _STEPS_AT_ONE_MOMENT:
                raise Stuck("something goes on and on without letting time pass")
            return
        if not self._scheduled:
            raise Stuck("everybody waits for somebody else")
        when = self._scheduled[0].when()
        if when > self._now:
            self._now = when
            self._steps = 0

    def _process_events(self, _: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """There are no other threads."""


def _process_of(handle: asyncio.Handle) -> str:
    return handle._context.get(PROCESS, "")  # type: ignore[attr-defined]
