"""A seed's life: some workers, fronts, readers, publishers and subscribers, and what befalls them.

A world lives for a while, then closes: nobody publishes any more, what is broken heals, and
everything has to come to rest within a bounded time. Then it is checked.

Rules: small limits are used in most worlds, so that few records are enough to meet all of them.
"""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from random import Random
from typing import NamedTuple

import broker.departures
import services.log_reader
import services.view.ledger
import services.view.snapshot
import services.worker.claim
import services.worker.held
import services.worker.partition
import services.worker.snapshots
from broker.batch import decode_batch
from broker.embedded import EmbeddedBroker, EmbeddedLimits
from broker.partition import Partition
from broker.record import Refused
from services.settings import ChannelConfig, ChannelOptions, Config, LaneConfig, NamespaceConfig
from tests.simulation.archive import Archive
from tests.simulation.chance import Clocks, replaced, simulated
from tests.simulation.clients import FOLLOWED, Note, Publisher, Subscriber
from tests.simulation.handlers import FAILED, is_followed, name_of
from tests.simulation.loop import SimulatedLoop
from tests.simulation.nemesis import Nemesis
from tests.simulation.processes import (
    FrontProcess,
    Process,
    ReaderProcess,
    Run,
    WorkerProcess,
)
from tests.simulation.truth import read_truth

REST_SECONDS = 120.0
"""How long everything may take to come to rest, in virtual time, once nothing is broken."""

_REMEMBER_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_SHORT_LOG_BYTES = 30_000
"""Some 80 records: who is away for seconds is overtaken, but there is always a Fence in it."""


class Violation(Exception):
    """What must hold does not."""


@dataclass(frozen=True)
class Traits:
    """What kind of world it is."""

    is_log_lost: bool = False
    """Whether logs lose their tails or are made anew."""
    is_order_kept: bool = True
    """Whether pools give back what was not settled in its place."""
    is_log_short: bool = False
    """Whether retention overtakes those who are away for long."""
    is_pool_small: bool = False
    are_clocks_wrong: bool = False
    are_limits_small: bool = True
    has_handlers: bool = False
    """Whether handlers look at what is published. Not where retention is shorter than they take: it
    would take the settled part of a batch that they hold up, before a snapshot tells of it."""
    has_repeats: bool = False
    """Whether what was published is offered again, with its key. Not where retention takes keys, or
    a clock that goes an hour ahead does; nor where a record is lost from which something has
    followed, which then follows once more."""


def draw_traits(seed: int) -> Traits:
    random = Random(f"traits {seed}")
    is_log_short = random.random() < 0.25
    traits = Traits(
        is_log_lost=random.random() < 0.25,
        is_order_kept=random.random() < 0.85,
        is_log_short=is_log_short,
        is_pool_small=random.random() < 0.25,
        are_clocks_wrong=random.random() < 0.15,
        are_limits_small=random.random() < 0.85 or is_log_short,
        has_handlers=random.random() < 0.5 and not is_log_short,
    )
    keeps_keys = not (is_log_short or traits.are_clocks_wrong)
    keeps_all = not (traits.is_log_lost and traits.has_handlers)
    return replace(traits, has_repeats=random.random() < 0.5 and keeps_keys and keeps_all)


class Loss(NamedTuple):
    """A log lost its tail."""

    partition: Partition
    epoch: str
    """Of the log before."""
    witnesses: set[str]
    """The fronts that had read what was lost."""


@dataclass
class Journal:
    """What senders and readers were told, and what was lost."""

    notes: list[Note] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    turned_down: set[bytes] = field(default_factory=set)
    """What a handler refused or failed at, in one of its tries."""


class Pace:
    """How long a leg of the way takes in this world: mostly little, now and then a lot."""

    def __init__(self, random: Random) -> None:
        self._usual_seconds = random.choice((0.0003, 0.001, 0.004))
        self._seldom = random.choice((0.0, 0.01, 0.03))

    def draw(self, random: Random) -> float:
        if random.random() < self._seldom:
            return random.expovariate(1 / 0.3)
        return random.expovariate(1 / self._usual_seconds)


