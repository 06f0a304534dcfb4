"""Promises of `Stream` and `StreamReader`."""

import asyncio
import time

import pytest

from broker.errors import SubmitRefused, TopologyProblem
from broker.interface import Since
from broker.record import Fence, decode_record
from tests.contract.nodes import FIRST, MISSING, SECOND, BrokerNode
from tests.contract.waiting import append_all, read_records, read_to, stays_silent

BODIES = [b"record %d" % number for number in range(20)]


async def test_records_are_read_in_the_order_of_their_appending(node: BrokerNode) -> None:
    async with node.open() as broker, broker.log(FIRST).read(0) as reader:
        await append_all(broker.log(FIRST), BODIES)
        records = await read_to(reader, BODIES[-1])
    assert [record.body for record in records[1:]] == BODIES


async def test_positions_rise(node: BrokerNode) -> None:
    async with node.open() as broker, broker.log(FIRST).read(0) as reader:
        await append_all(broker.log(FIRST), BODIES)
        positions = [record.position for record in await read_to(reader, BODIES[-1])]
    assert positions == sorted(set(positions))


async def test_a_position_names_the_same_record_in_every_read(node: BrokerNode) -> None:
    async with node.open() as broker, node.open() as other:
        await append_all(broker.log(FIRST), BODIES)
        async with broker.log(FIRST).read(0) as one, other.log(FIRST).read(0) as another:
            assert await read_to(one, BODIES[-1]) == await read_to(another, BODIES[-1])


async def test_a_new_log_begins_with_a_cut_fence_of_its_own_epoch(node: BrokerNode) -> None:
    fences = []
    async with node.open() as broker:
        for partition in (FIRST, SECOND):
            async with broker.log(partition).read(0) as reader:
                fences.append(decode_record((await read_records(reader, 1))[0].body))
    for fence in fences:
        assert isinstance(fence, Fence)
        assert fence.cut
        assert fence.partitions == 2
    assert fences[0] != fences[1]


async def test_a_new_snapshot_stream_is_not_empty(node: BrokerNode) -> None:
    async with node.open() as broker, broker.tops(FIRST).read(0) as reader:
        first = (await read_records(reader, 1))[0]
        assert await broker.tops(FIRST).end() == first.position


async def test_a_read_begins_with_the_record_at_the_asked_position(node: BrokerNode) -> None:
    async with node.open() as broker:
        await append_all(broker.log(FIRST), BODIES)
        async with broker.log(FIRST).read(0) as reader:
            records = await read_to(reader, BODIES[-1])
        for record in (records[0], records[7], records[-1]):
            async with broker.log(FIRST).read(record.position) as reader:
                assert (await read_records(reader, 1))[0] == record


async def test_a_read_past_the_end_is_silent_until_the_stream_has_grown_past_it(
    node: BrokerNode,
) -> None:
    async with node.open() as broker:
        log = broker.log(FIRST)
        await append_all(log, BODIES)
        async with log.read(0) as reader:
            last = (await read_to(reader, BODIES[-1]))[-1].position
            asked = last + 5
            async with log.read(asked) as waiting:
                await log.append(b"below", entries=1)
                assert await stays_silent(read_records(waiting, 1))
                await append_all(log, [*BODIES, b"the last"])
                records = await read_to(waiting, b"the last")
            expected = await read_to(reader, b"the last")
    assert records == [record for record in expected if record.position >= asked]


async def test_a_read_since_a_moment_begins_no_later_than_its_records(node: BrokerNode) -> None:
    async with node.open() as broker:
        moment = time.time()
        await append_all(broker.log(FIRST), BODIES)
        async with broker.log(FIRST).read(Since(moment)) as reader:
            bodies = [record.body for record in await read_to(reader, BODIES[-1])]
    assert bodies[-len(BODIES) :] == BODIES


async def test_a_read_since_before_everything_begins_with_the_first_record(
    node: BrokerNode,
) -> None:
    async with node.open() as broker:
        await append_all(broker.log(FIRST), BODIES)
        async with (
            broker.log(FIRST).read(Since(time.time() - 3600)) as reader,
            broker.log(FIRST).read(0) as whole,
        ):
            assert await read_to(reader, BODIES[-1]) == await read_to(whole, BODIES[-1])


async def test_a_read_since_after_everything_begins_with_the_next_record(
    node: BrokerNode,
) -> None:
    async with node.open() as broker:
        await append_all(broker.log(FIRST), BODIES)
        async with broker.log(FIRST).read(Since(time.time() + 3600)) as reader:
            assert await stays_silent(read_records(reader, 1))
            await broker.log(FIRST).append(b"next", entries=1)
            assert (await read_records(reader, 1))[0].body == b"next"


