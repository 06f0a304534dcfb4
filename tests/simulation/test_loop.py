"""Simulated time passes only when nothing else is to be done, and a frozen process does nothing."""

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.simulation.loop import PROCESS, SimulatedLoop, Stuck


def run(coroutine: Coroutine[Any, Any, None], loop: SimulatedLoop | None = None) -> None:
    made = loop or SimulatedLoop()
    with asyncio.Runner(loop_factory=lambda: made) as runner:
        runner.run(coroutine)


def test_time_jumps_to_what_is_waited_for() -> None:
    loop = SimulatedLoop()

    async def wait() -> None:
        await asyncio.sleep(3600.0)
        assert loop.time() == 3600.0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60.0):
                await loop.create_future()
        assert loop.time() == 3660.0

    run(wait(), loop)


def test_what_is_ready_runs_in_the_order_in_which_it_became_so() -> None:
    ran: list[int] = []

    async def call() -> None:
        for number in range(100):
            asyncio.get_running_loop().call_soon(ran.append, number)
        await asyncio.sleep(0)
        assert ran == list(range(100))

    run(call())


def test_a_frozen_process_does_nothing_and_then_what_reached_it_before_its_timers() -> None:
    loop = SimulatedLoop()
    done: list[str] = []

    async def receive(reached: asyncio.Event) -> None:
        await reached.wait()
        done.append(f"received at {loop.time():.0f}")

    async def wait() -> None:
        await asyncio.sleep(1.0)
        done.append(f"waited until {loop.time():.0f}")

    async def look_on() -> None:
        reached = asyncio.Event()
        context = contextvars.copy_context()
        context.run(PROCESS.set, "frozen")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(wait(), context=context)
            tasks.create_task(receive(reached), context=context)
            await asyncio.sleep(0)
            loop.freeze("frozen")
            await asyncio.sleep(5.0)
            reached.set()
            await asyncio.sleep(5.0)
            assert not done
            loop.thaw("frozen")
        assert done == ["received at 10", "waited until 10"]

    run(look_on(), loop)


def test_waiting_for_what_never_comes_is_noticed() -> None:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        run(wait())


def test_going_on_and_on_at_one_moment_is_noticed() -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110  (the very thing that is looked for)
            await asyncio.sleep(0)

    with pytest.raises(Stuck):
        run(spin())


def test_what_nobody_hears_of_is_kept() -> None:
    loop = SimulatedLoop()

    def fail() -> None:
        raise ValueError("unheard")

    async def call() -> None:
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)

    run(call(), loop)
    assert "unheard" in loop.problems[0]
