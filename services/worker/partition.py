"""One partition: wait for deliveries, claim the log, settle entries, leave.

The reader keeps the view folded all the time, so that this worker is as warm as the one that has
the partition. What it is given it decides while the record before it is under way, and appends
only when that one has been read back: one record in flight.

Rules:
- A delivery is settled when the outcome of its last entry was read back in a record that counts,
  by one task, and never requeued or rejected alone: that would break a channel's order.
- Leaving is always: finish the record in flight, wait until it is read, close the AMQP channel.
  Anything unexpected is leaving without the first two, and beginning again.

Not here: which worker is to have the partition (`sharing`).
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable

import structlog

from broker.batch import Batch, decode_batch
from broker.errors import BrokerUnavailable, SubmitRefused, UndecodableBody
from broker.follow import Loss
from broker.interface import Broker, Delivery, Intake, StoredRecord
from broker.partition import Partition
from broker.record import Record
from services.log_reader import LogReader
from services.settings import Config
from services.view.partition import Change, PartitionView
from services.view.settled import NUMBERS_KEPT, SettledNumbers
from services.view.snapshot import Snapshot
from services.worker.claim import Claim, ClaimLost
from services.worker.counting import WorkerCounters
from services.worker.deciding import Deciding, Decision, ToCut
from services.worker.record import DecidedBatch, DecidedEntry, encode_outcomes
from services.worker.settling import HeldDelivery, Settling
from services.worker.snapshots import SnapshotWriter

_log = structlog.get_logger(__name__)

# Each is a batch of up to 1,000 entries, so this is more than a record takes; and each is one more
# delivery done again when a worker dies. Must stay below what settled numbers are kept for.
PREFETCH = 64
if PREFETCH >= NUMBERS_KEPT:
    raise AssertionError("a batch that can be delivered again must have its number kept")

RECORD_ENTRIES_AT_MOST = 1_000
RECORD_BYTES_AT_MOST = 512 * 1024
"""A record holds at least one batch, and further ones as far as these go."""


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
    ) -> None:
        """Call `has_stood` whenever this worker has taken its stand in the partition's line."""
        self._broker = broker
        self._partition = partition
        self._partitions = config.lanes[partition.lane].partitions
        self._deciding = deciding
        self._counters = counters
        self._has_stood = has_stood
        self._settled = SettledNumbers()
        self._snapshots = SnapshotWriter(broker.tops(partition), partition.name)
        self._claim: Claim | None = None
        self._last_counted: StoredRecord | None = None
        self._arrived: deque[Delivery] = deque()
        self._news = asyncio.Event()
        self._redelivered = 0
        self._is_leaving = False
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
        self._settled = SettledNumbers()
        self._last_counted = None
        if snapshot is not None:
            self._settled.restore(snapshot.producers)

    def folded(self, stored: StoredRecord, record: Record, change: Change) -> None:
        """See `LogListener.folded`."""
        if change.settled is not None:
            for outcomes in change.settled.batches:
                self._settled.mark(outcomes)
            self._snapshots.count_record()
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
                    async with self._broker.inbound(self._partition).intake(PREFETCH) as intake:
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
        async with asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(self._take(intake))
            if await self._first_delivery():
                claim = self._claim = Claim(
                    self._broker.node_id,
                    self._partitions,
                    self._broker.log(self._partition),
                    self.reader,
                )
                await claim.fence(self.reader.view, epoch_to_end=self.reader.epoch_to_end)
                self._counters.claims.value += 1
                _log.info("partition claimed", partition=self._partition.name)
                settling = Settling(intake, self._broker.dead, self._counters, self._partition.name)
                await self._work(settling, claim, tasks)
                _log.info("partition handed on", partition=self._partition.name)
            taking.cancel()

    async def _take(self, intake: Intake) -> None:
        while True:
            deliveries = await intake.take()
            redelivered = sum(delivery.is_redelivered for delivery in deliveries)
            self._redelivered += redelivered
            self._arrived.extend(deliveries)
            self._news.set()

    async def _first_delivery(self) -> bool:
        """Wait for one; False if this worker is to go, or is not the one to take it."""
        while not self._arrived and not self._is_to_go:
            await self._news.wait()
            self._news.clear()
        # While the log is read anew the view is behind, and may not even have an epoch. Another
        # worker may be warm: it gets what has arrived, and we stand in line when we are.
        return not self._is_to_go and self.reader.is_caught_up.is_set()

    async def _work(self, settling: Settling, claim: Claim, tasks: asyncio.TaskGroup) -> None:
        held: list[HeldDelivery] = []
        while not self._is_to_go:
            # First of all: what comes from here on, during any wait below, is news again.
            self._news.clear()
            if claim.is_lost:
                raise ClaimLost("the log shows that the partition is somebody else's")
            held += self._decide_arrived(held)
            self._tell_redelivered()
            await settling.retry()
            if not held:
                await self._wait_for_news(claim)
                continue
            await self._cut_if_asked(claim, held)
            appended = self._encode(held)
            if appended is None:
                await settling.settle(held)
                held = []
                continue
            appending = tasks.create_task(claim.append(*appended))
            # Let it leave; then decide what has arrived meanwhile, which is work to be done while
            # the broker does its own.
            await asyncio.sleep(0)
            next_held = self._decide_arrived([])
            await appending
            await settling.settle(held)
            held = next_held
            self._write_snapshot()

    async def _wait_for_news(self, claim: Claim) -> None:
        try:
            async with asyncio.timeout(claim.seconds_to_fence):
                await self._news.wait()
        except TimeoutError:
            await claim.fence(self.reader.view)
            self._write_snapshot()

    def _tell_redelivered(self) -> None:
        """Say how many deliveries somebody else had, or we before: once for those of a moment."""
        if self._redelivered:
            _log.info("redelivered", partition=self._partition.name, deliveries=self._redelivered)
            self._counters.redelivered.value += self._redelivered
            self._redelivered = 0

    def _decide_arrived(self, held: list[HeldDelivery]) -> list[HeldDelivery]:
        """Decode and decide what fits into a record beside what is held already."""
        decided: list[HeldDelivery] = []
        entries = sum(len(h.decisions) for h in held)
        size_bytes = sum(len(h.delivery.body) for h in held)
        while self._arrived and entries < RECORD_ENTRIES_AT_MOST:
            delivery = self._arrived[0]
            size_bytes += len(delivery.body)
            if (held or decided) and size_bytes > RECORD_BYTES_AT_MOST:
                break
            self._arrived.popleft()
            one = self._decide(delivery)
            entries += len(one.decisions)
            decided.append(one)
        return decided

    def _decide(self, delivery: Delivery) -> HeldDelivery:
        try:
            batch = decode_batch(delivery.body)
        except UndecodableBody as error:
            return HeldDelivery(delivery, None, [], str(error))
        # Who had a redelivered batch before may have died before it set aside what was refused.
        if self._settled.is_whole(batch.producer, batch.number) and not delivery.is_redelivered:
            return HeldDelivery(delivery, batch, [], "")
        decide = self._deciding.decide
        decisions = [decide(entry, self._partition) for entry in batch.entries]
        return HeldDelivery(delivery, batch, decisions, "")

    async def _cut_if_asked(self, claim: Claim, held: Iterable[HeldDelivery]) -> None:
        """Begin a new epoch if an entry asks for the end of this one; or a Fence if one is due."""
        ledger = self.reader.view.ledger
        for one in held:
            for decision in one.decisions:
                if type(decision) is ToCut and decision.epoch == ledger.epoch:
                    await claim.fence(self.reader.view, epoch_to_end=decision.epoch)
                    return
        if claim.is_fence_due or ledger.is_fence_due(self.reader.view.position + 1):
            await claim.fence(self.reader.view)

    def _encode(self, held: Iterable[HeldDelivery]) -> tuple[bytes, int] | None:
        """Make the record of all that has no outcome yet; None if there is nothing.

        Only now is it looked up what is settled: the record before this one has been read, and it
        may have held another copy of a batch.
        """
        batches: list[DecidedBatch] = []
        seen: set[tuple[str, int]] = set()
        for one in held:
            if one.batch is None or (one.batch.producer, one.batch.number) in seen:
                continue
            seen.add((one.batch.producer, one.batch.number))
            entries = self._unsettled(one.batch, one.decisions)
            if entries:
                batches.append(DecidedBatch(one.batch, entries))
        if not batches:
            return None
        return encode_outcomes(self.reader.view, batches, time.time_ns() // 1_000_000)

    def _unsettled(self, batch: Batch, decisions: list[Decision]) -> list[DecidedEntry]:
        entries = [DecidedEntry(place, decision) for place, decision in enumerate(decisions)]
        if not self._settled.has_any(batch.producer, batch.number):
            return entries
        return [e for e in entries if not self._settled.has(batch.producer, batch.number, e.place)]

    def _write_snapshot(self) -> None:
        if self._snapshots.is_due and self._last_counted is not None:
            self._snapshots.take(self._last_counted, self.reader.view, self._settled)


def _raise_if_cancelled() -> None:
    """Go on with a cancellation that came with an error: before Python 3.13 a group hides it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
