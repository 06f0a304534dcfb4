"""Entries leave in batches: each once, in order, bounded, and their waiters hear the truth."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from broker.batch import NO_SENDER, Batch, Entry, EntryKind, decode_batch
from broker.departures import BATCH_BYTES_AT_MOST, BATCH_ENTRIES_AT_MOST
from broker.embedded import EmbeddedAccess, EmbeddedBroker, EmbeddedLimits
from broker.interface import Publishing
from broker.partition import Partition
from broker.producer import (
    ANSWER_SECONDS,
    FULL_SECONDS,
    PATIENCE_SECONDS,
    UNCONFIRMED_SECONDS,
    WAITING_BYTES_AT_MOST,
    WAITING_SECONDS_AT_MOST,
    Producer,
)
from broker.record import Done, Outcome, Outcomes, Refused

PARTITIONS = [Partition("main", number) for number in range(4)]
FIRST = PARTITIONS[0]
WAIT_SECONDS = 5.0
MIB = 2**20

CONFIRMED, REFUSED, GIVEN_UP = "confirmed", "refused", "given up"


class Heard:
    """A waiter that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[str | Outcome] = []
        self._news = asyncio.Event()

    def confirmed(self) -> None:
        self._hear(CONFIRMED)

    def settled(self, outcome: Outcome) -> None:
        self._hear(outcome)

    def refused(self) -> None:
        self._hear(REFUSED)

    def given_up(self) -> None:
        self._hear(GIVEN_UP)

    async def hears(self, *expected: str | Outcome) -> None:
        """Wait until this, and nothing else, was told."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.told) < len(expected):
                self._news.clear()
                await self._news.wait()
        assert self.told == [*expected]

    def _hear(self, what: str | Outcome) -> None:
        self.told.append(what)
        self._news.set()


class Turned:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Bench:
    """A producer on an embedded node."""

    def __init__(self, node: EmbeddedBroker, broker: EmbeddedAccess) -> None:
        self.node = node
        self.broker = broker
        self.clock = Turned()
        self.producer = Producer(broker, "p", PARTITIONS, self.clock)

    def offer(
        self,
        channel: str,
        partition: Partition = FIRST,
        *,
        payload: bytes = b"{}",
        is_patient: bool = False,
    ) -> Heard | None:
        heard = Heard()
        entry = Entry(EntryKind.PUBLISH, channel, NO_SENDER, payload)
        is_taken = self.producer.offer(partition, entry, heard, is_patient=is_patient)
        return heard if is_taken else None

    def take(self, channel: str, partition: Partition = FIRST, *, payload: bytes = b"{}") -> Heard:
        """Offer what is sure to be taken."""
        heard = self.offer(channel, partition, payload=payload)
        assert heard is not None
        return heard

    def publishing(self) -> Publishing:
        return self.producer.publishing

    def pool(self, partition: Partition = FIRST) -> list[Batch]:
        return [decode_batch(waiting.body) for waiting in self.node.waiting(partition)]

    def channels(self, partition: Partition = FIRST) -> list[tuple[int, list[str]]]:
        """The waiting batches' numbers, and the channels of their entries."""
        return [(b.number, [e.channel for e in b.entries]) for b in self.pool(partition)]

    def filled(self) -> list[int]:
        return [partition.number for partition in PARTITIONS if self.node.waiting(partition)]

    async def take_away(self, partition: Partition = FIRST) -> None:
        """Settle all that waits in a pool."""
        async with self.broker.inbound(partition).intake(1000) as intake:
            for delivery in await intake.take():
                await intake.settle(delivery)

    def settle(self, number: int, outcomes: Sequence[Outcome], *, first: int = 0) -> None:
        size = first + len(outcomes)
        self.producer.settle(FIRST, Outcomes("p", number, size, first, [*outcomes]))

    async def reconnect(self) -> None:
        self.node.disconnect(self.broker.node_id)
        await turns()
        self.node.reconnect(self.broker.node_id)


@asynccontextmanager
async def running(*, pool_bytes: int = 64 * MIB) -> AsyncIterator[Bench]:
    limits = EmbeddedLimits(inbound_max_bytes=pool_bytes)
    node = EmbeddedBroker({"main": len(PARTITIONS)}, limits=limits)
    async with node.open() as broker, asyncio.TaskGroup() as tasks:
        bench = Bench(node, broker)
        submitting = tasks.create_task(bench.producer.run())
        await turns()
        yield bench
        submitting.cancel()


