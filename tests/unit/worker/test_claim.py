"""The right to append: begun by a Fence that was read, and every way to lose it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest

from broker.embedded import EmbeddedAccess, EmbeddedBroker
from broker.follow import Loss
from broker.interface import StoredRecord
from broker.record import Fence, Outcomes, Record, Refused, decode_record, encode_settled
from services.log_reader import LogReader
from services.view.partition import Change, PartitionView
from services.view.snapshot import Snapshot
from services.worker.claim import FENCE_EVERY_SECONDS, Claim, ClaimLost
from tests.unit.view.writing import MAIN, REMEMBER_SECONDS, LogWriter, kept
from tests.unit.worker.parts import WAIT_SECONDS, turns

HOLDER = "holder"


class Holding:
    """A claim, and the reader that it is told of the log by."""

    def __init__(self, node: EmbeddedBroker, broker: EmbeddedAccess) -> None:
        self.node = node
        self.writer = LogWriter(node)
        self.reader = LogReader(
            broker, MAIN, partitions=1, remember_seconds=REMEMBER_SECONDS, listener=self
        )
        self.claim = Claim(HOLDER, 1, broker.log(MAIN), self.reader)
        self._appended = 0
        self._news = asyncio.Event()

    @property
    def view(self) -> PartitionView:
        return self.reader.view

    def restarted(self, view: PartitionView, snapshot: Snapshot | None) -> None:
        pass

    def folded(self, stored: StoredRecord, record: Record, change: Change) -> None:
        self.claim.look_at(stored, record, change)
        self._news.set()

    def continuity_lost(self, loss: Loss) -> None:
        self.claim.abandon(loss.value)

    async def ready(self) -> None:
        pass

    async def fence(self) -> None:
        await self.claim.fence(self.view)

    def record(self, *, after: int | None = None) -> bytes:
        """A record that has not been appended before."""
        self._appended += 1
        made = Outcomes(HOLDER, self._appended, 1, 0, [Refused(107, "no")])
        return encode_settled(self.view.ledger.head if after is None else after, 0, [made], [])

    async def append(self) -> None:
        await self.claim.append(self.record(), 1)

    async def has_read(self, record: StoredRecord) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while self.view.position < record.position:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def holding(node: EmbeddedBroker) -> AsyncIterator[Holding]:
    async with node.open(HOLDER) as broker, asyncio.TaskGroup() as tasks:
        held = Holding(node, broker)
        following = tasks.create_task(held.reader.run())
        async with asyncio.timeout(WAIT_SECONDS):
            await held.reader.is_caught_up.wait()
        yield held
        following.cancel()


@pytest.fixture
def node() -> EmbeddedBroker:
    return EmbeddedBroker({"main": 1})


async def is_lost(waiting: Awaitable[object]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(ClaimLost):
            await waiting


def fences(node: EmbeddedBroker) -> list[Fence]:
    records = [decode_record(record.body) for record in kept(node)]
    return [record for record in records if isinstance(record, Fence)]


# ---- holding it


async def test_a_claim_begins_with_a_fence_of_the_logs_epoch(node: EmbeddedBroker) -> None:
    async with holding(node) as held:
        await held.fence()
        assert held.view.ledger.fence == fences(node)[-1]
    last = fences(node)[-1]
    assert (last.writer, last.partitions, last.cut) == (HOLDER, 1, False)
    assert last.epoch == fences(node)[0].epoch


async def test_a_claim_holds_over_its_own_records_and_fences(node: EmbeddedBroker) -> None:
    async with holding(node) as held:
        for _ in range(3):
            await held.fence()
            await held.append()
            await held.append()
        assert not held.claim.is_lost
        assert held.view.ledger.head == kept(node)[-1].position


async def test_each_fence_has_a_nonce_of_its_own(node: EmbeddedBroker) -> None:
    async with holding(node) as held:
        await held.fence()
        await held.fence()
    assert len({fence.nonce for fence in fences(node)}) == 3


async def test_what_others_appended_before_the_fence_does_no_harm(node: EmbeddedBroker) -> None:
    async with holding(node) as held:
        await held.writer.fence()
        await held.has_read(await held.writer.publish("a"))
        await held.fence()
        await held.append()
        assert not held.claim.is_lost


async def test_a_late_record_that_counts_for_nobody_does_no_harm(node: EmbeddedBroker) -> None:
    async with holding(node) as held:
        await held.fence()
        await held.has_read(await held.writer.settle_late())
        await held.append()
        assert not held.claim.is_lost


async def test_a_fence_is_due_some_seconds_after_the_last(node: EmbeddedBroker) -> None:
    async with holding(node) as held:
        assert held.claim.seconds_to_fence == 0
        await held.fence()
        assert FENCE_EVERY_SECONDS - 3 < held.claim.seconds_to_fence <= FENCE_EVERY_SECONDS


async def test_a_fence_ends_the_epoch_that_it_is_told_to(node: EmbeddedBroker) -> None:
    async with holding(node) as held:
        before = held.view.ledger.epoch
        await held.claim.fence(held.view, epoch_to_end=before)
        after = held.view.ledger.epoch
        assert after != before
        await held.claim.fence(held.view, epoch_to_end=before)
        assert held.view.ledger.epoch == after
    assert [fence.cut for fence in fences(node)] == [True, True, False]


async def test_a_log_without_any_fence_gets_its_first_epoch(node: EmbeddedBroker) -> None:
    node.lose_tail(MAIN, 1)
    async with node.open(HOLDER) as broker:
        held = Holding(node, broker)
        fencing = asyncio.ensure_future(held.fence())
        await turns()
        (fence,) = fences(node)
        held.claim.look_at(kept(node)[0], fence, held.view.fold(0, fence))
        await fencing
        assert fence.cut
        assert held.view.ledger.epoch == fence.epoch


# ---- losing it


async def test_a_fence_of_somebody_else_ends_a_claim(node: EmbeddedBroker) -> None:
    async with holding(node) as held:
        await held.fence()
        await held.has_read(await held.writer.fence())
        assert held.claim.is_lost
        records = len(kept(node))
        await is_lost(held.append())
        await is_lost(held.fence())
        assert len(kept(node)) == records


async def test_a_second_copy_of_its_own_fence_ends_a_claim(node: EmbeddedBroker) -> None:
    async with holding(node) as held:
        await held.fence()
        await held.has_read(await held.writer.append(kept(node)[-1].body))
        assert held.claim.is_lost


async def test_a_record_of_somebody_else_that_counts_ends_a_claim(node: EmbeddedBroker) -> None:
    async with holding(node) as held:
        await held.fence()
        await held.has_read(await held.writer.publish("a"))
        assert held.claim.is_lost


async def test_a_record_of_its_own_that_does_not_count_ends_a_claim(node: EmbeddedBroker) -> None:
    async with holding(node) as held:
        await held.fence()
        await is_lost(held.claim.append(held.record(after=-1), 1))
        assert held.claim.is_lost


async def test_a_fence_that_comes_between_a_record_and_its_append_ends_a_claim(
    node: EmbeddedBroker,
) -> None:
    async with holding(node) as held:
        await held.fence()
        body = held.record()
        node.hold_publishes()
        appending = asyncio.ensure_future(held.claim.append(body, 1))
        fencing = asyncio.ensure_future(held.writer.fence())
        await turns()
        node.release_publishes()
        await fencing
        async with asyncio.timeout(WAIT_SECONDS):
            await asyncio.wait([appending])
        await held.has_read(kept(node)[-1])
        # Whichever of them came first: the record counts only before the Fence.
        assert held.claim.is_lost


async def test_a_fence_right_behind_its_own_ends_a_claim_that_has_just_begun(
    node: EmbeddedBroker,
) -> None:
    async with holding(node) as held:
        node.hold_confirms()
        fencing = asyncio.ensure_future(held.fence())
        await turns()
        other = asyncio.ensure_future(held.writer.fence())
        await turns()
        node.release_confirms()
        await asyncio.wait([fencing, other])
        await held.has_read(kept(node)[-1])
        assert held.claim.is_lost
        await is_lost(held.append())


async def test_a_lost_connection_ends_a_claim_whatever_became_of_the_record(
    node: EmbeddedBroker,
) -> None:
    async with holding(node) as held:
        await held.fence()
        node.hold_confirms()
        appending = asyncio.ensure_future(held.append())
        await turns()
        node.disconnect(HOLDER)
        node.release_confirms()
        await is_lost(appending)
        node.reconnect(HOLDER)
        await is_lost(held.append())


async def test_a_record_that_is_not_confirmed_in_time_ends_a_claim(
    node: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with holding(node) as held:
        await held.fence()
        monkeypatch.setattr("services.worker.claim.CONFIRM_SECONDS", 0.02)
        node.hold_confirms()
        await is_lost(held.append())
        assert held.claim.is_lost
        assert held.reader.is_caught_up.is_set(), "it may be nowhere, and is not waited for"


async def test_a_record_that_is_not_read_back_in_time_ends_a_claim(
    node: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.worker.claim.UNREAD_SECONDS", 0.02)
    async with node.open(HOLDER) as broker:
        held = Holding(node, broker)  # whose reader does not run
        held.view.fold(0, fences(node)[0])
        held.reader.is_caught_up.set()
        await is_lost(held.fence())
        assert held.claim.is_lost
        assert not held.reader.is_caught_up.is_set(), "it is there, and is waited for"


async def test_an_epoch_that_changed_meanwhile_ends_a_claim(node: EmbeddedBroker) -> None:
    async with holding(node) as held:
        node.hold_publishes()
        cutting = asyncio.ensure_future(held.writer.fence("another", cut=True))
        await turns()
        fencing = asyncio.ensure_future(held.fence())
        await turns()
        node.release_publishes()
        await cutting
        await is_lost(fencing)
        assert held.view.ledger.epoch == "another"


async def test_a_log_that_cannot_be_read_on_ends_a_claim(node: EmbeddedBroker) -> None:
    async with holding(node) as held:
        await held.fence()
        appending = asyncio.ensure_future(held.append())
        held.claim.abandon("the log was rewritten")
        await is_lost(appending)


async def test_a_claim_outlives_a_reader_that_went_deaf(
    node: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.worker.claim.UNREAD_SECONDS", 0.4)
    async with holding(node) as held:
        await held.fence()
        node.deafen(HOLDER)
        await held.append()
        assert not held.claim.is_lost
