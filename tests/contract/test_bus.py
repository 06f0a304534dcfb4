"""Promises of `Bus`."""

import asyncio

from broker.errors import BrokerUnavailable
from tests.contract.nodes import BrokerNode
from tests.contract.waiting import ends, hear, stays_silent


async def test_a_broadcast_reaches_every_process_that_listens(node: BrokerNode) -> None:
    async with (
        node.open() as one,
        node.open() as another,
        one.bus.listen() as heard_by_itself,
        another.bus.listen() as heard_by_another,
    ):
        await one.bus.broadcast(b"to all")
        assert await hear(heard_by_itself, 1) == [b"to all"]
        assert await hear(heard_by_another, 1) == [b"to all"]


async def test_a_message_to_one_process_reaches_only_that_one(node: BrokerNode) -> None:
    async with (
        node.open("here") as one,
        node.open("there") as another,
        one.bus.listen() as heard_here,
        another.bus.listen() as heard_there,
    ):
        await one.bus.send("there", b"to one")
        assert await hear(heard_there, 1) == [b"to one"]
        assert await stays_silent(anext(heard_here))


async def test_a_process_can_send_to_itself(node: BrokerNode) -> None:
    async with node.open() as broker, broker.bus.listen() as heard:
        await broker.bus.send(broker.node_id, b"to myself")
        assert await hear(heard, 1) == [b"to myself"]


async def test_messages_of_one_process_are_heard_in_their_order(node: BrokerNode) -> None:
    bodies = [b"message %d" % number for number in range(50)]
    async with node.open() as one, node.open() as another, another.bus.listen() as heard:
        for body in bodies:
            await one.bus.broadcast(body)
        assert await hear(heard, len(bodies)) == bodies


async def test_a_message_is_told_to_who_waits_for_it(node: BrokerNode) -> None:
    async with node.open() as broker, broker.bus.listen() as heard:
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(hear(heard, 1))
            assert await stays_silent(asyncio.shield(hearing))
            await broker.bus.broadcast(b"heard")
        assert hearing.result() == [b"heard"]


async def test_a_message_to_nobody_is_silently_lost(node: BrokerNode) -> None:
    async with node.open() as broker, broker.bus.listen() as heard:
        await broker.bus.send("nobody", b"lost")
        await broker.bus.broadcast(b"heard")
        assert await hear(heard, 1) == [b"heard"]


async def test_a_broadcast_that_nobody_hears_is_silently_lost(node: BrokerNode) -> None:
    async with node.open() as broker:
        await broker.bus.broadcast(b"lost")
        async with broker.bus.listen() as heard:
            await broker.bus.broadcast(b"heard")
            assert await hear(heard, 1) == [b"heard"]


async def test_a_process_that_stopped_listening_may_listen_again(node: BrokerNode) -> None:
    async with node.open() as broker, node.open() as other:
        async with broker.bus.listen():
            pass
        async with broker.bus.listen() as heard:
            await other.bus.send(broker.node_id, b"heard")
            assert await hear(heard, 1) == [b"heard"]


async def test_a_lost_connection_ends_the_listening_of_that_process_only(
    node: BrokerNode,
) -> None:
    async with (
        node.open() as losing,
        node.open() as staying,
        losing.bus.listen() as ending,
        staying.bus.listen() as heard,
    ):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ends(hear(ending, 1), BrokerUnavailable))
            await node.disconnect(losing)
        await staying.bus.broadcast(b"heard")
        assert await hear(heard, 1) == [b"heard"]


async def test_a_process_hears_again_after_its_connection_is_back(node: BrokerNode) -> None:
    async with node.open() as losing, node.open() as staying:
        async with losing.bus.listen() as ending:
            await node.disconnect(losing)
            await ends(hear(ending, 1), BrokerUnavailable)
        await node.reconnect(losing)
        async with losing.bus.listen() as heard:
            await staying.bus.send(losing.node_id, b"heard")
            assert await hear(heard, 1) == [b"heard"]
