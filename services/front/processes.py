"""Several front processes on one port: a parent that starts them, and starts them again.

The system spreads connections over them (SO_REUSEPORT). They share nothing: each reads the logs for
itself.

Rules
- A child that ends is started again, later and later if it keeps ending soon; one that says that
  trying again is of no use (its exit code) ends them all.
- A child whose parent is gone stops: it reads the end of the pipe that is its standard input.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from services.failing import CANNOT_START

_log = structlog.get_logger(__name__)

_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 15.0
# A child that has run for so long did not fail because of how it was started.
_STEADY_SECONDS: Final = 30.0
_KILL_AFTER_SECONDS: Final = 15.0


async def supervise(
    command: Sequence[str], count: int, stop: asyncio.Event, drain_seconds: float
) -> int:
    """Keep `count` processes of a command running until `stop` is set; give the exit code.

    Each gets its number, from 0, as the command's last argument.

    Cancelling: the children are told to stop and waited for.
    """
    codes: list[int] = []

    async def keep(number: int) -> None:
        codes.append(await _keep_running(command, number, stop, drain_seconds))
        # Whoever ends first, because it must or because it was told to, ends all.
        stop.set()

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(keep(number))
    return max(codes, default=0)


async def _keep_running(
    command: Sequence[str], number: int, stop: asyncio.Event, drain_seconds: float
) -> int:
    wait_seconds = _FIRST_WAIT_SECONDS
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        started_seconds = loop.time()
        code = await _run_one([*command, str(number)], stop, drain_seconds)
        if stop.is_set():
            return 0
        if code == CANNOT_START:
            return code
        if loop.time() - started_seconds > _STEADY_SECONDS:
            wait_seconds = _FIRST_WAIT_SECONDS
        _log.error("front process ended", number=number, code=code, again_in_seconds=wait_seconds)
        await _wait(stop, wait_seconds * random.uniform(0.8, 1.2))
        wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
    return 0


async def _run_one(command: Sequence[str], stop: asyncio.Event, drain_seconds: float) -> int:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdin=asyncio.subprocess.PIPE,
        # Ctrl-C reaches the parent alone: a child that hears of it twice would end at once.
        start_new_session=True,
    )
    ended = asyncio.ensure_future(child.wait())
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        if child.returncode is None:
            child.terminate()
            await asyncio.wait((ended,), timeout=drain_seconds + _KILL_AFTER_SECONDS)
        if child.returncode is None:
            child.kill()
    return await ended


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


@asynccontextmanager
async def stopping_with_parent(stop: asyncio.Event) -> AsyncIterator[None]:
    """In a child: set `stop` when the parent is gone."""
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()

    def take() -> None:
        loop.remove_reader(descriptor)
        stop.set()

    # The parent never writes, so the pipe becomes readable by ending.
    loop.add_reader(descriptor, take)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