async def test_every_reader_gets_every_record(node: BrokerNode) -> None:
    async with (
        node.open() as one,
        node.open() as another,
        one.log(FIRST).read(0) as first,
        one.log(FIRST).read(0) as second,
        another.log(FIRST).read(0) as third,
    ):
        await append_all(one.log(FIRST), BODIES)
        for reader in (first, second, third):
            bodies = [record.body for record in await read_to(reader, BODIES[-1])]
            assert bodies[1:] == BODIES


async def test_reading_from_the_end_gives_what_was_confirmed_last(node: BrokerNode) -> None:
    async with node.open() as broker:
        log = broker.log(FIRST)
        for body in BODIES:
            await log.append(body, entries=1)
            end = await log.end()
            async with log.read(end) as reader:
                records = await read_to(reader, body)
            assert records[0].position == end
            assert records[-1].body == body


async def test_appends_under_way_at_once_are_all_kept_once(node: BrokerNode) -> None:
    async with node.open() as broker, broker.log(FIRST).read(0) as reader:
        log = broker.log(FIRST)
        await asyncio.gather(*(log.append(body, entries=1) for body in BODIES))
        await log.append(b"the last", entries=1)
        bodies = [record.body for record in await read_to(reader, b"the last")]
    assert sorted(bodies[1:-1]) == sorted(BODIES)


async def test_appending_lets_other_tasks_run(node: BrokerNode) -> None:
    async with node.open() as broker, asyncio.TaskGroup() as tasks:
        has_run = asyncio.Event()
        tasks.create_task(_set(has_run))
        await broker.log(FIRST).append(b"x", entries=1)
        assert has_run.is_set()


async def _set(event: asyncio.Event) -> None:
    event.set()


async def test_an_append_is_told_to_who_waits_for_it(node: BrokerNode) -> None:
    async with node.open() as broker, broker.log(FIRST).read(0) as reader:
        await read_records(reader, 1)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(read_records(reader, 1))
            assert await stays_silent(asyncio.shield(reading))
            await broker.log(FIRST).append(b"x", entries=1)
    assert [record.body for record in reading.result()] == [b"x"]


async def test_a_cancelled_wait_for_records_loses_none(node: BrokerNode) -> None:
    async with node.open() as broker, broker.log(FIRST).read(0) as reader:
        await append_all(broker.log(FIRST), BODIES[:5])
        await read_to(reader, BODIES[4])
        assert await stays_silent(read_records(reader, 1))
        await append_all(broker.log(FIRST), BODIES[5:])
        bodies = [record.body for record in await read_to(reader, BODIES[-1])]
    assert bodies == BODIES[5:]


@pytest.mark.parametrize("body", [b"\n", b"\x00\xff\n\n\x80", bytes(range(256)) * 500])
async def test_a_body_of_any_bytes_comes_back_as_it_was(node: BrokerNode, body: bytes) -> None:
    async with node.open() as broker, broker.log(FIRST).read(0) as reader:
        await broker.log(FIRST).append(body, entries=1)
        assert (await read_to(reader, body))[-1].body == body


async def test_streams_know_nothing_of_each_other(node: BrokerNode) -> None:
    async with node.open() as broker, broker.log(SECOND).read(0) as reader:
        await broker.log(FIRST).append(b"log of the first", entries=1)
        await broker.tops(SECOND).append(b"tops of the second", entries=1)
        await broker.log(SECOND).append(b"log of the second", entries=1)
        bodies = [record.body for record in await read_to(reader, b"log of the second")]
    assert bodies[1:] == [b"log of the second"]


async def test_a_record_says_how_many_entries_it_has(node: BrokerNode) -> None:
    async with node.open() as broker:
        await broker.log(FIRST).append(b"x", entries=3)
        await broker.log(FIRST).append(b"y", entries=500)
        assert (await node.log_entries(FIRST, 3))[1:] == [3, 500]


async def test_a_missing_stream_is_a_topology_problem_to_its_readers(node: BrokerNode) -> None:
    async with node.open() as broker:
        with pytest.raises(TopologyProblem):
            async with broker.log(MISSING).read(0):
                pass
        with pytest.raises(TopologyProblem):
            await broker.log(MISSING).end()


async def test_appending_to_a_missing_stream_is_refused(node: BrokerNode) -> None:
    async with node.open() as broker:
        with pytest.raises(SubmitRefused):
            await broker.log(MISSING).append(b"x", entries=1)
        await broker.log(FIRST).append(b"x", entries=1)
