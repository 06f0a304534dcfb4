"""What a deployment runs: workers, fronts, and readers that only read.

Each is the real thing over its own link to the embedded node. A process can be killed (its
connection goes, and none of its code gets anything done any more), frozen, and cut off.

Not here: who publishes and subscribes (`clients`), when what happens (`nemesis`).
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

from broker.embedded import EmbeddedAccess, Leg
from broker.follow import Loss
from broker.interface import StoredRecord
from broker.partition import Partition
from broker.producer import Producer
from broker.record import Record
from services.front.fanout import Fanout
from services.front.hub import Hub
from services.front.measures import Measures
from services.front.outbox import Flusher
from services.front.view import FrontView, all_partitions
from services.log_reader import LogReader
from services.view.partition import Change, PartitionView
from services.view.snapshot import Snapshot
from services.worker.app import run_worker
from services.worker.counting import WorkerCounters
from tests.simulation.handlers import SimulatedHandling
from tests.simulation.loop import PROCESS

if TYPE_CHECKING:
    from tests.simulation.world import World


class Ambush:
    """Lies in wait for a process at one leg of its way; strikes once, during that leg."""

    def __init__(self, leg: Leg) -> None:
        self.leg = leg
        self.sprung = asyncio.Event()


class Process:
    """One life of a process, from its start until it ends or is killed."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.ambush: Ambush | None = None
        self.slowness = 1.0
        self._random = Random(f"{world.seed} {name}")
        world.clocks.error_seconds[name] = world.draw_clock_error()
        self.context = contextvars.copy_context()
        self.context.run(PROCESS.set, name)
        self._task = world.tasks.create_task(self._live(), context=self.context)

    @property
    def is_over(self) -> bool:
        return self._task.done()

    async def kill(self) -> None:
        """End it, as SIGKILL does: nothing that it still wants to do gets to the node."""
        self.cut_off()
        self.world.loop.thaw(self.name)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def ended(self) -> None:
        """Wait until it has ended by itself."""
        await asyncio.wait([self._task])

    def freeze(self) -> None:
        self.world.loop.freeze(self.name)

    def thaw(self) -> None:
        self.world.loop.thaw(self.name)

    def cut_off(self) -> None:
        """Have it lose its connection, until `restore`."""
        with suppress(KeyError):
            self.world.node.disconnect(self.name)

    def restore(self) -> None:
        with suppress(KeyError):
            self.world.node.reconnect(self.name)

    def lose_intakes(self) -> None:
        """Have the node take its deliveries from it, and leave it the rest of its connection."""
        with suppress(KeyError):
            self.world.node.close_intakes(self.name)

    async def travel(self, leg: Leg) -> None:
        """See `broker.embedded.Travel`."""
        if self.ambush is not None and self.ambush.leg is leg:
            self.ambush.sprung.set()
            self.ambush = None
        await asyncio.sleep(self.slowness * self.world.pace.draw(self._random))

    async def _live(self) -> None:
        async with self.world.node.open(self.name, self.travel) as broker:
            await self.work(broker)

    async def work(self, broker: EmbeddedAccess) -> None:
        raise NotImplementedError


class WorkerProcess(Process):
    """A worker, all of it."""

    def __init__(self, world: "World", name: str) -> None:
        self.stop = asyncio.Event()
        super().__init__(world, name)

    async def work(self, broker: EmbeddedAccess) -> None:
        has_handlers = self.world.traits.has_handlers
        handling = SimulatedHandling(self.world, self.name) if has_handlers else None
        await run_worker(self.world.config, broker, self.stop, WorkerCounters(), handling)


class FrontProcess(Process):
    """A front without its sockets: the view, the fan-out and the producer."""

    view: FrontView
    hub: Hub
    flusher: Flusher
    producer: Producer
    tasks: asyncio.TaskGroup

    def __init__(self, world: "World", name: str) -> None:
        self.is_open = False
        super().__init__(world, name)

    async def work(self, broker: EmbeddedAccess) -> None:
        config = self.world.config
        self.hub, self.flusher = Hub(), Flusher()
        fanout = Fanout(self.hub, Measures())
        counts = {lane: each.partitions for lane, each in config.lanes.items()}
        self.producer = Producer(broker, self.name, all_partitions(counts))
        self.view = FrontView(broker, config, self.hub, fanout, self.producer)
        try:
            async with asyncio.TaskGroup() as self.tasks:
                for reader in self.view.readers:
                    self.tasks.create_task(reader.run())
                self.tasks.create_task(self.producer.run())
                self.tasks.create_task(fanout.run())
                self.tasks.create_task(self._sweep())
                self.is_open = True
        finally:
            self.is_open = False

    async def kill(self) -> None:
        self.is_open = False
        await super().kill()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.view.sweep()

    def serve(self, service: Callable[[], Awaitable[None]]) -> "asyncio.Task[None]":
        """Have something done in this process; it ends with it."""

        async def run() -> None:
            await service()

        return self.tasks.create_task(run(), context=self.context)


class Run:
    """What a reader has read without being told that something may be missing."""

    def __init__(self, reader: str, partition: Partition) -> None:
        self.reader = reader
        self.partition = partition
        self.counted: list[StoredRecord] = []
        self.is_told_lost = False


class ReaderProcess(Process):
    """Reads one log and nothing else; notes what counts, and what it is told."""

    reader: LogReader

    def __init__(self, world: "World", name: str, partition: Partition) -> None:
        self.partition = partition
        self._run: Run | None = None
        super().__init__(world, name)

    async def work(self, broker: EmbeddedAccess) -> None:
        self.reader = LogReader(
            broker,
            self.partition,
            partitions=self.world.partitions,
            remember_seconds=int(self.world.config.channel.history_meta_ttl),
            listener=self,
            history_seconds=self._random.choice((0.0, 0.0, 5.0, 60.0)),
        )
        await self.reader.run()

    def restarted(self, view: PartitionView, snapshot: Snapshot | None) -> None:
        if self._run is not None and self.reader.is_caught_up.is_set():
            self.world.report(f"{self.name} began anew though it could read on")
        self._begin_run()

    def _begin_run(self) -> None:
        self._run = Run(self.name, self.partition)
        self.world.journal.runs.append(self._run)

    def folded(self, stored: StoredRecord, record: Record, change: Change) -> None:
        assert self._run is not None
        if change.settled is not None:
            self._run.counted.append(stored)

    def continuity_lost(self, loss: Loss) -> None:
        assert self._run is not None
        self._run.is_told_lost = True
        self._begin_run()

    async def ready(self) -> None:
        if self._random.random() < 0.05:
            await asyncio.sleep(0)
