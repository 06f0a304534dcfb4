"""One app process: starting it, its page and its conversation, its memory, ending it.

Rules
- It leads a process group of its own: Ctrl-C in a terminal reaches the worker, which ends its
  processes in order; and what handlers have started ends with the process that they started it in.
- It inherits the working folder, the environment and both outputs.

Not here: what it is given (`lines`), when another takes its place (`slot`).
"""

import asyncio
import contextlib
import mmap
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import structlog

import forebay.link
from forebay.link import TASKS_AT_MOST, Answers, CannotServe, Ready, Task, Tasks, ToWorker, encode
from services.settings import AppConfig
from services.worker.handling import starting
from services.worker.handling.conversation import CLOSED, Conversation

_log = structlog.get_logger(__name__)

STOP_SECONDS = 5.0
"""For an app's shutdown hooks, once it is told to end; then it is killed."""

_EXITED = "it ended"

# Of its socket's end and its own, the worker sees the first one first.
_GOING_SECONDS = 1.0

_PACKAGE = str(Path(forebay.link.__file__).parent)
_MEMORY_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class NotStarted(Exception):
    """An app process does not take tasks; the text says why."""


class AppProcess:
    """A running one."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        end: socket.socket,
        marks: mmap.mmap,
        hear: Callable[[Answers], None],
        has_room: Callable[[], None],
    ) -> None:
        """Call `hear` with what it answers, and `has_room` when it may be given more again."""
        loop = asyncio.get_running_loop()
        self._process = process
        self._hear_answers = hear
        self._ready: asyncio.Future[Ready] = loop.create_future()
        self._over: asyncio.Future[str] = loop.create_future()
        self._exit = loop.create_task(process.wait())
        self._exit.add_done_callback(lambda _: self._exited())
        self._is_let_go = False
        self.marks = marks
        self.is_believed = True
        """Whether all that it said made sense."""
        self._conversation = Conversation(end, self._hear, self._falls_silent, has_room)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def has_room(self) -> bool:
        """Whether it may be given more."""
        return self._conversation.has_room

    def give(self, tasks: list[Task]) -> None:
        """Give it tasks."""
        self._conversation.say(encode(Tasks(tasks)))

    def read(self) -> None:
        """Hear what it has said, before the loop tells of it."""
        self._conversation.read()

    def memory_bytes(self) -> int:
        """Its resident memory; 0 where that cannot be read."""
        try:
            text = Path(f"/proc/{self.pid}/statm").read_bytes()
            return int(text.split()[1]) * _MEMORY_PAGE_BYTES
        except (OSError, IndexError, ValueError):
            return 0

    async def started(self, timeout_seconds: float) -> Ready:
        """Wait until it takes tasks.

        Raises:
            NotStarted: it does not.

        Cancelling: nothing is lost.
        """
        await asyncio.wait(
            (self._ready, self._over), timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if self._ready.done():
            return self._ready.result()
        if self._over.done():
            raise NotStarted(await self._why())
        raise NotStarted(f"it did not start within {timeout_seconds:g} s")

    async def ended(self) -> str:
        """Wait until it will say no more, hear its last words, and give the reason.

        It is gone then, unless it was let go. Cancelling: it may go on.
        """
        await asyncio.wait((self._over,))
        reason = await self._why()
        if not self._is_let_go:
            self.kill()
            await asyncio.wait((self._exit,))
        return reason

    def let_go(self, reason: str) -> None:
        """Have `ended` return; nothing is under way."""
        self._is_let_go = True
        self._say_over(reason)

    def give_up(self, reason: str) -> None:
        """Have it killed."""
        self._say_over(reason)

    def disbelieve(self, reason: str) -> None:
        """Have it killed, and hear nothing of it any more: what it says makes no sense."""
        self.is_believed = False
        self._conversation.stop_reading()
        self._say_over(reason)

    async def stop(self) -> None:
        """End it: it sees that its socket is closed, has some time, and is killed.

        Cancelling: it is killed at once.
        """
        self._conversation.close()
        try:
            if self._ready.done() and not self._exit.done():
                await asyncio.wait((self._exit,), timeout=STOP_SECONDS)
                if not self._exit.done():
                    _log.warning("app process killed", pid=self.pid, reason="it did not end")
        finally:
            self.kill()
            await _until_done(self._exit)

    def kill(self) -> None:
        """Kill it, and what is left of what it has started."""
        # On macOS a group of processes that have all ended may not be signalled.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def _why(self) -> str:
        """Why it is over: what it did itself, if it is gone, and was not to go."""
        reason = self._over.result()
        if reason not in (CLOSED, _EXITED):
            return reason
        await asyncio.wait((self._exit,), timeout=_GOING_SECONDS)
        if self._exit.done():
            return _describe(self._exit.result())
        self.is_believed = False
        return reason

    def _hear(self, message: ToWorker) -> None:
        match message:
            case Answers() if self._ready.done():
                self._hear_answers(message)
            case Ready() if not self._ready.done():
                self._ready.set_result(message)
            case CannotServe():
                self._say_over(message.reason)
            case _:
                self.disbelieve("it said what it may not say now")

    def _exited(self) -> None:
        self._conversation.read_last()
        self._say_over(_EXITED)

    def _falls_silent(self, reason: str) -> None:
        if reason != CLOSED:
            self.is_believed = False
        self._say_over(reason)

    def _say_over(self, reason: str) -> None:
        if not self._over.done():
            self._over.set_result(reason)


@asynccontextmanager
async def running_process(
    app: AppConfig, hear: Callable[[Answers], None], has_room: Callable[[], None]
) -> AsyncIterator[AppProcess]:
    """Have an app process during the block, and end it (`AppProcess.stop`) after it.

    Raises:
        NotStarted: the system has no room for it.
    """
    try:
        process, end, marks = await _start_with_ends(app)
    except OSError as error:
        raise NotStarted(f"no process can be started: {error}") from error
    one = AppProcess(process, end, marks, hear, has_room)
    try:
        yield one
    finally:
        try:
            await one.stop()
        finally:
            marks.close()


async def _start_with_ends(
    app: AppConfig,
) -> tuple[asyncio.subprocess.Process, socket.socket, mmap.mmap]:
    """Start it, and give our end of its socket and its page."""
    with contextlib.ExitStack() as unless_started:
        ours, theirs = socket.socketpair()
        unless_started.callback(ours.close)
        with theirs, _shared_page() as page:
            marks = mmap.mmap(page, TASKS_AT_MOST)
            unless_started.callback(marks.close)
            process = await _started(app, theirs.fileno(), page)
        unless_started.pop_all()
        return process, ours, marks


async def _started(app: AppConfig, socket_fd: int, page_fd: int) -> asyncio.subprocess.Process:
    """Start it. Cancelling: it is started nevertheless, for only then can it be ended."""
    starting_it = asyncio.create_task(_start(app, socket_fd, page_fd))
    try:
        await _until_done(starting_it)
    except asyncio.CancelledError:
        process = starting_it.result()
        process.kill()
        await process.wait()
        raise
    return starting_it.result()


async def _until_done(soon: asyncio.Task[Any]) -> None:
    """Wait for what will be done soon, whatever else. Cancelling: only then."""
    is_cancelled = False
    while not soon.done():
        try:
            await asyncio.wait((soon,))
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        raise asyncio.CancelledError


async def _start(app: AppConfig, socket_fd: int, page_fd: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        starting.__file__,
        _PACKAGE,
        *("--app", app.path),
        *("--socket-fd", str(socket_fd)),
        *("--page-fd", str(page_fd)),
        *("--timeout", str(app.timeout)),
        stdin=asyncio.subprocess.DEVNULL,
        pass_fds=(socket_fd, page_fd),
        start_new_session=True,
    )


@contextmanager
def _shared_page() -> Iterator[int]:
    """Give the descriptor of a new page, for as long as the block lasts."""
    with contextlib.ExitStack() as opened:
        if hasattr(os, "memfd_create"):
            page = os.memfd_create("forebay-app")
            opened.callback(os.close, page)
        else:
            page = opened.enter_context(tempfile.TemporaryFile()).fileno()
        os.truncate(page, TASKS_AT_MOST)
        yield page


def _describe(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