async def turns() -> None:
    """Let every task get as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def drained(bench: Bench) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        await bench.producer.drain()


# ---- batches


async def test_what_one_turn_offers_leaves_in_one_batch() -> None:
    async with running() as bench:
        for channel in "abc":
            bench.take(channel)
        await drained(bench)
        assert bench.channels() == [(1, ["a", "b", "c"])]


async def test_an_idle_producer_submits_at_once_and_numbers_from_one() -> None:
    async with running() as bench:
        for channel in "abc":
            await bench.take(channel).hears(CONFIRMED)
        assert bench.channels() == [(1, ["a"]), (2, ["b"]), (3, ["c"])]


async def test_entries_gather_while_a_batch_of_their_partition_is_in_flight() -> None:
    async with running() as bench:
        bench.node.hold_confirms()
        bench.take("a")
        await turns()
        for channel in "bc":
            bench.take(channel)
            await turns()
        assert bench.channels() == [(1, ["a"])]
        bench.node.release_confirms()
        await drained(bench)
        assert bench.channels() == [(1, ["a"]), (2, ["b", "c"])]


async def test_a_batch_has_no_more_entries_than_it_may() -> None:
    async with running() as bench:
        for _ in range(BATCH_ENTRIES_AT_MOST + 1):
            bench.take("a")
        await drained(bench)
        assert [len(batch.entries) for batch in bench.pool()] == [BATCH_ENTRIES_AT_MOST, 1]


async def test_a_batch_has_no_more_bytes_than_it_may_but_one_entry_at_least() -> None:
    async with running() as bench:
        for size in (BATCH_BYTES_AT_MOST * 2, 10, BATCH_BYTES_AT_MOST - 1000, 1000):
            bench.take("a", payload=bytes(size))
        await drained(bench)
        assert [len(batch.entries) for batch in bench.pool()] == [1, 2, 1]


async def test_a_senders_bytes_count_for_a_batch() -> None:
    async with running() as bench:
        sender = msgspec.Raw(b'"' + b"x" * (BATCH_BYTES_AT_MOST // 3) + b'"')
        for _ in range(4):
            entry = Entry(EntryKind.PUBLISH, "a", sender, b"1")
            assert bench.producer.offer(FIRST, entry, Heard())
        await drained(bench)
        assert [len(batch.entries) for batch in bench.pool()] == [2, 2]


# ---- two in flight


@pytest.fixture
def endless_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, what is counted in flight stays so."""
    monkeypatch.setattr("broker.producer.PATIENCE_SECONDS", 60.0)


@pytest.mark.usefixtures("endless_patience")
async def test_two_batches_are_in_flight_the_longest_waiting_first() -> None:
    async with running() as bench:
        bench.node.hold_confirms()
        for number in (3, 1, 0, 2):
            bench.take("a", PARTITIONS[number])
            bench.clock.seconds += 0.001
        await turns()
        assert bench.filled() == [1, 3]


@pytest.mark.usefixtures("endless_patience")
async def test_a_confirm_lets_the_next_partition_go() -> None:
    async with running() as bench:
        bench.node.hold_confirms()
        for partition in PARTITIONS:
            bench.take("a", partition)
        await turns()
        assert len(bench.filled()) == 2
        bench.node.release_confirms()
        await drained(bench)
        assert bench.filled() == [0, 1, 2, 3]


async def test_a_slow_partition_holds_up_the_others_no_longer_than_patience_lasts() -> None:
    async with running() as bench:
        bench.node.hold_confirms()
        for partition in PARTITIONS:
            bench.take("a", partition)
        await asyncio.sleep(PATIENCE_SECONDS * 1.2)
        await turns()
        assert bench.filled() == [0, 1, 2, 3]


async def test_impatience_does_not_put_a_second_batch_of_a_partition_in_flight() -> None:
    async with running() as bench:
        bench.node.hold_confirms()
        bench.take("a")
        await turns()
        bench.take("b")
        await asyncio.sleep(PATIENCE_SECONDS * 1.2)
        await turns()
        assert bench.channels() == [(1, ["a"])]


