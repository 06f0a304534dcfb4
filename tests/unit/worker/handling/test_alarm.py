"""When an alarm rings, on both loops that a worker may have."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from services.worker.handling.alarm import Alarm

FAR_SECONDS = 3_600.0

Main = Callable[[asyncio.AbstractEventLoop], Coroutine[None, None, None]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    def run(main: Main) -> None:
        async def enter() -> None:
            async with asyncio.timeout(10):
                await main(asyncio.get_running_loop())

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(enter())

    return run


def test_it_rings_once_however_often_it_is_set_to_what_is_past(
    runner: Callable[[Main], None],
) -> None:
    async def main(loop: asyncio.AbstractEventLoop) -> None:
        rung = asyncio.Semaphore(0)
        alarm = Alarm(loop, rung.release)
        for late_seconds in (0, 1, 0):
            alarm.set(loop.time() - late_seconds)
        await rung.acquire()
        await asyncio.sleep(0)
        assert rung.locked()

    runner(main)


def test_it_rings_at_the_earliest_time(runner: Callable[[Main], None]) -> None:
    async def main(loop: asyncio.AbstractEventLoop) -> None:
        rung = asyncio.Event()
        alarm = Alarm(loop, rung.set)
        alarm.set(loop.time() + FAR_SECONDS)
        alarm.set(loop.time() + 0.01)
        alarm.set(loop.time() + FAR_SECONDS)
        await rung.wait()

    runner(main)


def test_it_can_be_set_again_when_it_has_rung(runner: Callable[[Main], None]) -> None:
    async def main(loop: asyncio.AbstractEventLoop) -> None:
        rung = asyncio.Semaphore(0)
        alarm = Alarm(loop, rung.release)
        for _ in range(2):
            alarm.set(loop.time())
            await rung.acquire()

    runner(main)
