"""A cluster of three nodes: one dies, and neither what was confirmed nor the service is gone."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from broker.errors import BrokerUnavailable
from broker.follow import read_to_end
from broker.interface import Stream
from broker.local.cluster import LocalCluster
from broker.local.installation import Installation
from broker.local.node import LocalNode
from broker.partition import Partition
from broker.rabbitmq import RabbitSettings, apply_topology, open_rabbitmq
from tests.system.connection import Connection, ConnectionLost, connected
from tests.system.deployment import LANES, Access, deployed

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.rabbitmq,
    pytest.mark.timeout(120),  # a cluster starts in eight seconds, more on a busy machine
]

FIRST = Partition("main", 0)

# A leader's successor is found in a second or two; the clients of a killed node come back on
# another one within two more, and then the partitions are claimed anew.
RESUMED_SECONDS = 15.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(
    tmp_path_factory: pytest.TempPathFactory, rabbit_installation: Installation
) -> AsyncIterator[LocalCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    async with LocalCluster(folder, installation=rabbit_installation) as running:
        yield running


@pytest.fixture
async def whole_cluster(cluster: LocalCluster) -> AsyncIterator[LocalCluster]:
    """The cluster with all its nodes, and again when the test is over."""
    yield cluster
    await cluster.start()


class Appender:
    """Appends numbered records one after the other, and knows which were confirmed."""

    def __init__(self, log: Stream) -> None:
        self._log = log
        self.confirmed: list[bytes] = []
        self._news = asyncio.Event()

    async def run(self) -> None:
        for number in range(100_000):
            body = b"record %d" % number
            try:
                await self._log.append(body, entries=1)
            except BrokerUnavailable:
                await asyncio.sleep(0.05)
            else:
                self.confirmed.append(body)
                self._news.set()

    async def until_more(self, count: int) -> None:
        """Wait until so many more were confirmed."""
        wanted = len(self.confirmed) + count
        while len(self.confirmed) < wanted:
            self._news.clear()
            await self._news.wait()


async def bodies_at(node: LocalNode, prefix: str, last: bytes) -> list[bytes]:
    """Read a log by one node's own copy, which is complete when it has the last record."""
    settings = RabbitSettings((node.amqp_url,), prefix)
    bodies: list[bytes] = []
    async with open_rabbitmq(settings) as broker:
        while last not in bodies:
            with suppress(BrokerUnavailable):
                bodies = [record.body async for record in read_to_end(broker.log(FIRST))]
    return bodies


async def test_every_queue_and_stream_has_a_copy_on_every_node(
    whole_cluster: LocalCluster,
) -> None:
    await apply_topology(whole_cluster.amqp_url.split(","), prefix="copied.", lanes={"main": 1})
    for queue in ("inbound.main.0", "log.main.0", "tops.main.0", "dead", "api"):
        assert await whole_cluster.replicas_of(f"copied.{queue}") == whole_cluster.nodes


async def test_partitions_are_led_by_all_nodes_and_each_by_one(
    whole_cluster: LocalCluster,
) -> None:
    await apply_topology(whole_cluster.amqp_url.split(","), prefix="spread.", lanes={"main": 3})
    leaders = []
    for number in range(3):
        leader = await whole_cluster.leader_of(f"spread.log.main.{number}")
        assert await whole_cluster.leader_of(f"spread.inbound.main.{number}") is leader
        assert await whole_cluster.leader_of(f"spread.tops.main.{number}") is leader
        leaders.append(leader.name)
    assert sorted(leaders) == [node.name for node in whole_cluster.nodes]


async def test_a_logs_killed_leader_loses_nothing_confirmed_and_catches_up(
    whole_cluster: LocalCluster,
) -> None:
    urls = tuple(whole_cluster.amqp_url.split(","))
    await apply_topology(urls, prefix="led.", lanes={"main": 1})
    async with open_rabbitmq(RabbitSettings(urls, "led.")) as broker, asyncio.TaskGroup() as tasks:
        appender = Appender(broker.log(FIRST))
        appending = tasks.create_task(appender.run())
        await appender.until_more(200)
        leader = await whole_cluster.leader_of("led.log.main.0")
        await leader.kill()
        await appender.until_more(200)
        assert await whole_cluster.leader_of("led.log.main.0") is not leader
        await leader.start()
        await appender.until_more(200)
        appending.cancel()
    for node in whole_cluster.nodes:
        kept = await bodies_at(node, "led.", appender.confirmed[-1])
        assert len(set(kept)) == len(kept)
        assert set(appender.confirmed) <= set(kept)


class Publisher:
    """Publishes one after the other, and knows which were acknowledged."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.acknowledged: list[int] = []
        self._news = asyncio.Event()

    async def run(self) -> None:
        number = 0
        while True:
            with suppress(ConnectionLost):
                async with connected(self._url) as connection:
                    while True:
                        number += 1
                        if await self._publish(connection, number):
                            self.acknowledged.append(number)
                            self._news.set()
                        else:
                            await asyncio.sleep(0.05)
            await asyncio.sleep(0.1)

    async def _publish(self, connection: Connection, number: int) -> bool:
        channel = f"open:{number % 16}"
        await connection.send({"id": number + 1, "publish": {"channel": channel, "data": number}})
        while True:
            for reply in await connection.receive():
                if reply.get("id") == number + 1:
                    return "publish" in reply

    async def until_more(self, count: int) -> None:
        """Wait until so many more were acknowledged."""
        wanted = len(self.acknowledged) + count
        while len(self.acknowledged) < wanted:
            self._news.clear()
            await self._news.wait()


async def kept_publications(url: str) -> set[int]:
    kept: set[int] = set()
    async with connected(url) as connection:
        for number in range(16):
            request = {"channel": f"open:{number}", "limit": -1}
            await connection.send({"id": number + 2, "history": request})
            answered = False
            while not answered:
                for reply in await connection.receive():
                    publications = reply["history"].get("publications", [])
                    kept.update(publication["data"] for publication in publications)
                    answered = True
    return kept


async def test_front_and_worker_go_on_when_the_node_that_leads_is_killed(
    whole_cluster: LocalCluster, tmp_path: Path
) -> None:
    prefix = "served."
    access = Access.of_roles(whole_cluster, prefix)
    async with (
        deployed(tmp_path, access, prefix=prefix, fronts=1, workers=2) as deployment,
        asyncio.TaskGroup() as tasks,
    ):
        assert LANES == {"main": 4}
        publisher = Publisher(deployment.front_urls[0])
        publishing = tasks.create_task(publisher.run())
        await publisher.until_more(50)
        leader = await whole_cluster.leader_of(f"{prefix}log.main.0")
        await leader.kill()
        killed = time.monotonic()
        async with asyncio.timeout(RESUMED_SECONDS):
            await publisher.until_more(50)
        print(f"\nresumed {time.monotonic() - killed:.1f} s after the kill")  # noqa: T201 - for -s
        await leader.start()
        async with asyncio.timeout(RESUMED_SECONDS):
            await publisher.until_more(50)
        publishing.cancel()
        await deployment.until_publishing(deployment.fronts[0])
        assert set(publisher.acknowledged) <= await kept_publications(deployment.front_urls[0])