async def test_a_batch_that_lost_patience_is_not_counted_off_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as bench:
        bench.node.hold_confirms()
        for partition in PARTITIONS:
            bench.take("a", partition)
        await asyncio.sleep(PATIENCE_SECONDS * 2.5)
        monkeypatch.setattr("broker.producer.PATIENCE_SECONDS", 60.0)
        bench.node.release_confirms()
        await drained(bench)
        bench.node.hold_confirms()
        for partition in PARTITIONS:
            bench.take("b", partition)
        await turns()
        assert sum(len(bench.pool(partition)) for partition in PARTITIONS) == 4 + 2


# ---- lost confirms


async def test_a_batch_whose_confirm_was_lost_is_submitted_again_before_any_other() -> None:
    async with running() as bench:
        bench.node.hold_confirms()
        first = bench.take("a")
        await turns()
        second = bench.take("b")
        await bench.reconnect()
        bench.node.release_confirms()
        await second.hears(CONFIRMED)
        await first.hears(CONFIRMED)
        assert bench.channels() == [(1, ["a"]), (1, ["a"]), (2, ["b"])]
        assert bench.producer.resubmitted == 1
    ids = [waiting.message_id for waiting in bench.node.waiting(FIRST)]
    assert ids[0] == ids[1] != ids[2]


async def test_a_batch_is_submitted_until_the_broker_is_back() -> None:
    async with running() as bench:
        bench.node.hold_publishes()
        waiter = bench.take("a")
        await turns()
        bench.node.disconnect(bench.broker.node_id)
        bench.node.release_publishes()
        await asyncio.sleep(0.3)
        assert waiter.told == []
        bench.node.reconnect(bench.broker.node_id)
        await waiter.hears(CONFIRMED)
        assert bench.channels() == [(1, ["a"])]


async def test_what_was_refused_after_a_lost_confirm_is_known_only_to_the_log() -> None:
    async with running(pool_bytes=200) as bench:
        bench.node.hold_confirms()
        waiter = bench.take("a")
        await turns()
        assert bench.channels() == [(1, ["a"])]
        await bench.reconnect()
        bench.node.release_confirms()
        await drained(bench)
        assert bench.channels() == [(1, ["a"])]
        assert waiter.told == []
        bench.settle(1, [Done()])
        assert waiter.told == [Done()]


async def test_what_was_refused_after_a_lost_confirm_is_given_up_in_time() -> None:
    async with running(pool_bytes=200) as bench:
        bench.node.hold_confirms()
        waiter = bench.take("a")
        await turns()
        await bench.reconnect()
        bench.node.release_confirms()
        await drained(bench)
        bench.clock.seconds += ANSWER_SECONDS
        await waiter.hears(GIVEN_UP)


# ---- refusals


async def test_a_full_pool_refuses_and_the_number_is_never_used_again() -> None:
    async with running(pool_bytes=1000) as bench:
        await bench.take("a", payload=bytes(600)).hears(CONFIRMED)
        refused = bench.take("b", payload=bytes(600))
        await refused.hears(REFUSED)
        await bench.take_away()
        await bench.take("c").hears(CONFIRMED)
        assert bench.channels() == [(3, ["c"])]
        assert bench.producer.resubmitted == 0
        bench.settle(2, [Done()])
        assert refused.told == [REFUSED]


async def test_what_waits_behind_a_refused_batch_goes_on() -> None:
    async with running(pool_bytes=1000) as bench:
        bench.node.hold_publishes()
        large = bench.take("a", payload=bytes(2000))
        await turns()
        small = bench.take("b")
        bench.node.release_publishes()
        await large.hears(REFUSED)
        await small.hears(CONFIRMED)
        assert bench.channels() == [(2, ["b"])]


async def test_a_producer_that_does_not_run_takes_nothing() -> None:
    node = EmbeddedBroker({"main": len(PARTITIONS)})
    async with node.open() as broker:
        assert Bench(node, broker).offer("a") is None


async def test_a_producer_without_a_connection_takes_nothing() -> None:
    async with running() as bench:
        bench.node.disconnect(bench.broker.node_id)
        assert bench.offer("a") is None
        bench.node.reconnect(bench.broker.node_id)
        await bench.take("a").hears(CONFIRMED)


