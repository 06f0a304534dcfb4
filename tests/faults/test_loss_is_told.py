"""A log that lost records says so: whoever may miss something is told, and everything goes on.

Subscribers are told by an unsubscribe with code 2500, or lose their connection; who comes back with
a position that cannot be served gets a reply without `recovered`. Afterwards publishing and
recovery work again without anybody's help. Other partitions notice nothing.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest
import pytest_asyncio

from broker.local.files import VHOST
from broker.local.installation import Installation
from broker.local.node import LocalNode
from broker.partition import partition_number
from broker.rabbitmq import apply_topology
from tests.contract.proxy import open_proxy
from tests.system.client import Client, client_of
from tests.system.connection import ConnectionLost, Reply
from tests.system.deployment import LANES, Access, Deployment, deployed

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.rabbitmq,
    pytest.mark.timeout(150),
]

INSUFFICIENT_STATE = 2500

# A reader gives a log that ends too early 15 seconds to prove that only a replica is behind; then
# the log is read anew, a worker begins an epoch, and clients come back.
TOLD_SECONDS = 40.0
WORKS_SECONDS = 40.0


def channel_in(partition: int, name: str = "loss") -> str:
    """Name a channel of a partition."""
    names = (f"open:{name}-{number}" for number in count())
    return next(name for name in names if partition_number(name, LANES["main"]) == partition)


STRUCK, SPARED = channel_in(0), channel_in(1)


@dataclass
class Position:
    """Where a client is in a channel."""

    channel: str
    epoch: str
    offset: int


async def publish(client: Client, channel: str, text: str) -> None:
    """Publish until it is acknowledged; what is refused meanwhile is tried again."""
    async with asyncio.timeout(WORKS_SECONDS):
        while True:
            reply = await client.ask(publish={"channel": channel, "data": text})
            if "publish" in reply:
                return
            assert reply["error"]["code"] in (111, 400), reply
            await asyncio.sleep(0.1)


async def publish_some(url: str, channel: str, words: list[str]) -> None:
    """Publish one after the other, coming back if the front goes away."""
    left = list(words)
    while left:
        try:
            async with client_of(url) as client:
                while left:
                    await publish(client, channel, left[0])
                    left.pop(0)
        except* ConnectionLost:
            await asyncio.sleep(0.1)


async def position_of(url: str, channel: str) -> Position:
    async with client_of(url) as client:
        there = await client.subscribe(channel)
        return Position(channel, there["epoch"], there["offset"])


async def come_back(url: str, position: Position) -> Reply:
    """Connect and recover from a position, as an SDK does, until that is answered."""
    async with asyncio.timeout(WORKS_SECONDS):
        while True:
            try:
                async with client_of(url) as client:
                    return await recovered(client, position)
            except* ConnectionLost:
                await asyncio.sleep(0.1)


async def recovered(client: Client, position: Position) -> Reply:
    """Subscribe from a position, again while that is refused for a moment."""
    while True:
        options = {"recover": True, "epoch": position.epoch, "offset": position.offset}
        reply = await client.ask(subscribe={"channel": position.channel, **options})
        if "subscribe" in reply:
            there: Reply = reply["subscribe"]
            return there
        assert reply["error"]["code"] == 100, reply
        await asyncio.sleep(0.1)


async def is_told(client: Client, position: Position) -> None:
    """Wait until a subscriber hears that something may be missing, and that it is right."""
    try:
        async with asyncio.timeout(TOLD_SECONDS):
            ended = await client.until_pushed(position.channel, "unsubscribe")
    except ConnectionLost:
        return
    assert ended["code"] == INSUFFICIENT_STATE
    assert "recovered" not in await recovered(client, position)


async def is_told_there(url: str, position: Position) -> None:
    """Come back to a front, which may not have found out yet; then it tells a little later."""
    async with client_of(url) as client:
        if "recovered" in await recovered(client, position):
            await is_told(client, position)


async def works_again(url: str) -> None:
    """Publish and recover in a channel that lost something."""
    await publish_some(url, STRUCK, ["first after", "second after"])
    there = await position_of(url, STRUCK)
    back = await come_back(url, Position(STRUCK, there.epoch, there.offset - 2))
    assert back["recovered"] is True
    texts = [each["data"] for each in back["publications"]]
    assert texts == ["first after", "second after"]


@asynccontextmanager
async def subscribed(url: str) -> AsyncIterator[tuple[Client, Position, Position]]:
    """A client that follows a channel that will lose something, and one that will not."""
    await publish_some(url, STRUCK, ["before 1", "before 2"])
    await publish_some(url, SPARED, ["spared 1", "spared 2"])
    async with client_of(url) as client:
        positions = []
        for channel in (STRUCK, SPARED):
            there = await client.subscribe(channel)
            positions.append(Position(channel, there["epoch"], there["offset"]))
        yield client, positions[0], positions[1]


async def is_spared(url: str, position: Position) -> None:
    """The other partition's channel lost nothing, and is believed when it says so."""
    await publish_some(url, SPARED, ["spared again"])
    back = await come_back(url, position)
    assert back["recovered"] is True
    assert [each["data"] for each in back["publications"]][-1:] == ["spared again"]


