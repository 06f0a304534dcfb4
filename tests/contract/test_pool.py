"""Promises of `Inbound` and `Intake`."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from broker.errors import BrokerUnavailable, SubmitRefused, TopologyProblem
from broker.interface import Broker, Delivery
from tests.contract.nodes import FIRST, MISSING, POOL_BYTES, SECOND, BrokerNode, wait_until
from tests.contract.waiting import ends, stays_silent, take

BODIES = [b"batch %d" % number for number in range(10)]


async def submit_all(broker: Broker, bodies: list[bytes]) -> None:
    for number, body in enumerate(bodies):
        await broker.inbound(FIRST).submit(body, entries=1, message_id=f"p/{number}")


def bodies_of(deliveries: list[Delivery]) -> list[bytes]:
    return [delivery.body for delivery in deliveries]


async def test_batches_are_delivered_in_the_order_of_their_submitting(node: BrokerNode) -> None:
    async with node.open() as front, node.open() as worker:
        await submit_all(front, BODIES[:5])
        async with worker.inbound(FIRST).intake(100) as intake:
            await submit_all(front, BODIES[5:])
            deliveries = await take(intake, len(BODIES))
    assert bodies_of(deliveries) == BODIES
    assert not any(delivery.is_redelivered for delivery in deliveries)


async def test_no_more_than_at_most_deliveries_are_unsettled(node: BrokerNode) -> None:
    async with node.open() as broker, broker.inbound(FIRST).intake(3) as intake:
        await submit_all(broker, BODIES)
        deliveries = await take(intake, 3)
        assert bodies_of(deliveries) == BODIES[:3]
        assert await stays_silent(intake.take())
        await intake.settle(deliveries[0])
        assert bodies_of(await take(intake, 1)) == BODIES[3:4]
        assert await stays_silent(intake.take())


async def test_only_one_intake_gets_deliveries(node: BrokerNode) -> None:
    async with (
        node.open() as one,
        node.open() as another,
        one.inbound(FIRST).intake(1) as active,
        another.inbound(FIRST).intake(10) as standing_by,
    ):
        await submit_all(one, BODIES)
        assert bodies_of(await take(active, 1)) == BODIES[:1]
        assert await stays_silent(standing_by.take())


async def test_a_closed_intake_gives_back_in_place_what_it_has_not_settled(
    node: BrokerNode,
) -> None:
    async with node.open() as one, node.open() as another, AsyncExitStack() as leaving:
        active = await leaving.enter_async_context(one.inbound(FIRST).intake(4))
        async with another.inbound(FIRST).intake(100) as next_active:
            await submit_all(one, BODIES)
            deliveries = await take(active, 4)
            await active.settle(deliveries[1])
            await take(active, 1)
            await leaving.aclose()
            handed_over = await take(next_active, len(BODIES) - 1)
    assert bodies_of(handed_over) == [*BODIES[:1], *BODIES[2:]]
    assert [delivery.is_redelivered for delivery in handed_over] == [True] * 4 + [False] * 5


async def test_the_intake_that_has_waited_longest_is_active_next(node: BrokerNode) -> None:
    async with node.open() as broker, AsyncExitStack() as opened:
        inbound = broker.inbound(FIRST)
        leaving = AsyncExitStack()
        await leaving.enter_async_context(inbound.intake(10))
        second = await opened.enter_async_context(inbound.intake(10))
        third = await opened.enter_async_context(inbound.intake(10))
        await leaving.aclose()
        again = await opened.enter_async_context(inbound.intake(10))
        await submit_all(broker, BODIES)
        assert bodies_of(await take(second, len(BODIES))) == BODIES
        assert await stays_silent(third.take())
        assert await stays_silent(again.take())


async def test_a_settled_delivery_does_not_come_again(node: BrokerNode) -> None:
    async with node.open() as broker:
        await submit_all(broker, BODIES)
        async with broker.inbound(FIRST).intake(100) as intake:
            for delivery in await take(intake, len(BODIES)):
                await intake.settle(delivery)
        async with broker.inbound(FIRST).intake(100) as intake:
            assert await stays_silent(intake.take())


async def test_deliveries_may_be_settled_in_any_order(node: BrokerNode) -> None:
    async with node.open() as broker:
        await submit_all(broker, BODIES)
        async with broker.inbound(FIRST).intake(100) as intake:
            deliveries = await take(intake, len(BODIES))
            for delivery in (deliveries[8], deliveries[1], deliveries[5]):
                await intake.settle(delivery)
        async with broker.inbound(FIRST).intake(100) as intake:
            remaining = bodies_of(await take(intake, len(BODIES) - 3))
    assert remaining == [body for index, body in enumerate(BODIES) if index not in (8, 1, 5)]


async def test_an_unsettled_delivery_comes_back_after_its_worker_dies(node: BrokerNode) -> None:
    async with node.open() as dying, node.open() as worker:
        async with (
            dying.inbound(FIRST).intake(100) as intake,
            worker.inbound(FIRST).intake(100) as next_active,
        ):
            await submit_all(worker, BODIES)
            deliveries = await take(intake, len(BODIES))
            await intake.settle(deliveries[0])
            # Settling is not answered: what another process gets tells that it has arrived.
            await submit_all(dying, [b"the last"])
            await take(intake, 1)
            await node.disconnect(dying)
            handed_over = await take(next_active, len(BODIES))
        assert bodies_of(handed_over) == [*BODIES[1:], b"the last"]
        assert all(delivery.is_redelivered for delivery in handed_over)


async def test_a_lost_connection_ends_the_waiting_for_deliveries(node: BrokerNode) -> None:
    async with node.open() as broker, broker.inbound(FIRST).intake(10) as intake:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ends(intake.take(), BrokerUnavailable))
            await node.disconnect(broker)
        with pytest.raises(BrokerUnavailable):
            await intake.take()


async def test_a_delivery_cannot_be_settled_after_its_intake_was_lost(node: BrokerNode) -> None:
    async with node.open() as broker, broker.inbound(FIRST).intake(10) as intake:
        await submit_all(broker, BODIES[:1])
        delivery = (await take(intake, 1))[0]
        await node.disconnect(broker)
        await ends(intake.take(), BrokerUnavailable)
        with pytest.raises(BrokerUnavailable):
            await intake.settle(delivery)


async def test_an_intake_that_was_left_gives_nothing(node: BrokerNode) -> None:
    async with node.open() as broker:
        async with broker.inbound(FIRST).intake(10) as intake:
            await submit_all(broker, BODIES)
        await ends(intake.take(), BrokerUnavailable)


async def test_a_batch_is_delivered_to_who_waits_for_it(node: BrokerNode) -> None:
    async with node.open() as broker, broker.inbound(FIRST).intake(10) as intake:
        async with asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(take(intake, 1))
            assert await stays_silent(asyncio.shield(taking))
            await submit_all(broker, BODIES[:1])
        assert bodies_of(taking.result()) == BODIES[:1]


async def test_a_cancelled_take_loses_nothing(node: BrokerNode) -> None:
    async with node.open() as broker, broker.inbound(FIRST).intake(100) as intake:
        assert await stays_silent(intake.take())
        await submit_all(broker, BODIES)
        assert bodies_of(await take(intake, len(BODIES))) == BODIES


async def test_a_full_pool_refuses_what_is_submitted(node: BrokerNode) -> None:
    async with node.open() as broker:
        # A broker may take somewhat more than the limit before it notices.
        assert await _fill(broker, at_most=200) * 4096 >= POOL_BYTES / 2


async def test_a_pool_that_has_room_again_takes_what_is_submitted(node: BrokerNode) -> None:
    async with node.open() as broker:
        taken = await _fill(broker, at_most=200)
        async with broker.inbound(FIRST).intake(1000) as intake:
            for delivery in await take(intake, taken):
                await intake.settle(delivery)
            await wait_until(lambda: _is_taken(broker, b"room again"))
            assert bodies_of(await take(intake, 1)) == [b"room again"]


async def test_a_full_pool_leaves_the_others_open(node: BrokerNode) -> None:
    async with node.open() as broker:
        await _fill(broker, at_most=200)
        await broker.inbound(SECOND).submit(b"x", entries=1, message_id="p/x")


async def _fill(broker: Broker, at_most: int) -> int:
    """Submit until refused; give how many were taken."""
    for taken in range(at_most):
        if not await _is_taken(broker, bytes(4096)):
            return taken
    raise AssertionError("nothing was refused")


async def _is_taken(broker: Broker, body: bytes) -> bool:
    try:
        await broker.inbound(FIRST).submit(body, entries=1, message_id="p/1")
    except SubmitRefused:
        return False
    return True


async def test_partitions_know_nothing_of_each_other(node: BrokerNode) -> None:
    async with (
        node.open() as broker,
        broker.inbound(FIRST).intake(10) as first,
        broker.inbound(SECOND).intake(10) as second,
    ):
        await submit_all(broker, BODIES[:1])
        assert bodies_of(await take(first, 1)) == BODIES[:1]
        assert await stays_silent(second.take())


async def test_submitting_lets_other_tasks_run(node: BrokerNode) -> None:
    async with node.open() as broker, asyncio.TaskGroup() as tasks:
        has_run = asyncio.Event()
        tasks.create_task(_set(has_run))
        await broker.inbound(FIRST).submit(b"x", entries=1, message_id="p/1")
        assert has_run.is_set()


async def _set(event: asyncio.Event) -> None:
    event.set()


async def test_a_batch_says_how_many_entries_it_has(node: BrokerNode) -> None:
    async with node.open() as broker:
        await broker.inbound(FIRST).submit(b"x", entries=3, message_id="p/1")
        await broker.inbound(FIRST).submit(b"y", entries=700, message_id="p/2")
        assert await node.pool_entries(FIRST, 2) == [3, 700]


async def test_submitting_to_a_missing_pool_is_refused(node: BrokerNode) -> None:
    async with node.open() as broker:
        with pytest.raises(SubmitRefused):
            await broker.inbound(MISSING).submit(b"x", entries=1, message_id="p/1")
        await broker.inbound(FIRST).submit(b"x", entries=1, message_id="p/2")


async def test_a_missing_pool_is_a_topology_problem_to_its_workers(node: BrokerNode) -> None:
    async with node.open() as broker:
        with pytest.raises(TopologyProblem):
            async with broker.inbound(MISSING).intake(10):
                pass