async def test_a_producer_takes_nothing_for_a_pool_that_has_not_confirmed_for_too_long() -> None:
    async with running() as bench:
        bench.node.hold_confirms()
        bench.take("a")
        await turns()
        bench.clock.seconds += UNCONFIRMED_SECONDS + 0.01
        assert bench.offer("b") is None
        assert bench.offer("b", PARTITIONS[1]) is not None
        bench.node.release_confirms()
        await drained(bench)
        await bench.take("b").hears(CONFIRMED)


async def test_a_producer_takes_nothing_while_the_broker_holds_publishers_back() -> None:
    async with running() as bench:
        bench.node.block_publishers()
        waiting = bench.take("a")  # it was not known yet
        await turns()
        assert bench.publishing() is Publishing.BLOCKED
        assert [bench.offer("b", partition) for partition in PARTITIONS] == [None] * 4
        bench.clock.seconds += WAITING_SECONDS_AT_MOST + 0.01
        await waiting.hears(REFUSED)
        bench.node.release_publishes()
        await until_taken(bench, "c")
        assert bench.channels() == [(1, ["c"])]


async def test_what_waits_goes_on_if_publishers_are_held_back_only_for_a_moment() -> None:
    async with running() as bench:
        bench.node.block_publishers()
        waiting = bench.take("a")
        await turns()
        bench.node.release_publishes()
        await waiting.hears(CONFIRMED)
        assert bench.channels() == [(1, ["a"])]


async def test_what_is_in_flight_when_publishers_are_held_back_is_not_refused() -> None:
    async with running() as bench:
        bench.node.hold_publishes()
        in_flight = bench.take("a")
        await turns()
        waiting = bench.take("b")
        bench.node.block_publishers()
        bench.clock.seconds += WAITING_SECONDS_AT_MOST + 0.01
        await waiting.hears(REFUSED)
        assert in_flight.told == []
        bench.node.release_publishes()
        await in_flight.hears(CONFIRMED)


async def test_what_never_left_is_refused_when_the_connection_is_lost() -> None:
    async with running() as bench:
        waiter = bench.take("a")
        await asyncio.sleep(0)  # its batch is made, and not sent yet
        bench.node.disconnect(bench.broker.node_id)
        await waiter.hears(REFUSED)
        bench.node.reconnect(bench.broker.node_id)
        await bench.take("b").hears(CONFIRMED)
        assert bench.channels() == [(2, ["b"])]
        assert bench.producer.resubmitted == 0


async def test_what_waits_for_a_connection_is_refused_in_time() -> None:
    async with running() as bench:
        waiter = bench.take("a")
        bench.node.disconnect(bench.broker.node_id)
        await turns()
        assert waiter.told == []
        bench.clock.seconds += WAITING_SECONDS_AT_MOST + 0.01
        await waiter.hears(REFUSED)
        await drained(bench)


async def test_publishing_is_blocked_while_a_pool_is_full() -> None:
    async with running(pool_bytes=1000) as bench:
        await bench.take("a", payload=bytes(600)).hears(CONFIRMED)
        assert bench.publishing() is Publishing.OPEN
        await bench.take("b", payload=bytes(600)).hears(REFUSED)
        assert bench.publishing() is Publishing.BLOCKED
        assert bench.offer("c", PARTITIONS[1]) is not None
        await bench.take_away()
        await bench.take("b", payload=bytes(600)).hears(CONFIRMED)
        assert bench.publishing() is Publishing.OPEN


async def test_a_pool_that_nobody_tried_again_is_not_called_full_for_long() -> None:
    async with running(pool_bytes=100) as bench:
        await bench.take("a", payload=bytes(600)).hears(REFUSED)
        bench.clock.seconds += FULL_SECONDS + 0.01
        assert bench.publishing() is Publishing.OPEN


async def until_taken(bench: Bench, channel: str) -> None:
    """Offer until it is taken, and wait until it is confirmed."""
    async with asyncio.timeout(WAIT_SECONDS):
        while (heard := bench.offer(channel)) is None:  # noqa: ASYNC110 - it is asked now and then
            await asyncio.sleep(0.01)
    await heard.hears(CONFIRMED)