class World:
    """Everything there is in one simulation."""

    tasks: asyncio.TaskGroup
    closing: "asyncio.Future[None]"

    def __init__(self, seed: int, traits: Traits, loop: SimulatedLoop, clocks: Clocks) -> None:
        self.seed = seed
        self.traits = traits
        self.loop = loop
        self.clocks = clocks
        self.random = random = Random(f"world {seed}")
        self.pace = Pace(random)
        self.faults_a_second = random.choice((0.3, 1.0, 2.0))
        self.stay_seconds = random.choice((3.0, 15.0))
        self.life_seconds = random.choice((10.0, 15.0, 20.0, 80.0))
        # Long lives are for what takes long, not for much of it.
        self.rate = random.choice((2.0, 4.0, 8.0)) * (0.3 if self.life_seconds > 60.0 else 1.0)
        self.partitions = random.choice((1, 1, 2))
        self.config = make_config(self.partitions, random)
        self.node = EmbeddedBroker(
            {"main": self.partitions}, limits=self._limits(), wall_clock=clocks.true_time
        )
        self.archives = {
            partition: Archive(self.node, partition)
            for partition in (Partition("main", number) for number in range(self.partitions))
        }
        self.journal = Journal()
        self.nemesis = Nemesis(self)
        self.workers: list[WorkerProcess] = []
        self.fronts: list[FrontProcess] = []
        self.readers: list[ReaderProcess] = []
        self.subscribers: list[Subscriber] = []
        self.violations: list[str] = []
        self.within_positions = WITHIN_POSITIONS if traits.are_limits_small else 1_000
        self._born = 0
        self._losses = random.choice((1, 2, 5))

    def _limits(self) -> EmbeddedLimits:
        return EmbeddedLimits(
            inbound_max_bytes=4_000 if self.traits.is_pool_small else 2**20,
            log_max_bytes=_SHORT_LOG_BYTES if self.traits.is_log_short else 2**24,
        )

    @property
    def is_closing(self) -> bool:
        return self.closing.done()

    def report(self, violation: str) -> None:
        """Note that something must not have happened, and when it did."""
        self.violations.append(f"at {self.loop.time():.4f}: {violation}")

    def note_loss(self, partition: Partition, last: int) -> None:
        """Note who has read what a log, of which `last` is now the last record, has lost."""
        witnesses = {
            front.name
            for front in self.fronts
            if front.is_open
            for reader in front.view.readers
            if reader.partition == partition and reader.view.position > last
        }
        epoch = read_truth(self.archives[partition].generations[-2], WITHIN_POSITIONS).epoch
        self.journal.losses.append(Loss(partition, epoch, witnesses))

    def draw_clock_error(self) -> float:
        if self.traits.are_clocks_wrong and self.random.random() < 0.3:
            return self.random.choice((-3600.0, -90.0, 90.0, 3600.0))
        return self.random.uniform(-0.5, 0.5)

    def may_lose_log(self) -> bool:
        """Whether a log may be lost once more: not too often, nor when the world closes."""
        if self.is_closing or not self._losses:
            return False
        self._losses -= 1
        return True

    async def live(self) -> None:
        """Begin, live and come to rest.

        Raises:
            Violation: it does not come to rest.
        """
        self.closing = self.loop.create_future()
        try:
            await self._live()
        except* _Over:
            pass

    async def _live(self) -> None:
        async with asyncio.TaskGroup() as self.tasks:
            try:
                await self._live_and_rest()
            finally:
                # Whatever ended it: who is frozen could not end.
                self.loop.thaw_all()
            raise _Over

    async def _live_and_rest(self) -> None:
        for archive in self.archives.values():
            self.tasks.create_task(archive.run())
        self._populate()
        striking = self.tasks.create_task(self.nemesis.run())
        await asyncio.sleep(self.life_seconds)
        self.closing.set_result(None)
        await striking
        await self._come_to_rest()

    def _populate(self) -> None:
        for _ in range(self.random.choice((2, 3))):
            self._start_worker()
        for _ in range(2):
            self._start_front()
        for partition in self.archives:
            self._start_reader(partition)
        for number in range(self.random.choice((3, 6))):
            channel = FOLLOWED[number % len(FOLLOWED)]
            self.subscribers.append(Subscriber(self, f"subscriber {number}", channel))
            self.tasks.create_task(self.subscribers[-1].run())

    def _name(self, role: str) -> str:
        self._born += 1
        return f"{role}-{self._born}"

    def _start_worker(self) -> None:
        self.workers.append(WorkerProcess(self, self._name("worker")))

    def _start_front(self) -> None:
        front = FrontProcess(self, self._name("front"))
        self.fronts.append(front)
        self.tasks.create_task(self._publish_at(front))

    async def _publish_at(self, front: FrontProcess) -> None:
        while not front.is_open:
            if front.is_over:
                return
            await asyncio.sleep(0.05)
        await asyncio.wait([front.serve(Publisher(self, front).run)])

    def _start_reader(self, partition: Partition) -> None:
        self.readers.append(ReaderProcess(self, self._name("reader"), partition))

    async def replace_worker(self, worker: WorkerProcess, pause_seconds: float) -> None:
        """Start another worker in place of one that has ended."""
        if worker in self.workers:
            self.workers.remove(worker)
            await asyncio.sleep(pause_seconds)
            self._start_worker()

    async def replace_front(self, front: FrontProcess, pause_seconds: float) -> None:
        """Start another front in place of one that has ended."""
        if front in self.fronts:
            self.fronts.remove(front)
            await asyncio.sleep(pause_seconds)
            self._start_front()

    async def replace_reader(self, reader: ReaderProcess, pause_seconds: float) -> None:
        """Start another reader in place of one that has ended."""
        if reader in self.readers:
            self.readers.remove(reader)
            await asyncio.sleep(pause_seconds)
            self._start_reader(reader.partition)

    # ---- coming to rest

    async def _come_to_rest(self) -> None:
        deadline = self.loop.time() + REST_SECONDS
        unrest = "it has not been looked at"
        while unrest:
            if self.loop.time() > deadline:
                raise Violation(f"it does not come to rest: {unrest}")
            await asyncio.sleep(_LOOK_SECONDS)
            unrest = self._unrest()

    def _unrest(self) -> str:
        """What still moves, or has still to be said; empty if nothing."""
        return next(chain(self._dead(), self._unread(), self._unsaid()), "")

    def _dead(self) -> Iterator[str]:
        processes: list[Process] = [*self.workers, *self.fronts, *self.readers]
        for process in processes:
            if process.is_over:
                yield f"{process.name} has ended"

    def _unread(self) -> Iterator[str]:
        named = [(one.name, one.reader) for one in self.readers]
        named += [(front.name, reader) for front in self.fronts for reader in front.view.readers]
        for name, reader in named:
            last = self.archives[reader.partition].records[-1].position
            if not reader.is_caught_up.is_set() or reader.view.position != last:
                yield f"{name} has not read all of {reader.partition.name}"
            if name.startswith("front") and reader.epoch_to_end is not None:
                yield f"{name} waits for the end of an epoch"

    def _unsaid(self) -> Iterator[str]:
        for partition in self.archives:
            if unsettled := self.node.unsettled(partition):
                yield f"{unsettled} batches are unsettled in {partition.name}"
        for subscriber in self.subscribers:
            if not subscriber.is_subscribed:
                yield f"{subscriber.name} is nowhere"
        live = {front.name for front in self.fronts}
        for note in self.journal.notes:
            if note.producer in live and not note.is_over:
                yield f"{note.entry.payload!r} has no outcome"
        if self.traits.has_handlers and not self.traits.is_log_lost:
            yield from self._unfollowed()

    def _unfollowed(self) -> Iterator[str]:
        """What handlers published besides, in records that count, and is not there yet."""
        told = [
            each
            for archive in self.archives.values()
            for each in read_truth(archive.records, self.within_positions).told
            if each.kind == 0
        ]
        there = {name_of(each.payload) for each in told}
        for each in told:
            if is_followed(each) and each.payload not in there:
                yield f"nothing followed from {each.payload!r}"
        kept = {
            entry.payload
            for letter in self.node.dead_letters()
            for entry in decode_batch(letter.body).entries
        }
        for note in self.journal.notes:
            failed = isinstance(note.outcome, Refused) and note.outcome.code == FAILED
            if failed and note.entry.payload not in kept:
                yield f"{note.entry.payload!r} failed and was not set aside"


