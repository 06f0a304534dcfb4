"""What a process is told when its connection is away, and that it can go on afterwards."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from broker.errors import BrokerUnavailable, NeverSubmitted
from broker.interface import Broker, DeadLetter, DeadReason, Publishing
from tests.contract.nodes import FIRST, BrokerNode, wait_connected
from tests.contract.waiting import ends, read_records, read_to, take

CALLS: dict[str, Callable[[Broker], Awaitable[None]]] = {
    "append": lambda broker: broker.log(FIRST).append(b"x", entries=1),
    "submit": lambda broker: broker.inbound(FIRST).submit(b"x", entries=1, message_id="p/1"),
    "set_aside": lambda broker: broker.dead.set_aside(DeadLetter(b"x", DeadReason.REFUSED, "why")),
    "broadcast": lambda broker: broker.bus.broadcast(b"x"),
    "send": lambda broker: broker.bus.send("somebody", b"x"),
}


async def test_each_process_has_an_address_of_its_own(node: BrokerNode) -> None:
    async with node.open() as one, node.open() as another:
        assert one.node_id
        assert one.node_id != another.node_id


async def test_a_process_keeps_the_address_it_is_given(node: BrokerNode) -> None:
    async with node.open("a-front") as broker:
        assert broker.node_id == "a-front"


async def test_a_process_knows_whether_it_is_connected(node: BrokerNode) -> None:
    async with node.open() as broker:
        assert broker.is_connected
        await node.disconnect(broker)
        await wait_connected(broker, expected=False)
        await node.reconnect(broker)
        assert broker.is_connected


@pytest.mark.parametrize("call", CALLS)
async def test_a_process_without_connection_is_told_so(node: BrokerNode, call: str) -> None:
    async with node.open() as broker:
        await node.disconnect(broker)
        await wait_connected(broker, expected=False)
        with pytest.raises(BrokerUnavailable):
            await CALLS[call](broker)


async def test_a_batch_never_leaves_a_process_without_connection(node: BrokerNode) -> None:
    async with node.open() as broker:
        await node.disconnect(broker)
        await wait_connected(broker, expected=False)
        with pytest.raises(NeverSubmitted):
            await CALLS["submit"](broker)


async def test_a_process_knows_whether_publishing_is_open(node: BrokerNode) -> None:
    async with node.open() as broker:
        assert _publishing(broker) is Publishing.OPEN
        await node.disconnect(broker)
        await wait_connected(broker, expected=False)
        assert _publishing(broker) is Publishing.AWAY
        await node.reconnect(broker)
        assert _publishing(broker) is Publishing.OPEN


def _publishing(broker: Broker) -> Publishing:
    return broker.publishing


async def test_a_process_without_connection_cannot_open_anything(node: BrokerNode) -> None:
    async with node.open() as broker:
        await node.disconnect(broker)
        await wait_connected(broker, expected=False)
        async with asyncio.TaskGroup() as tasks:
            for opening in (_open_read(broker), _open_intake(broker), _open_listen(broker)):
                tasks.create_task(ends(opening, BrokerUnavailable))
            tasks.create_task(ends(broker.log(FIRST).end(), BrokerUnavailable))


async def test_whoever_opens_something_while_the_connection_breaks_is_told_so(
    node: BrokerNode,
) -> None:
    async with node.open() as broker, asyncio.TaskGroup() as tasks:
        await node.disconnect(broker)
        # One in each turn of the loop until the break is known, and some after that.
        for _ in range(100):
            tasks.create_task(ends(_open_read(broker), BrokerUnavailable))
            await asyncio.sleep(0)


async def test_opening_waits_a_little_for_the_connection(node: BrokerNode) -> None:
    async with node.open() as broker:
        await node.disconnect(broker)
        await wait_connected(broker, expected=False)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_open_read(broker))
            await node.reconnect(broker)


async def _open_read(broker: Broker) -> None:
    async with broker.log(FIRST).read(0):
        pass


async def _open_intake(broker: Broker) -> None:
    async with broker.inbound(FIRST).intake(1):
        pass


async def _open_listen(broker: Broker) -> None:
    async with broker.bus.listen():
        pass


async def test_a_lost_connection_ends_a_read(node: BrokerNode) -> None:
    async with node.open() as broker, broker.log(FIRST).read(0) as reader:
        await read_records(reader, 1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ends(read_records(reader, 1), BrokerUnavailable))
            await node.disconnect(broker)


async def test_a_lost_connection_leaves_other_processes_alone(node: BrokerNode) -> None:
    async with (
        node.open() as losing,
        node.open() as staying,
        staying.log(FIRST).read(0) as reader,
        staying.inbound(FIRST).intake(10) as intake,
    ):
        await node.disconnect(losing)
        await staying.log(FIRST).append(b"record", entries=1)
        await staying.inbound(FIRST).submit(b"batch", entries=1, message_id="p/1")
        assert (await read_to(reader, b"record"))[-1].body == b"record"
        assert (await take(intake, 1))[0].body == b"batch"


async def test_a_read_can_be_resumed_at_the_last_known_position(node: BrokerNode) -> None:
    async with node.open() as broker:
        log = broker.log(FIRST)
        async with log.read(0) as reader:
            await log.append(b"before", entries=1)
            known = (await read_to(reader, b"before"))[-1]
            await node.disconnect(broker)
            await ends(read_records(reader, 1), BrokerUnavailable)
        await node.reconnect(broker)
        await log.append(b"after", entries=1)
        async with log.read(known.position) as reader:
            records = await read_to(reader, b"after")
    assert records[0] == known
    assert [record.body for record in records] == [b"before", b"after"]


async def test_a_process_submits_again_after_its_connection_is_back(node: BrokerNode) -> None:
    async with node.open() as losing, node.open() as worker:
        await node.disconnect(losing)
        await wait_connected(losing, expected=False)
        await node.reconnect(losing)
        await losing.inbound(FIRST).submit(b"after", entries=1, message_id="p/1")
        async with worker.inbound(FIRST).intake(10) as intake:
            assert (await take(intake, 1))[0].body == b"after"