# ---- the log is made anew


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(
    tmp_path_factory: pytest.TempPathFactory, rabbit_installation: Installation
) -> AsyncIterator[LocalNode]:
    running = LocalNode(tmp_path_factory.mktemp("lossy"), installation=rabbit_installation)
    await running.start()
    yield running
    await running.kill()


@pytest.fixture
async def deployment(tmp_path: Path, node: LocalNode) -> AsyncIterator[Deployment]:
    """Two fronts and two workers."""
    access = Access.of_admin(node)
    async with deployed(tmp_path, access, prefix=f"{tmp_path.name}.") as running:
        yield running


async def make_log_anew(node: LocalNode, prefix: str, *, missing_seconds: float) -> None:
    await node.ctl("delete_queue", "-p", VHOST, f"{prefix}log.main.0")
    await asyncio.sleep(missing_seconds)
    await apply_topology([node.amqp_url], prefix=prefix, lanes=LANES)


@pytest.mark.parametrize(
    "missing_seconds", [pytest.param(0.0, marks=pytest.mark.long), 5.0], ids=["at-once", "later"]
)
async def test_a_log_made_anew_is_told_by_processes_that_stay(
    node: LocalNode, deployment: Deployment, tmp_path: Path, missing_seconds: float
) -> None:
    url = deployment.front_urls[0]
    async with subscribed(url) as (client, struck, spared):
        await make_log_anew(node, f"{tmp_path.name}.", missing_seconds=missing_seconds)
        await is_told(client, struck)
    for each in deployment.front_urls:
        await is_told_there(each, struck)
    await works_again(url)
    await is_spared(url, spared)
    assert all(process.is_running for process in deployment.processes)


@pytest.mark.long
async def test_a_log_made_anew_is_told_by_processes_that_start_afresh(
    node: LocalNode, deployment: Deployment, tmp_path: Path
) -> None:
    url = deployment.front_urls[0]
    async with subscribed(url) as (_, struck, spared):
        pass
    for process in deployment.processes:
        process.kill9()
    await make_log_anew(node, f"{tmp_path.name}.", missing_seconds=0.0)
    for process in deployment.processes:
        process.start()
    assert "recovered" not in await come_back(url, struck)
    await works_again(url)
    await is_spared(url, spared)


# ---- retention overtakes a front that is cut off

SMALL_LOG = {"max-length-bytes": 1_000_000, "stream-max-segment-size-bytes": 250_000}
# In another channel of the partition: more than a recovery may have.
FILLER = channel_in(0, "filler")
OVERTAKING = ["x" * 50_000] * 60
MISSED = ["missed 1", "missed 2"]


@pytest.mark.long
async def test_a_log_that_retention_took_from_a_front_that_was_cut_off_is_told(
    node: LocalNode, tmp_path: Path
) -> None:
    prefix = f"{tmp_path.name}."
    logs, small = f"^{prefix}log", orjson.dumps(SMALL_LOG).decode()
    await node.ctl("set_policy", "-p", VHOST, "small-logs", logs, small, "--apply-to", "queues")
    parts = urlsplit(node.amqp_url)
    assert parts.hostname is not None
    assert parts.port is not None
    async with AsyncExitStack() as stack:
        proxy, port = await stack.enter_async_context(open_proxy(parts.hostname, parts.port))

        def route(name: str, url: str) -> str:
            return url.replace(f":{parts.port}", f":{port}") if name == "front-0" else url

        access = Access.of_admin(node)
        running = deployed(tmp_path, access, prefix=prefix, workers=1, route=route)
        deployment = await stack.enter_async_context(running)
        cut_off, staying = deployment.front_urls
        client, struck, spared = await stack.enter_async_context(subscribed(cut_off))
        proxy.cut()
        await publish_some(staying, STRUCK, MISSED)
        await publish_some(staying, FILLER, OVERTAKING)
        proxy.mend()
        await is_told(client, struck)
        assert "recovered" not in await come_back(cut_off, struck)
        # Who was not cut off has all of it in memory.
        missed = await come_back(staying, struck)
        assert missed["recovered"] is True
        assert [each["data"] for each in missed["publications"]] == MISSED
        await works_again(cut_off)
        await works_again(staying)
        await is_spared(cut_off, spared)


