"""A front and some workers with the team's handlers, on one embedded broker.

The front's time passes when it is told to; the workers' passes by itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker.embedded import EmbeddedBroker
from services.front.neighbours import SETTLING_SECONDS
from services.front.run import assemble, running
from services.settings import Config
from services.worker.app import run_worker
from services.worker.counting import WorkerCounters
from tests.unit.front.handlers import Handlers
from tests.unit.front.stage import NODE, FakeClock, Stage

NOW = 1_000_000.0


class AppStage(Stage):
    """A front's stage, with its time and its workers."""

    clock: FakeClock
    stops: list[asyncio.Event]

    async def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps, and everybody do what is due."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.turn(min(0.25, end - self.clock.now))
            for _ in range(20):
                await asyncio.sleep(0)

    async def stop_worker(self, number: int) -> None:
        """Have a worker leave; the front knows."""
        live = len(self.parts.neighbours.with_app())
        self.stops[number].set()
        await self.until(lambda: len(self.parts.neighbours.with_app()) < live)

    @asynccontextmanager
    async def another_worker(self, team: Handlers) -> AsyncIterator[None]:
        """Have one more worker during the block; the front knows."""
        live = len(self.parts.neighbours.with_app())
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_work(self.broker, self.parts.config, stop, team))
            await self.until(lambda: len(self.parts.neighbours.with_app()) > live)
            yield
            stop.set()


@asynccontextmanager
async def staging_apps(
    config: Config, *teams: Handlers, settles: bool = True
) -> AsyncIterator[AppStage]:
    """Run a front, and a worker for each of the teams."""
    broker = EmbeddedBroker({name: lane.partitions for name, lane in config.lanes.items()})
    clock = FakeClock()
    async with broker.open(NODE) as access, asyncio.TaskGroup() as tasks:
        fanout, parts = assemble(
            config,
            access,
            clock=clock,
            wall_clock=lambda: NOW + clock.now - 1000,
            jitter=lambda low, high: high,
        )
        async with running(parts, fanout):
            stage = AppStage(broker, parts, fanout)
            stage.clock, stage.stops = clock, []
            await stage.until(lambda: parts.view.is_caught_up)
            for team in teams:
                stop = asyncio.Event()
                stage.stops.append(stop)
                tasks.create_task(_work(broker, config, stop, team))
            if settles:
                await stage.until(lambda: len(parts.neighbours.with_app()) == len(teams))
                await stage.pass_time(SETTLING_SECONDS)
            try:
                yield stage
            finally:
                for team in teams:
                    team.gate.set()
                for stop in stage.stops:
                    stop.set()


async def _work(
    broker: EmbeddedBroker, config: Config, stop: asyncio.Event, team: Handlers
) -> None:
    async with broker.open() as access:
        await run_worker(config, access, stop, WorkerCounters(), team)
