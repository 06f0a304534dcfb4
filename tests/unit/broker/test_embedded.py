"""What the embedded broker does beyond the contract: its limits, holes and faults."""

import asyncio

import pytest

from broker.embedded import EmbeddedAccess, EmbeddedBroker, EmbeddedLimits, Leg
from broker.errors import BrokerUnavailable, SubmitRefused
from broker.interface import DeadLetter, DeadReason
from broker.partition import Partition
from broker.record import Fence, decode_record
from tests.contract.waiting import append_all, ends, read_records, read_to, stays_silent, take

MAIN = Partition("main", 0)
BODIES = [b"record %d" % number for number in range(20)]


def small_broker() -> EmbeddedBroker:
    return EmbeddedBroker(
        {"main": 1},
        limits=EmbeddedLimits(
            inbound_max_bytes=1000, log_max_bytes=1000, dead_max_bytes=1000, bus_max_bytes=1000
        ),
    )


async def turns() -> None:
    """Let every task get as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


def positions(node: EmbeddedBroker) -> list[int]:
    return [record.stored.position for record in node.kept(MAIN)]


def genesis(node: EmbeddedBroker) -> Fence:
    fence = decode_record(node.kept(MAIN)[0].stored.body)
    assert isinstance(fence, Fence)
    return fence


async def submit(broker: EmbeddedAccess, body: bytes) -> None:
    await broker.inbound(MAIN).submit(body, entries=1, message_id="p/1")


async def test_positions_have_holes() -> None:
    node = EmbeddedBroker({"main": 1})
    async with node.open() as broker:
        await append_all(broker.log(MAIN), BODIES)
    assert positions(node)[:5] == [0, 1, 2, 4, 5]
    assert positions(node)[-1] > len(BODIES)


async def test_a_read_at_a_hole_begins_with_the_next_record() -> None:
    node = EmbeddedBroker({"main": 1})
    async with node.open() as broker:
        await append_all(broker.log(MAIN), BODIES)
        async with broker.log(MAIN).read(3) as reader:
            assert (await read_records(reader, 1))[0].position == 4


async def test_a_log_drops_its_oldest_records_and_goes_on_counting() -> None:
    node = small_broker()
    async with node.open() as broker:
        await append_all(broker.log(MAIN), [bytes(100)] * 30)
        kept = positions(node)
        assert len(kept) < 10
        assert kept[-1] > 30
        async with broker.log(MAIN).read(0) as reader:
            assert [each.position for each in await read_records(reader, len(kept))] == kept


async def test_a_record_larger_than_its_log_is_kept_until_the_next() -> None:
    node = small_broker()
    async with node.open() as broker:
        await broker.log(MAIN).append(bytes(5000), entries=1)
        assert len(node.kept(MAIN)) == 1
        await broker.log(MAIN).append(b"x", entries=1)
        assert [record.stored.body for record in node.kept(MAIN)] == [b"x"]


async def test_a_long_kept_log_drops_its_records_for_good() -> None:
    node = small_broker()
    async with node.open() as broker:
        await append_all(broker.log(MAIN), [bytes(100)] * 5000)
        async with broker.log(MAIN).read(positions(node)[2]) as reader:
            assert len(await read_records(reader, 1)) == len(positions(node)) - 2


async def test_a_slow_reader_is_overtaken_by_retention() -> None:
    node = small_broker()
    async with node.open() as broker, broker.log(MAIN).read(0) as reader:
        await append_all(broker.log(MAIN), [bytes(100)] * 30)
        assert (await read_records(reader, 1))[0].position == positions(node)[0]


async def test_what_a_worker_holds_counts_as_filling_the_pool() -> None:
    node = small_broker()
    async with node.open() as broker, broker.inbound(MAIN).intake(10) as intake:
        await submit(broker, bytes(800))
        delivery = (await take(intake, 1))[0]
        with pytest.raises(SubmitRefused):
            await submit(broker, bytes(800))
        await intake.settle(delivery)
        await submit(broker, bytes(800))


async def test_settling_what_is_settled_closes_the_intake() -> None:
    node = small_broker()
    async with node.open() as broker, broker.inbound(MAIN).intake(10) as intake:
        await submit(broker, b"x")
        delivery = (await take(intake, 1))[0]
        await intake.settle(delivery)
        with pytest.raises(BrokerUnavailable):
            await intake.settle(delivery)
        with pytest.raises(BrokerUnavailable):
            await intake.take()


async def test_an_intake_has_room_for_at_least_one_delivery() -> None:
    async with small_broker().open() as broker:
        with pytest.raises(ValueError, match="at least one"):
            async with broker.inbound(MAIN).intake(0):
                pass


async def test_full_dead_letters_refuse_more() -> None:
    node = small_broker()
    async with node.open() as broker:
        await broker.dead.set_aside(DeadLetter(bytes(800), DeadReason.REFUSED, "why"))
        with pytest.raises(SubmitRefused):
            await broker.dead.set_aside(DeadLetter(bytes(800), DeadReason.REFUSED, "why"))
    assert len(node.dead_letters()) == 1


async def test_a_listener_that_falls_behind_misses_what_comes_then() -> None:
    async with small_broker().open() as broker, broker.bus.listen() as messages:
        for body in (bytes(800), bytes(801), b"small"):
            await broker.bus.broadcast(body)
        assert await anext(messages) == bytes(800)
        assert await anext(messages) == b"small"


async def test_a_disconnected_process_is_told_that_its_call_may_have_worked() -> None:
    node = small_broker()
    node.hold_confirms()
    async with node.open() as broker, asyncio.TaskGroup() as tasks:
        tasks.create_task(ends(submit(broker, b"x"), BrokerUnavailable))
        await turns()
        assert node.waiting(MAIN)
        node.disconnect(broker.node_id)
    assert [batch.body for batch in node.waiting(MAIN)] == [b"x"]


async def test_a_call_under_way_fails_though_the_connection_is_back_at_once() -> None:
    node = small_broker()
    node.hold_publishes()
    async with node.open() as broker, asyncio.TaskGroup() as tasks:
        tasks.create_task(ends(submit(broker, b"x"), BrokerUnavailable))
        await turns()
        node.disconnect(broker.node_id)
        node.reconnect(broker.node_id)
        node.release_publishes()
        await submit(broker, b"y")
    assert [batch.body for batch in node.waiting(MAIN)] == [b"y"]


async def test_held_confirms_come_when_they_are_released() -> None:
    node = small_broker()
    node.hold_confirms()
    async with node.open() as broker:
        assert await stays_silent(submit(broker, b"x"))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(submit(broker, b"y"))
            node.release_confirms()
    assert [batch.body for batch in node.waiting(MAIN)] == [b"x", b"y"]


async def test_held_publishes_are_stored_in_order_when_they_are_released() -> None:
    node = small_broker()
    node.hold_publishes()
    async with node.open() as broker, asyncio.TaskGroup() as tasks:
        for body in (b"x", b"y", b"z"):
            tasks.create_task(submit(broker, body))
        await turns()
        assert not node.waiting(MAIN)
        node.release_publishes()
    assert [batch.body for batch in node.waiting(MAIN)] == [b"x", b"y", b"z"]


async def test_reading_and_taking_go_on_while_publishes_are_held() -> None:
    node = small_broker()
    async with node.open() as broker, broker.inbound(MAIN).intake(1) as intake:
        await submit(broker, b"x")
        node.hold_publishes()
        await intake.settle((await take(intake, 1))[0])
        async with broker.log(MAIN).read(0) as reader:
            assert len(await read_records(reader, 1)) == 1


async def test_a_log_that_lost_its_tail_gives_the_lost_positions_again() -> None:
    node = EmbeddedBroker({"main": 1})
    async with node.open() as broker, broker.log(MAIN).read(0) as reader:
        await append_all(broker.log(MAIN), BODIES)
        before = await read_to(reader, BODIES[-1])
        node.lose_tail(MAIN, 3)
        with pytest.raises(BrokerUnavailable):
            await read_records(reader, 1)
        assert await broker.log(MAIN).end() == before[-4].position
        await append_all(broker.log(MAIN), [b"other 1", b"other 2", b"other 3"])
    assert positions(node) == [record.position for record in before]
    assert node.kept(MAIN)[-3].stored.body == b"other 1"


async def test_a_log_that_lost_everything_has_no_end() -> None:
    node = EmbeddedBroker({"main": 1})
    async with node.open() as broker:
        node.lose_tail(MAIN, 10)
        with pytest.raises(BrokerUnavailable):
            await broker.log(MAIN).end()
        await broker.log(MAIN).append(b"x", entries=1)
        assert await broker.log(MAIN).end() == 0


async def test_a_log_made_anew_has_another_epoch() -> None:
    node = EmbeddedBroker({"main": 1})
    before = genesis(node)
    async with node.open() as broker, broker.log(MAIN).read(0) as reader:
        await append_all(broker.log(MAIN), BODIES)
        node.recreate_log(MAIN)
        with pytest.raises(BrokerUnavailable):
            await read_records(reader, 1)
        assert await broker.log(MAIN).end() == 0
    assert genesis(node).epoch != before.epoch


async def test_a_process_may_open_anew_under_its_address_once_it_is_disconnected() -> None:
    node = small_broker()
    async with node.open("a-front") as before:
        with pytest.raises(ValueError, match="a-front"):
            async with node.open("a-front"):
                pass
        node.disconnect("a-front")
        async with node.open("a-front") as after:
            await submit(after, b"x")
            assert not before.is_connected


async def test_a_process_that_has_left_can_do_nothing() -> None:
    async with small_broker().open() as broker:
        pass
    with pytest.raises(BrokerUnavailable):
        await submit(broker, b"x")
    with pytest.raises(BrokerUnavailable):
        await broker.log(MAIN).end()


async def test_each_leg_of_a_call_takes_as_long_as_the_process_says() -> None:
    taken: list[Leg] = []

    async def travel(leg: Leg) -> None:
        taken.append(leg)
        await asyncio.sleep(0)

    node = EmbeddedBroker({"main": 1})
    async with node.open("far", travel) as broker:
        await submit(broker, b"batch")
        async with broker.inbound(MAIN).intake(8) as intake:
            await intake.settle((await intake.take())[0])
    assert taken == [Leg.SENDING, Leg.CONFIRMING, Leg.OPENING, Leg.TAKING, Leg.SETTLING]


async def test_what_was_on_its_way_when_its_sender_died_may_arrive_later() -> None:
    node = EmbeddedBroker({"main": 1})
    async with node.open("front") as front:
        submitting = asyncio.ensure_future(submit(front, b"batch"))
        await asyncio.sleep(0)
        submitting.cancel()
        await asyncio.wait([submitting])
    assert not node.waiting(MAIN)
    node.deliver_strays()
    node.deliver_strays()
    assert [batch.body for batch in node.waiting(MAIN)] == [b"batch"]


async def test_what_an_alarm_held_back_arrives_though_its_connection_is_lost() -> None:
    node = EmbeddedBroker({"main": 1})
    async with node.open("front") as front:
        node.hold_publishes()
        submitting = asyncio.ensure_future(submit(front, b"batch"))
        await turns()
        node.disconnect("front")
        with pytest.raises(BrokerUnavailable):
            await submitting
    node.deliver_strays()
    assert [batch.body for batch in node.waiting(MAIN)] == [b"batch"]


async def test_a_stray_that_a_full_pool_refuses_is_lost() -> None:
    node = small_broker()
    async with node.open("front") as front:
        node.hold_publishes()
        submitting = [asyncio.ensure_future(submit(front, bytes(300))) for _ in range(4)]
        await turns()
        node.disconnect("front")
        await asyncio.wait(submitting)
        assert all(isinstance(each.exception(), BrokerUnavailable) for each in submitting)
    node.deliver_strays()
    assert len(node.waiting(MAIN)) == 2


async def test_a_process_may_lose_its_intake_and_keep_its_connection() -> None:
    node = EmbeddedBroker({"main": 1})
    async with node.open("first") as first, node.open("second") as second:
        await submit(first, b"batch")
        async with first.inbound(MAIN).intake(8) as lost, second.inbound(MAIN).intake(8) as next_:
            await take(lost, 1)
            node.close_intakes("first")
            assert (await take(next_, 1))[0].is_redelivered
            with pytest.raises(BrokerUnavailable):
                await lost.take()
            await first.log(MAIN).append(b"record", entries=0)


async def test_a_cancelled_intake_lets_later_batches_overtake_what_it_holds() -> None:
    node = EmbeddedBroker({"main": 1})
    async with (
        node.open("first") as first,
        node.open("second") as second,
        first.inbound(MAIN).intake(8) as leaving,
        second.inbound(MAIN).intake(8) as next_,
    ):
        await submit(first, b"1")
        await take(leaving, 1)
        leaving.cancel()
        await submit(first, b"2")
        assert [delivery.body for delivery in await take(next_, 1)] == [b"2"]
        leaving.close()
        assert [delivery.body for delivery in await take(next_, 1)] == [b"1"]


async def test_a_pool_may_change_the_order_of_what_waits() -> None:
    node = EmbeddedBroker({"main": 1})
    async with node.open() as broker:
        for body in (b"1", b"2", b"3"):
            await submit(broker, body)
        node.reorder_waiting(MAIN, lambda waiting: waiting.reverse())
        async with broker.inbound(MAIN).intake(8) as intake:
            assert [each.body for each in await take(intake, 3)] == [b"3", b"2", b"1"]


async def test_a_pool_counts_what_waits_and_what_is_held() -> None:
    node = EmbeddedBroker({"main": 1})
    async with node.open() as broker:
        for body in (b"1", b"2"):
            await submit(broker, body)
        async with broker.inbound(MAIN).intake(1) as intake:
            held = await take(intake, 1)
            assert node.unsettled(MAIN) == 2
            await intake.settle(held[0])
        assert node.unsettled(MAIN) == 1
