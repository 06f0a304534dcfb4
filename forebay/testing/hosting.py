"""The team's App in the test's own process, so that it can be patched, stopped at and measured.

It runs in a thread with an event loop of its own, as in an app process: the same code calls its
handlers, one try at a time. A test's thread waits meanwhile.
"""

import asyncio
import dataclasses
import inspect
import socket
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from mmap import mmap
from types import FrameType
from typing import Any, Final

from forebay.app import App
from forebay.event import Event
from forebay.handler import Handler
from forebay.host.lines import Lines, open_lines
from forebay.host.speaking import Speaking
from forebay.link import TASKS_AT_MOST, HandlerSpec, Kind, Ready, Tasks
from forebay.outcome import Disconnect, Refuse
from forebay.testing.problems import HandlerHangs

# A handler may stand at a breakpoint: it is the test that has a patience, not the app.
_TIMEOUT_SECONDS: Final = 1e6

_END_SECONDS: Final = 5.0

# The modules of debuggers that stop a thread.
_DEBUGGERS: Final = ("bdb", "pdb", "pydevd", "_pydevd", "debugpy")

# Answers, not failures.
_MEANT: Final = (Refuse, Disconnect)


class Raised:
    """What handlers raised that was no answer; the last exception of each entry."""

    def __init__(self) -> None:
        self._by_entry: dict[tuple[Kind, str], BaseException] = {}

    def note(self, kind: Kind, key: str, error: BaseException) -> None:
        """Keep an exception of an entry; a connect or subscribe has no key."""
        self._by_entry[kind, key] = error

    def take(self, kind: Kind, key: str) -> BaseException | None:
        """Give the last one, and forget it."""
        return self._by_entry.pop((kind, key), None)


class Hosted:
    """An App that is being served."""

    def __init__(self, app: App, end: socket.socket) -> None:
        self.raised: Final = Raised()
        self._app = app
        self._end = end
        self._started: Future[None] = Future()
        self._ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="forebay app", daemon=True)

    def start(self) -> None:
        """Start the app, and wait until its handlers may be asked.

        Raises: whatever its lifespan or startup functions raise.
        """
        self._thread.start()
        self._started.result()

    def end(self) -> None:
        """Wait until the app has ended, once the other end of its socket is closed.

        Raises:
            HandlerHangs: it does not.
            Exception: whatever its lifespan or shutdown functions raise.
        """
        try:
            self._ended.result(_END_SECONDS)
        except TimeoutError:
            raise HandlerHangs(f"the app does not end. It is here:\n{self.stack()}") from None

    @property
    def is_debugged(self) -> bool:
        """Whether a person looks at the app's thread, at a breakpoint."""
        frame = self._frame()
        while frame is not None:
            if frame.f_globals.get("__name__", "").startswith(_DEBUGGERS):
                return True
            frame = frame.f_back
        return False

    def stack(self) -> str:
        """Tell where the app's thread is."""
        frame = self._frame()
        return "".join(traceback.format_stack(frame)) if frame else "its thread has ended"

    def _frame(self) -> FrameType | None:
        return sys._current_frames().get(self._thread.ident or 0)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  (it is raised where the test waits for it)
            waited_for = self._ended if self._started.done() else self._started
            waited_for.set_exception(error)
        else:
            self._ended.set_result(None)
        finally:
            self._end.close()

    async def _serve(self) -> None:
        async with self._app.running():
            self._end.setblocking(False)
            watched = _Watched(self._app, self.raised)
            lines: Lines

            def hear(message: Tasks) -> None:
                lines.give(message.tasks)

            with closing(Speaking(self._end, hear)) as speaking, mmap(-1, TASKS_AT_MOST) as marks:
                async with open_lines(watched, marks, speaking, _TIMEOUT_SECONDS) as lines:
                    speaking.say(Ready(self._app.specs))
                    speaking.open()
                    self._started.set_result(None)
                    await speaking.has_ended.wait()
                    lines.forget_waiting()
                    await lines.finish()


class _Watched(App):
    """An App whose handlers are watched for what they raise."""

    def __init__(self, app: App, raised: Raised) -> None:
        super().__init__()
        self._app = app
        self._raised = raised

    @property
    def specs(self) -> list[HandlerSpec]:
        """See `App.specs`."""
        return self._app.specs

    def handler_for(self, kind: Kind, name: str) -> Handler | None:
        """See `App.handler_for`."""
        handler = self._app.handler_for(kind, name)
        if handler is None:
            return None
        return dataclasses.replace(handler, call=_watching(handler.call, kind, self._raised))


def _watching(call: Callable[[Any], Any], kind: Kind, raised: Raised) -> Callable[[Event], Any]:
    def watched(event: Event) -> Any:
        with _noting(event, kind, raised):
            result = call(event)
        return _await(result, event) if inspect.isawaitable(result) else result

    async def _await(result: Awaitable[object], event: Event) -> object:
        with _noting(event, kind, raised):
            return await result

    return watched


@contextmanager
def _noting(event: Event, kind: Kind, raised: Raised) -> Iterator[None]:
    try:
        yield
    except _MEANT:
        raise
    except BaseException as error:
        raised.note(kind, event.key, error)
        raise
