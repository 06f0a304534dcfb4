"""The app processes of a worker, as the rest of it sees them.

Rules
- A line is always carried out in the same slot, so its order is the slot's affair alone.

Not here: one process (`slot`), which files are watched (`changes`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from zlib import crc32

import structlog

from forebay.link import HandlerSpec
from forebay.pattern import Pattern
from services.settings import AppConfig
from services.worker.counting import WorkerCounters
from services.worker.handling.interface import Handled, Handling, Kind, Question
from services.worker.handling.slot import Slot

_log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
"""How often processes are looked after; by it and no more they may grow and hang unseen."""

_NAMES_REMEMBERED = 16_384


class Crew:
    """The handlers of an app, in processes; a `Handling`."""

    def __init__(self, app: AppConfig, counters: WorkerCounters) -> None:
        self.slots = [Slot(app, counters, self._learn_handlers) for _ in range(app.processes)]
        self._handlers: Sequence[HandlerSpec] = ()
        self._handles = lru_cache(_NAMES_REMEMBERED)(_finder(()))

    def handles(self, kind: Kind, name: str) -> bool:
        """See `Handling.handles`."""
        return self._handles(kind, name)

    def ask(self, owner: object, question: Question, hear: Callable[[Handled], None]) -> None:
        """See `Handling.ask`."""
        self._slot_of(question.line).ask(owner, question, hear)

    def abandon(self, owner: object) -> None:
        """See `Handling.abandon`."""
        for slot in self.slots:
            slot.abandon(owner)

    async def ask_at_once(self, question: Question, timeout_seconds: float) -> Handled | None:
        """See `Handling.ask_at_once`."""
        answer: asyncio.Future[Handled] = asyncio.get_running_loop().create_future()

        def hear(handled: Handled) -> None:
            # Its time may be over in the very turn of the loop in which it is answered.
            if not answer.done():
                answer.set_result(handled)

        slot = self._slot_of(question.line)
        asked = slot.ask_once(question, hear)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await answer
        except TimeoutError:
            return None
        finally:
            slot.forget(asked)

    async def reload(self) -> None:
        """Replace the processes one after the other, up to the first that does not start.

        Cancelling: some are replaced.
        """
        for slot in self.slots:
            if not await slot.replace("its code has changed"):
                return
        _log.info("app reloaded", processes=len(self.slots))

    async def look_after(self) -> None:
        """Look after the processes, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for slot in self.slots:
                slot.look()

    def _slot_of(self, line: str) -> Slot:
        return self.slots[crc32(line.encode()) % len(self.slots)]

    def _learn_handlers(self, handlers: Sequence[HandlerSpec]) -> None:
        if handlers != self._handlers:
            self._handlers = handlers
            self._handles = lru_cache(_NAMES_REMEMBERED)(_finder(handlers))


def _finder(handlers: Sequence[HandlerSpec]) -> Callable[[Kind, str], bool]:
    """Make what tells whether there is a handler for a name."""
    patterns: dict[Kind, list[Pattern]] = {}
    for spec in handlers:
        patterns.setdefault(spec.kind, []).append(Pattern(spec.pattern))

    def finds(kind: Kind, name: str) -> bool:
        return any(pattern.is_match(name) for pattern in patterns.get(kind, ()))

    return finds


@asynccontextmanager
async def open_handling(
    app: AppConfig, counters: WorkerCounters, changes: AsyncIterator[None] | None = None
) -> AsyncIterator[Handling | None]:
    """Have the app's processes run during the block; they are replaced at each of `changes`.

    Gives None if there is no app.

    Raises:
        CannotStart: in an exception group: the app does not start.
    """
    if not app.path:
        yield None
        return
    crew = Crew(app, counters)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(slot.run()) for slot in crew.slots]
        try:
            for slot in crew.slots:
                await slot.started()
            running.append(tasks.create_task(crew.look_after()))
            if changes is not None:
                running.append(tasks.create_task(_reload_at(changes, crew)))
            yield crew
        finally:
            for each in running:
                # A second time would have processes killed that are being ended.
                if not each.cancelling():
                    each.cancel()


async def _reload_at(changes: AsyncIterator[None], crew: Crew) -> None:
    async for _ in changes:
        await crew.reload()
