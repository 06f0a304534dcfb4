"""Workers come, go, freeze and are cut off, and the partitions are shared evenly all the time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from broker.embedded import EmbeddedBroker
from broker.partition import Partition
from broker.registry import Node
from services.settings import Config, LaneConfig
from services.worker.app import run_worker
from services.worker.counting import WorkerCounters
from services.worker.sharing import find_owners

LANES = {"main": 8, "bulk": 3}
CONFIG = Config(lanes={name: LaneConfig(partitions=count) for name, count in LANES.items()})
PARTITIONS = [Partition(lane, number) for lane, count in LANES.items() for number in range(count)]

# What a change may take: hearing of it, or three silent seconds, and a few ticks of the registry.
WAIT_SECONDS = 10.0
# Longer than all that follows from a change that was heard.
CALM_SECONDS = 1.5


@pytest.fixture
def node() -> EmbeddedBroker:
    return EmbeddedBroker(LANES)


@asynccontextmanager
async def working(node: EmbeddedBroker, name: str) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    async with node.open(name) as broker:
        running = asyncio.ensure_future(run_worker(CONFIG, broker, stop, WorkerCounters()))
        try:
            yield stop
        finally:
            stop.set()
            await running


def active(node: EmbeddedBroker, lane: str = "main") -> Counter[str]:
    lines = [node.line(each) for each in PARTITIONS if each.lane == lane]
    return Counter(line[0] for line in lines if line)


def is_even(node: EmbeddedBroker, *workers: str) -> bool:
    """Whether these workers, and no others, have all partitions, none two more than another."""
    for lane, count in LANES.items():
        shares = active(node, lane)
        spread = [shares[name] for name in workers]
        if shares.total() != count or sum(spread) != count or max(spread) - min(spread) > 1:
            return False
    return True


async def becomes_even(node: EmbeddedBroker, *workers: str) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_even(node, *workers):  # noqa: ASYNC110  (the lines tell nobody)
            await asyncio.sleep(0.01)


async def test_a_lone_worker_has_all_partitions(node: EmbeddedBroker) -> None:
    async with working(node, "a"):
        await becomes_even(node, "a")


async def test_workers_that_come_and_go_share_evenly(node: EmbeddedBroker) -> None:
    async with working(node, "a"):
        await becomes_even(node, "a")
        async with working(node, "b"), working(node, "c"):
            await becomes_even(node, "a", "b", "c")
        await becomes_even(node, "a")


async def test_a_lost_worker_has_heirs_and_gets_a_share_again_when_it_is_back(
    node: EmbeddedBroker,
) -> None:
    async with working(node, "a"), working(node, "b"), working(node, "c"):
        await becomes_even(node, "a", "b", "c")
        node.disconnect("b")
        await becomes_even(node, "a", "c")
        node.reconnect("b")
        await becomes_even(node, "a", "b", "c")


async def test_evenness_is_a_state_of_rest(node: EmbeddedBroker) -> None:
    """Standing behind an owner makes nobody stand behind in turn."""
    async with working(node, "a"), working(node, "b"), working(node, "c"):
        await becomes_even(node, "a", "b", "c")
        await asyncio.sleep(CALM_SECONDS)  # what the change set going has come to its end
        lines = [node.line(each) for each in PARTITIONS]
        await asyncio.sleep(CALM_SECONDS)  # nothing may happen, so there is nothing to wait for
        assert [node.line(each) for each in PARTITIONS] == lines


async def test_an_owner_that_left_its_line_gets_its_partitions_back(node: EmbeddedBroker) -> None:
    async with working(node, "a"), working(node, "b"):
        await becomes_even(node, "a", "b")
        node.recreate_log(PARTITIONS[0])
        node.disconnect("a")
        node.reconnect("a")
        await becomes_even(node, "a", "b")


def described(name: str, *, standing: int = 1, lanes: tuple[str, ...] = ("main",)) -> Node:
    return Node(name, "worker", name, lanes, 0.0, standing)


def test_only_workers_that_stand_in_line_own_something() -> None:
    nodes = [described("a"), described("b", standing=0)]
    nodes.append(Node("c", "front", "c", ("main",), 0.0, 1))
    owners = find_owners(PARTITIONS[:4], nodes)
    assert {owner.id for owner in owners.values()} == {"a"}


def test_a_worker_owns_partitions_of_its_own_lanes_only() -> None:
    nodes = [described("a", lanes=("main",)), described("b", lanes=("bulk",))]
    owners = find_owners(PARTITIONS, nodes)
    assert {(each.lane, owner.id) for each, owner in owners.items()} == {
        ("main", "a"),
        ("bulk", "b"),
    }


def test_a_lane_that_nobody_stands_in_line_for_has_no_owners() -> None:
    owners = find_owners(PARTITIONS, [described("a", lanes=("main",))])
    assert {each.lane for each in owners} == {"main"}