class _Over(Exception):
    """The world has come to rest, and all that runs in it ends."""


def make_config(partitions: int, random: Random) -> Config:
    size = random.choice((5, 50))
    history = {"history_size": size, "history_ttl": random.choice((5.0, 60.0))}
    return Config(
        lanes={"main": LaneConfig(partitions=partitions)},
        channel=ChannelConfig(history_meta_ttl=_REMEMBER_SECONDS),
        without_namespace=ChannelOptions(**history),
        namespace=(
            NamespaceConfig(name="queued", reply="queued", **history),
            NamespaceConfig(name="fleeting"),
        ),
    )


WITHIN_POSITIONS = 60
"""How far behind a Fence a record may be, where limits are small."""


@contextmanager
def small_limits() -> Iterator[None]:
    """Have limits that a small world meets: of positions, of records, of snapshots."""
    worker, snapshots = services.worker.partition, services.worker.snapshots
    with ExitStack() as stack:
        for module, name, value in (
            (services.view.ledger, "FENCE_EVERY_POSITIONS", WITHIN_POSITIONS // 2),
            (services.view.ledger, "SETTLED_WITHIN_POSITIONS", WITHIN_POSITIONS),
            (worker, "PREFETCH", 6),
            (services.worker.held, "RECORD_ENTRIES_AT_MOST", 8),
            (services.worker.claim, "FENCE_EVERY_SECONDS", 5.0),
            (services.log_reader, "READ_EARLY_SECONDS", 20.0),
            (snapshots, "EVERY_RECORDS", 12),
            (snapshots, "EVERY_SECONDS", 6.0),
            (snapshots, "AT_MOST_EVERY_SECONDS", 1.0),
            (services.view.snapshot, "_ROWS_A_PART", 2),
            (services.view.snapshot, "_PRODUCERS_A_PART", 2),
            (broker.departures, "BATCH_ENTRIES_AT_MOST", 4),
        ):
            stack.enter_context(replaced(module, name, value))
        yield


def live(seed: int, traits: Traits | None = None, *, is_logged: bool = False) -> World:
    """Live a seed's life.

    Raises:
        Violation: something that must hold does not.
    """
    traits = traits or draw_traits(seed)
    with ExitStack() as stack:
        loop = SimulatedLoop()
        clocks = stack.enter_context(simulated(loop, seed, is_logged=is_logged))
        if traits.are_limits_small:
            stack.enter_context(small_limits())
        runner = stack.enter_context(asyncio.Runner(debug=False, loop_factory=lambda: loop))
        world = World(seed, traits, loop, clocks)
        runner.run(world.live())
    if loop.problems:
        raise Violation(f"nobody heard of {loop.problems[0]}")
    return world
