"""One partition: wait for deliveries, claim the log, settle entries, leave.

The reader keeps the view folded all the time, so that this worker is as warm as the one that has
the partition. What it is given it decides, or has handlers look at, while the record before it is
under way, and appends only when that one has been read back: one record in flight.

Rules:
- A delivery is settled when the outcome of its last entry was read back in a record that counts,
  by one task, and never requeued or rejected alone: that would break a channel's order.
- Leaving is always: let handlers end what they have been asked, for some seconds, finish the record
  in flight, wait until it is read, close the AMQP channel. Anything unexpected is leaving with the
  last alone, and beginning again.

Not here: how far what it holds has got (`held`), what follows from records (`following_up`), which
worker is to have the partition (`sharing`).
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import structlog

from broker.errors import BrokerUnavailable, SubmitRefused
from broker.follow import Loss
from broker.interface import Broker, Delivery, Intake, StoredRecord
from broker.partition import Partition
from broker.record import Fence, Record
from services.log_reader import LogReader
from services.settings import Config
from services.view.partition import Change, PartitionView
from services.view.settled import NUMBERS_KEPT, SettledNumbers
from services.view.snapshot import Snapshot
from services.worker.claim import FENCE_EVERY_SECONDS, Claim, ClaimLost
from services.worker.concluding import Concluding
from services.worker.counting import WorkerCounters
from services.worker.deciding import Deciding
from services.worker.following_up import FollowingUp
from services.worker.handling.interface import Handling, NoHandling
from services.worker.held import Held
from services.worker.record import MadeRecord, encode_outcomes
from services.worker.sequels import Sequels
from services.worker.settling import Settling
from services.worker.snapshots import SnapshotWriter

_log = structlog.get_logger(__name__)

# Each is a batch of up to 1,000 entries, so this is more than a record takes; and each is one more
# delivery done again when a worker dies. Must stay below what settled numbers are kept for.
PREFETCH = 64
PREFETCH_WITH_HANDLERS = 256
"""An entry that is tried again holds its delivery for seconds, and those of others are to go on."""
if PREFETCH_WITH_HANDLERS >= NUMBERS_KEPT:
    raise AssertionError("a batch that can be delivered again must have its number kept")

FINISHING_SECONDS = 5.0
"""How long a partition is kept for what handlers look at. Without it, whoever has it next would do
all of that again; with more, a worker that is told to stop might be killed meanwhile."""

# What handlers are asked about fills no record yet, and a backlog may have arrived: some 1,000
# entries, at 15 us each.
_TAKEN_BYTES_A_TURN = 256 * 1024

_SILENT_SECONDS = 2 * FENCE_EVERY_SECONDS
"""An owner that says nothing for so long is gone."""

_FOLLOWED_SECONDS = 1.0
"""How long a snapshot waits until what follows from the records before it is done."""


def _tell_nobody() -> None:
    """What becomes of the news where there are no other workers."""


class PartitionWorker:
    """One worker's part in one partition."""

    def __init__(
        self,
        broker: Broker,
        partition: Partition,
        config: Config,
        deciding: Deciding,
        counters: WorkerCounters,
        has_stood: Callable[[], None] = _tell_nobody,
        handling: Handling | None = None,
    ) -> None:
        """Call `has_stood` whenever this worker has taken its stand in the partition's line."""
        self._broker = broker
        self._partition = partition
        self._partitions = config.lanes[partition.lane].partitions
        self._deciding = deciding
        self._concluding = Concluding(config, deciding)
        self._handling = NoHandling() if handling is None else handling
        self._prefetch = PREFETCH if handling is None else PREFETCH_WITH_HANDLERS
        self._counters = counters
        self._has_stood = has_stood
        self._settled = SettledNumbers()
        self._sequels = Sequels(config.rabbitmq.log_max_bytes // 2)
        self._snapshots = SnapshotWriter(broker.tops(partition), partition.name)
        self._claim: Claim | None = None
        self._last_counted: StoredRecord | None = None
        self._arrived: deque[Delivery] = deque()
        self._news = asyncio.Event()
        self._redelivered = 0
        self._following_up = FollowingUp(broker, partition, self._sequels, counters, self._news.set)
        self._is_leaving = False
        self._finish_by_seconds: float | None = None
        self._is_stepping_behind = False
        self.reader = LogReader(
            broker,
            partition,
            partitions=self._partitions,
            remember_seconds=int(config.channel.history_meta_ttl),
            listener=self,
        )

    # ---- what the log says

    def restarted(self, view: PartitionView, snapshot: Snapshot | None) -> None:
        """See `LogListener.restarted`."""
        self._settled.clear()
        self._sequels.clear()
        self._last_counted = None
        if snapshot is not None:
            self._settled.restore(snapshot.producers)

    def folded(self, stored: StoredRecord, record: Record, change: Change) -> None:
        """See `LogListener.folded`."""
        if change.settled is not None:
            for outcomes in change.settled.batches:
                self._settled.mark(outcomes)
            self._sequels.take(stored, self.reader.view.ledger.epoch, change.settled)
            self._snapshots.count_record()
        elif isinstance(record, Fence) and record.epoch == self.reader.view.ledger.epoch:
            self._sequels.hear(record.followed, stored.position)
        if self.reader.view.ledger.head == stored.position:
            self._last_counted = stored
        if self._claim is not None:
            self._claim.look_at(stored, record, change)
            if self._claim.is_lost:
                self._news.set()

    def continuity_lost(self, loss: Loss) -> None:
        """See `LogListener.continuity_lost`."""
        if self._claim is not None:
            self._claim.abandon(f"the log was {loss.value}")
            self._news.set()

    async def ready(self) -> None:
        """See `LogListener.ready`: a worker folds as fast as it can read."""

    # ---- what is done about it

    async def run(self) -> None:
        """Work until told to leave.

        Raises:
            TopologyProblem: the partition is not there, or is not what the settings say.

        Cancelling: as if the process had died; nothing acknowledged is lost.
        """
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self.reader.run())
            writing = tasks.create_task(self._snapshots.run())
            while not self._is_leaving:
                await self.reader.is_caught_up.wait()
                self._is_stepping_behind = False
                is_well = True
                try:
                    async with self._broker.inbound(self._partition).intake(
                        self._prefetch
                    ) as intake:
                        await self._take_part(intake)
                except* (BrokerUnavailable, SubmitRefused, ClaimLost) as errors:
                    reasons = "; ".join(str(error) for error in errors.exceptions)
                    _log.info("partition left", partition=self._partition.name, reason=reasons)
                    self._counters.losses.value += 1
                    is_well = False
                self._claim = None
                _raise_if_cancelled()
                if not (is_well or self._is_leaving):
                    await asyncio.sleep(random.uniform(0.02, 0.2))
            following.cancel()
            writing.cancel()

    def leave(self) -> None:
        """Finish the record in flight, then leave the partition for good."""
        self._is_leaving = True
        self._news.set()
        self.reader.is_caught_up.set()

    def step_behind(self) -> None:
        """Finish the record in flight, then stand in line anew, behind whoever stands there."""
        self._is_stepping_behind = True
        self._news.set()

    @property
    def _is_to_go(self) -> bool:
        return self._is_leaving or self._is_stepping_behind

    async def _take_part(self, intake: Intake) -> None:
        """Take deliveries for as long as the claim lasts."""
        self._has_stood()
        self._arrived.clear()
        self._finish_by_seconds = None
        async with asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(self._take(intake))
            if await self._first_work():
                claim = self._claim = Claim(
                    self._broker.node_id,
                    self._partitions,
                    self._broker.log(self._partition),
                    self.reader,
                )
                await self._fence(claim, epoch_to_end=self.reader.epoch_to_end)
                self._counters.claims.value += 1
                _log.info("partition claimed", partition=self._partition.name)
                following_up = tasks.create_task(self._following_up.run())
                await self._hold(intake, claim, tasks)
                following_up.cancel()
                _log.info("partition handed on", partition=self._partition.name)
            taking.cancel()

    async def _take(self, intake: Intake) -> None:
        while True:
            deliveries = await intake.take()
            redelivered = sum(delivery.is_redelivered for delivery in deliveries)
            self._redelivered += redelivered
            self._arrived.extend(deliveries)
            self._news.set()

    async def _first_work(self) -> bool:
        """Wait for a delivery; False if this worker is to go, or is not the one to take it.

        Or for what nobody does: an owner that died has left something to follow, and nothing
        arrives that would make another one of somebody.
        """
        while not self._arrived and not self._is_to_go:
            heard = self.reader.view.position
            try:
                async with asyncio.timeout(_SILENT_SECONDS * random.uniform(1.0, 1.5)):
                    await self._news.wait()
                    self._news.clear()
            except TimeoutError:
                if not self._sequels.is_none and heard == self.reader.view.position:
                    break
        # While the log is read anew the view is behind, and may not even have an epoch. Another
        # worker may be warm: it gets what has arrived, and we stand in line when we are.
        return not self._is_to_go and self.reader.is_caught_up.is_set()

    async def _hold(self, intake: Intake, claim: Claim, tasks: asyncio.TaskGroup) -> None:
        """Work on what is held, and let go of it when the claim ends."""
        settling = Settling(intake, self._broker.dead, self._counters, self._partition.name)
        held = Held(
            self._partition,
            self._deciding,
            self._concluding,
            self._handling,
            self._settled,
            self._news.set,
        )
        try:
            await self._work(held, settling, claim, tasks)
        finally:
            self._handling.abandon(held)

    async def _work(
        self, held: Held, settling: Settling, claim: Claim, tasks: asyncio.TaskGroup
    ) -> None:
        while not self._is_done(held):
            # First of all: what comes from here on, during any wait below, is news again.
            self._news.clear()
            if claim.is_lost:
                raise ClaimLost("the log shows that the partition is somebody else's")
            self._take_arrived(held)
            self._tell_redelivered()
            await settling.retry()
            await self._fence_if_due(held, claim)
            record = self._make_record(held)
            if record is None:
                await settling.settle(held.take_settled())
                if self._may_take(held):
                    await asyncio.sleep(0)
                else:
                    await self._wait_for_news(claim)
                continue
            appending = tasks.create_task(claim.append(record.body, record.entries))
            # Let it leave; then decide what has arrived meanwhile, which is work to be done while
            # the broker does its own.
            await asyncio.sleep(0)
            self._take_arrived(held)
            await appending
            self._count(record)
            await settling.settle(held.take_settled())
            await self._write_snapshot()

    def _is_done(self, held: Held) -> bool:
        """Whether to let go: told to, with nothing under way that can be done, or for too long."""
        if not self._is_to_go:
            return False
        is_followed = self._sequels.is_none or self._following_up.is_held_up
        if is_followed and not held.is_unfinished:
            return True
        loop = asyncio.get_running_loop()
        if self._finish_by_seconds is None:
            self._finish_by_seconds = loop.time() + FINISHING_SECONDS
            loop.call_at(self._finish_by_seconds, self._news.set)
        return loop.time() >= self._finish_by_seconds

    async def _wait_for_news(self, claim: Claim) -> None:
        try:
            async with asyncio.timeout(claim.seconds_to_fence):
                await self._news.wait()
        except TimeoutError:
            await self._fence(claim)
            await self._write_snapshot()

    async def _fence_if_due(self, held: Held, claim: Claim) -> None:
        """Begin a new epoch if an entry asks for the end of this one; or a Fence if one is due."""
        ledger = self.reader.view.ledger
        if held.cut_asked(ledger.epoch):
            await self._fence(claim, epoch_to_end=ledger.epoch)
        elif claim.is_fence_due or ledger.is_fence_due(self.reader.view.position + 1):
            await self._fence(claim)

    async def _fence(self, claim: Claim, *, epoch_to_end: str | None = None) -> None:
        await claim.fence(
            self.reader.view, epoch_to_end=epoch_to_end, followed=self._sequels.followed
        )

    def _tell_redelivered(self) -> None:
        """Say how many deliveries somebody else had, or we before: once for those of a moment."""
        if self._redelivered:
            _log.info("redelivered", partition=self._partition.name, deliveries=self._redelivered)
            self._counters.redelivered.value += self._redelivered
            self._redelivered = 0

    def _take_arrived(self, held: Held) -> None:
        """Decide what has arrived, as far as a record goes beside what is decided already."""
        taken_bytes = 0
        while taken_bytes < _TAKEN_BYTES_A_TURN and self._may_take(held):
            delivery = self._arrived.popleft()
            held.take(delivery)
            taken_bytes += len(delivery.body)

    def _may_take(self, held: Held) -> bool:
        return bool(self._arrived) and not self._is_to_go and held.has_room

    def _make_record(self, held: Held) -> MadeRecord | None:
        """Make the record of what is decided; None if there is nothing, or no room for more."""
        if not self._sequels.has_room:
            return None
        batches = held.take_decided()
        if not batches:
            return None
        return encode_outcomes(
            self.reader.view, batches, time.time_ns() // 1_000_000, self._sequels.followed
        )

    def _count(self, record: MadeRecord) -> None:
        self._counters.entries.value += record.entries
        self._counters.refused.value += len(record.refusals)
        for code in record.refusals:
            self._counters.refusals.add(code)

    async def _write_snapshot(self) -> None:
        if not self._snapshots.is_due or self._last_counted is None:
            return
        # Whoever starts from it does not read of what is to follow from the records before it.
        if not self._following_up.is_held_up:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FOLLOWED_SECONDS):
                    await self._sequels.until_none()
        # Looked at anew: while this waited, somebody else's record may have been read.
        if self._sequels.is_none:
            self._snapshots.take(self._last_counted, self.reader.view, self._settled)
        else:
            self._snapshots.postpone()


def _raise_if_cancelled() -> None:
    """Go on with a cancellation that came with an error: before Python 3.13 a group hides it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