async def test_no_more_bytes_wait_than_may() -> None:
    async with running() as bench:
        bench.node.hold_publishes()
        bench.take("in flight")
        await turns()
        taken = 0
        while bench.offer("a", payload=bytes(MIB)) is not None:
            taken += 1
        assert WAITING_BYTES_AT_MOST // MIB <= taken <= WAITING_BYTES_AT_MOST // MIB + 1
        assert bench.offer("b", PARTITIONS[1]) is not None
        bench.node.release_publishes()
        await drained(bench)
        assert sum(len(batch.entries) for batch in bench.pool()) == taken + 1
        await bench.take("a").hears(CONFIRMED)


async def test_what_has_waited_for_too_long_is_refused_and_what_is_in_flight_is_not() -> None:
    async with running() as bench:
        bench.node.hold_publishes()
        in_flight = bench.take("a")
        await turns()
        old = bench.take("b")
        bench.clock.seconds += UNCONFIRMED_SECONDS
        young = bench.take("c")
        bench.clock.seconds += WAITING_SECONDS_AT_MOST - UNCONFIRMED_SECONDS + 0.01
        await old.hears(REFUSED)
        assert in_flight.told == young.told == []
        bench.node.release_publishes()
        await young.hears(CONFIRMED)
        assert bench.channels() == [(1, ["a"]), (2, ["c"])]


async def test_refusing_what_is_old_makes_room_for_what_is_new() -> None:
    async with running() as bench:
        bench.node.hold_publishes()
        bench.take("in flight")
        await turns()
        old = bench.take("a", payload=bytes(WAITING_BYTES_AT_MOST))
        assert bench.offer("b") is None
        bench.clock.seconds += WAITING_SECONDS_AT_MOST + 0.01
        await old.hears(REFUSED)
        bench.clock.seconds -= WAITING_SECONDS_AT_MOST
        bench.take("c")


# ---- outcomes


async def test_each_waiter_hears_its_own_outcome_once() -> None:
    # Also when the log is read anew, and tells part of it again.
    async with running() as bench:
        waiters = [bench.take(channel) for channel in "abc"]
        await drained(bench)
        bench.settle(1, [Done()], first=1)
        bench.settle(1, [Refused(107, "no"), Done()])
        bench.settle(1, [Done()], first=2)
        bench.settle(1, [Done()])
        assert [waiter.told for waiter in waiters] == [
            [CONFIRMED, Refused(107, "no")],
            [CONFIRMED, Done()],
            [CONFIRMED, Done()],
        ]


async def test_an_outcome_read_before_the_confirm_is_the_last_word() -> None:
    async with running() as bench:
        bench.node.hold_confirms()
        waiter = bench.take("a")
        await turns()
        bench.settle(1, [Done()])
        bench.node.release_confirms()
        await drained(bench)
        assert waiter.told == [Done()]


async def test_an_outcome_of_an_unknown_number_is_ignored() -> None:
    async with running() as bench:
        bench.settle(99, [Done()])


async def test_an_entry_without_an_outcome_is_given_up_in_time() -> None:
    async with running() as bench:
        waiter = bench.take("a")
        await waiter.hears(CONFIRMED)
        bench.clock.seconds += ANSWER_SECONDS - 0.1
        later = bench.take("b")
        await later.hears(CONFIRMED)
        bench.clock.seconds += 0.1
        await waiter.hears(CONFIRMED, GIVEN_UP)
        bench.settle(1, [Done()])
        assert waiter.told == [CONFIRMED, GIVEN_UP]
        bench.settle(2, [Done()])
        assert later.told == [CONFIRMED, Done()]


async def test_an_entry_that_was_never_confirmed_is_given_up_but_stays_in_flight() -> None:
    async with running() as bench:
        bench.node.hold_confirms()
        waiter = bench.take("a")
        await turns()
        bench.clock.seconds += ANSWER_SECONDS
        await waiter.hears(GIVEN_UP)
        bench.clock.seconds -= ANSWER_SECONDS
        bench.take("b")
        await turns()
        assert bench.channels() == [(1, ["a"])]
        bench.node.release_confirms()
        await drained(bench)
        assert waiter.told == [GIVEN_UP]
        assert bench.channels() == [(1, ["a"]), (2, ["b"])]


# ---- draining


