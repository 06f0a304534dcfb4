"""Runs one of our processes for as long as a block of code lasts, restarting it when it ends.

Rules: a child is in a session of its own, so that Ctrl-C in the terminal reaches us alone and we
stop the children in order; none outlives us.
"""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from broker.local.process import ending_with_us
from services.up.say import say

# By convention of our commands: the settings or the broker must be changed by a person first.
EXIT_CANNOT_START = 2
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0
STEADY_SECONDS = 30.0  # a child that ran this long starts anew with the first pause


class ChildCannotStart(Exception):
    """A child said that it cannot start as things are; it has printed why."""


@dataclass(frozen=True)
class Child:
    """A process to run: its name for people, its module and arguments, what it finds set."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    stop_seconds: float


class KillSwitch:
    """Kills a child as a failing machine would, and keeps it away for a while."""

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self._away_seconds: float | None = None

    def pull(self, away_seconds: float) -> bool:
        """Kill the child, or answer False: it does not run now."""
        if self.process is None or self.process.returncode is not None:
            return False
        self._away_seconds = away_seconds
        self.process.kill()
        return True

    def take(self) -> float | None:
        """For how long it stays away, if that is why it ended; tells it once."""
        away_seconds, self._away_seconds = self._away_seconds, None
        return away_seconds


@asynccontextmanager
async def running(child: Child, switch: KillSwitch | None = None) -> AsyncIterator[None]:
    """Keep a child running during the block, and stop it (SIGTERM) at its end.

    Cancelling: as at the end of the block; a second time: the child is killed.

    Raises:
        ChildCannotStart: it ended with the exit code that says so (in an exception group).
    """
    async with asyncio.TaskGroup() as tasks:
        supervising = tasks.create_task(_supervise(child, switch or KillSwitch()))
        yield
        supervising.cancel()


async def _supervise(child: Child, switch: KillSwitch) -> None:
    pause_seconds = FIRST_PAUSE_SECONDS
    while True:
        started = time.monotonic()
        code = await _run(child, switch)
        away_seconds = switch.take()
        if away_seconds is not None:
            say(f"the {child.name} was killed on request; starting it again in {away_seconds:g} s")
            await asyncio.sleep(away_seconds)
            continue
        if code == EXIT_CANNOT_START:
            raise ChildCannotStart(f"the {child.name} cannot start as things are")
        if time.monotonic() - started > STEADY_SECONDS:
            pause_seconds = FIRST_PAUSE_SECONDS
        say(f"the {child.name} ended ({_describe(code)}); starting it again in {pause_seconds:g} s")
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)


async def _run(child: Child, switch: KillSwitch) -> int:
    process = await asyncio.create_subprocess_exec(
        *ending_with_us([sys.executable, *child.arguments]),
        env=dict(child.environment),
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    switch.process = process
    try:
        return await process.wait()
    finally:
        switch.process = None
        await _stop(process, child.stop_seconds)


async def _stop(process: asyncio.subprocess.Process, timeout_seconds: float) -> None:
    if process.returncode is not None:
        return
    try:
        process.terminate()
        async with asyncio.timeout(timeout_seconds):
            await process.wait()
    except TimeoutError:
        say(f"process {process.pid} did not stop in {timeout_seconds:g} s; killing it")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _describe(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