# ---- the log loses its tail


@asynccontextmanager
async def lossy(
    tmp_path: Path, installation: Installation
) -> AsyncIterator[tuple[LocalNode, Deployment]]:
    """A node of one's own, since all its queues and streams lose what they got lately."""
    node = LocalNode(tmp_path / "rabbitmq", installation=installation)
    try:
        await node.start()
        access = Access.of_admin(node)
        async with deployed(tmp_path, access, prefix="tail.") as deployment:
            yield node, deployment
    finally:
        await node.kill()


async def keep_copy(node: LocalNode) -> Path:
    """Have what the node stores now on another place of the disk."""
    copy = node.data_path.with_name("copy")
    await node.stop()
    await asyncio.to_thread(shutil.copytree, node.data_path, copy)
    await node.start()
    return copy


async def lose_what_came_since(node: LocalNode, copy: Path) -> None:
    await node.kill()
    await asyncio.to_thread(shutil.rmtree, node.data_path)
    await asyncio.to_thread(copy.rename, node.data_path)
    await node.start()


LOST = [f"lost {number}" for number in range(10)]


@pytest.mark.long
async def test_a_lost_tail_is_told_by_processes_that_stay(
    tmp_path: Path, rabbit_installation: Installation
) -> None:
    async with lossy(tmp_path, rabbit_installation) as (node, deployment):
        url, other = deployment.front_urls
        async with subscribed(url) as (client, before, _):
            copy = await keep_copy(node)
            await publish_some(url, STRUCK, LOST)
            lost = await position_of(url, STRUCK)
            assert (lost.epoch, lost.offset) == (before.epoch, before.offset + len(LOST))
            await lose_what_came_since(node, copy)
            await is_told(client, lost)
        await works_again(url)
        for each in (url, other):
            assert "recovered" not in await come_back(each, lost)
            assert (await position_of(each, STRUCK)).epoch != lost.epoch
        assert all(process.is_running for process in deployment.processes)


@pytest.mark.long
async def test_a_lost_tail_is_told_to_who_comes_back_to_processes_that_start_afresh(
    tmp_path: Path, rabbit_installation: Installation
) -> None:
    async with lossy(tmp_path, rabbit_installation) as (node, deployment):
        url, _ = deployment.front_urls
        async with subscribed(url) as (_, before, _):
            copy = await keep_copy(node)
            await publish_some(url, STRUCK, LOST)
        lost = await position_of(url, STRUCK)
        for process in deployment.processes:
            process.kill9()
        await lose_what_came_since(node, copy)
        for process in deployment.processes:
            process.start()
        # Nobody is left who could know; but nobody has the publications that it claims to have.
        back = await come_back(url, lost)
        assert "recovered" not in back
        assert (back["epoch"], back["offset"]) == (before.epoch, before.offset)
        await works_again(url)


@pytest.mark.long
async def test_a_lost_tail_is_told_by_a_front_that_stays_beside_workers_that_start_afresh(
    tmp_path: Path, rabbit_installation: Installation
) -> None:
    async with lossy(tmp_path, rabbit_installation) as (node, deployment):
        url, _ = deployment.front_urls
        async with subscribed(url) as (client, _, _):
            copy = await keep_copy(node)
            await publish_some(url, STRUCK, LOST)
            lost = await position_of(url, STRUCK)
            for worker in deployment.workers:
                worker.kill9()
            await lose_what_came_since(node, copy)
            for worker in deployment.workers:
                worker.start()
            await is_told(client, lost)
        await works_again(url)
        for each in deployment.front_urls:
            assert "recovered" not in await come_back(each, lost)
            assert (await position_of(each, STRUCK)).epoch != lost.epoch