async def test_draining_an_idle_producer_does_not_wait() -> None:
    async with running() as bench:
        await drained(bench)


@pytest.mark.parametrize("partitions", [1, 4])
async def test_draining_waits_for_what_waits_and_what_is_in_flight(partitions: int) -> None:
    async with running() as bench:
        bench.node.hold_confirms()
        waiters = [bench.take("a", partition) for partition in PARTITIONS[:partitions]]
        await turns()
        waiters += [bench.take("b", partition) for partition in PARTITIONS[:partitions]]
        draining = asyncio.ensure_future(bench.producer.drain())
        await turns()
        assert not draining.done()
        bench.node.release_confirms()
        async with asyncio.timeout(WAIT_SECONDS):
            await draining
        assert all(waiter.told == [CONFIRMED] for waiter in waiters)


async def test_draining_ends_when_all_that_waited_was_refused() -> None:
    async with running(pool_bytes=100) as bench:
        waiter = bench.take("a", payload=bytes(1000))
        await drained(bench)
        assert waiter.told == [REFUSED]


# ---- what is on its way


async def test_entries_count_as_on_their_way_until_they_are_settled() -> None:
    async with running() as bench:
        for channel in "abc":
            bench.take(channel)
        assert (bench.producer.waiting_entries, bench.producer.unsettled_entries) == (3, 0)
        await drained(bench)
        assert (bench.producer.waiting_entries, bench.producer.unsettled_entries) == (0, 3)
        bench.clock.seconds += 2
        assert bench.producer.unsettled_seconds == 2
        bench.settle(1, [Done(), Done()])
        assert (bench.producer.unsettled_entries, bench.producer.settled_entries) == (1, 2)
        bench.settle(1, [Done()], first=2)
        assert (bench.producer.unsettled_entries, bench.producer.settled_entries) == (0, 3)
        assert bench.producer.unsettled_seconds == 0
        assert bench.producer.trips(1) == [2, 2]
        bench.clock.seconds += 1.5
        assert bench.producer.trips(1) == []


async def test_entries_that_were_given_up_are_on_their_way_still() -> None:
    async with running() as bench:
        waiter = bench.take("a")
        await waiter.hears(CONFIRMED)
        bench.clock.seconds += ANSWER_SECONDS + 0.1
        await waiter.hears(CONFIRMED, GIVEN_UP)
        assert bench.producer.unsettled_entries == 1
        assert bench.producer.unsettled_seconds > ANSWER_SECONDS
        bench.settle(1, [Done()])
        bench.settle(1, [Done()])
        assert (bench.producer.unsettled_entries, bench.producer.settled_entries) == (0, 1)


async def test_who_is_patient_hears_an_outcome_however_late_it_comes() -> None:
    async with running() as bench:
        patient, other = bench.offer("a", is_patient=True), bench.take("b")
        assert patient is not None
        await patient.hears(CONFIRMED)
        bench.clock.seconds += ANSWER_SECONDS + 0.1
        await other.hears(CONFIRMED, GIVEN_UP)
        assert bench.producer.unsettled_entries == 2
        bench.settle(1, [Refused(107, "no"), Done()])
        bench.settle(1, [Refused(107, "no"), Done()])
        assert patient.told == [CONFIRMED, Refused(107, "no")]
        assert other.told == [CONFIRMED, GIVEN_UP]
        assert bench.producer.unsettled_entries == 0


async def test_who_is_patient_is_given_up_if_even_the_confirm_does_not_come() -> None:
    async with running() as bench:
        bench.node.hold_confirms()
        patient = bench.offer("a", is_patient=True)
        assert patient is not None
        await turns()
        bench.clock.seconds += ANSWER_SECONDS + 0.1
        await patient.hears(GIVEN_UP)


async def test_an_unconfirmed_batch_that_was_given_up_is_settled_like_others() -> None:
    async with running() as bench:
        bench.node.hold_confirms()
        waiter = bench.take("a")
        await turns()
        bench.clock.seconds += ANSWER_SECONDS + 0.1
        await waiter.hears(GIVEN_UP)
        bench.node.release_confirms()
        bench.settle(1, [Done()])
        await turns()
        assert (bench.producer.unsettled_entries, bench.producer.settled_entries) == (0, 1)
