"""The broker takes no more: publishers hear it within a second, and nobody else notices.

What is sent once the front knows is refused with error 111; what was under way may end as error
400, "outcome unknown", since nobody knows what became of it. Reading goes on from memory. When the
cause is gone everything goes on by itself, and nothing that was acknowledged is missing.
"""

import asyncio
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import psutil
import pytest
import pytest_asyncio

from broker.local.files import VHOST
from broker.local.installation import Installation
from broker.local.node import LocalNode
from tests.faults.back_pressure import (
    ACKNOWLEDGED,
    CHANNELS,
    PARTITIONS,
    TEMPORARY,
    UNKNOWN,
    Steady,
    publishing_steadily,
)
from tests.system.client import client_of
from tests.system.deployment import Access, Deployment, Front, deployed

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.rabbitmq,
    pytest.mark.timeout(150),
]

PREFIX = "pressed."

REFUSED_SECONDS = 1.0
GIVEN_UP_SECONDS = 5.0  # SDKs wait no longer
RESUMED_SECONDS = 5.0

# What the front cannot know before it is told: the first answer that does not come.
KNOWN_SECONDS = 3.0
HELD_SECONDS = 6.0
# A front gives a connection up after three heartbeats of ten seconds, and a little.
HEARTBEATS_SECONDS = 45.0

POOL_BYTES = 10_000
FILLED_SECONDS = 60.0
STARTED_SECONDS = 20.0

FLOOD_BYTES = 1000
FLOOD_AT_ONCE = 50
RSS_BYTES = 64 * 2**20


class Stage:
    """A node with one front and one worker, for one cause of back-pressure after the other."""

    def __init__(self, node: LocalNode, deployment: Deployment) -> None:
        self.node = node
        self.deployment = deployment
        self.front = deployment.fronts[0]
        self.worker = deployment.workers[0]

    def rss_bytes(self) -> int:
        return psutil.Process(self.front.process.pid).memory_info().rss

    async def health(self) -> dict[str, Any]:
        return orjson.loads(await asyncio.to_thread(_get, self.front.health_url("/health")))

    async def until_said(self, publishing: str) -> float:
        """Wait until the front says so of publishing; give the time then."""
        async with asyncio.timeout(KNOWN_SECONDS):
            while (await self.health())["publishing"] != publishing:  # noqa: ASYNC110 - it is asked
                await asyncio.sleep(0.01)
        return time.monotonic()


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=2) as response:
        assert response.status == 200
        body: bytes = response.read()
        return body


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(
    tmp_path_factory: pytest.TempPathFactory, rabbit_installation: Installation
) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("pressed")
    node = LocalNode(folder / "rabbitmq", installation=rabbit_installation)
    try:
        await node.start()
        access = Access.of_roles(node, PREFIX)
        async with deployed(folder, access, prefix=PREFIX, fronts=1, workers=1) as deployment:
            yield Stage(node, deployment)
    finally:
        await node.kill()


class Held:
    """What was seen while the cause lasted."""

    def __init__(self, steady: Steady, began: float, known: float) -> None:
        self.steady = steady
        self.began = began
        self.known = known
        self.gone = 0.0


@asynccontextmanager
async def pressing(
    stage: Stage, steady: Steady, began: float, said: str, seconds: float = HELD_SECONDS
) -> AsyncIterator[Held]:
    """Look at everything that must go on while the broker takes no more, and afterwards.

    The body ends the cause, and sets when it was gone.
    """
    known = await stage.until_said(said)
    held = Held(steady, began, known)
    before = stage.rss_bytes()
    until = known + seconds
    while time.monotonic() < until:
        await reading_goes_on(stage.front)
        await flood(stage.front)
        assert (await stage.health())["publishing"] != "open"
    assert stage.rss_bytes() - before < RSS_BYTES
    ending = time.monotonic()
    assert_refused_soon(steady, known, ending)
    yield held
    resumed = await steady.until(
        lambda: steady.has_answers_everywhere(ACKNOWLEDGED, since=held.gone),
        RESUMED_SECONDS,
    )
    await stage.until_said("open")
    assert_answered_honestly(steady, began, known)
    tell(stage, held, resumed, stage.rss_bytes() - before)


async def reading_goes_on(front: Front) -> None:
    """Subscribes, histories, recoveries and readiness, each at once."""
    async with asyncio.timeout(REFUSED_SECONDS * 3), client_of(front.url) as client:
        channel = CHANNELS[0]
        there = await client.history(channel)
        assert there
        seen = await client.subscribe(channel)
        assert "error" not in await client.ask(unsubscribe={"channel": channel})
        first = await client.recover(channel, seen["epoch"], seen["offset"] - 1)
        assert first["recovered"] is True
        assert [each["data"] for each in first["publications"]] == there[-1:]
    await asyncio.to_thread(_get, front.health_url("/health/ready"))


async def flood(front: Front) -> None:
    """Publish many at once; all are refused."""
    async with client_of(front.url) as client:
        data = "x" * FLOOD_BYTES
        for _ in range(10):
            replies = await asyncio.gather(
                *(
                    client.ask(publish={"channel": CHANNELS[n % 16], "data": data})
                    for n in range(FLOOD_AT_ONCE)
                )
            )
            assert {reply["error"]["code"] for reply in replies} == {TEMPORARY}


def assert_refused_soon(steady: Steady, known: float, ending: float) -> None:
    refused = steady.sent_between(known, ending)
    assert len(refused) > 100
    assert {answer.code for answer in refused} == {TEMPORARY}
    assert max(answer.seconds for answer in refused) < REFUSED_SECONDS
    # And none that was sent then waits for its answer still.
    answered = {answer.number for answer in steady.answers}
    last = max(a.number for a in refused if a.sent < ending - REFUSED_SECONDS)
    first = min(answer.number for answer in refused)
    assert answered >= set(range(first, last))


def assert_answered_honestly(steady: Steady, began: float, known: float) -> None:
    meanwhile = [answer for answer in steady.answers if began <= answer.sent < known]
    assert {answer.code for answer in meanwhile} <= {ACKNOWLEDGED, TEMPORARY, UNKNOWN}
    assert max((answer.seconds for answer in meanwhile), default=0.0) < GIVEN_UP_SECONDS


def tell(stage: Stage, held: Held, resumed: float, grown_bytes: int) -> None:
    """For a person who runs it with -s."""
    counted = {
        code: sum(answer.code == code for answer in held.steady.answers)
        for code in (ACKNOWLEDGED, TEMPORARY, UNKNOWN)
    }
    print(  # noqa: T201 - read with -s
        f"\nknown after {held.known - held.began:.2f} s, resumed {resumed - held.gone:.2f} s after"
        f" the cause was gone, front {grown_bytes / 2**20:+.1f} MiB,"
        f" acknowledged / refused / unknown: {counted}"
    )


async def assert_kept(stage: Stage, steady: Steady) -> None:
    """All that was acknowledged is there, once."""
    kept: list[Any] = []
    async with client_of(stage.front.url) as client:
        for channel in CHANNELS:
            kept += await client.history(channel)
    for answer in steady.acknowledged():
        assert kept.count(steady.text_of(answer.number)) == 1, answer


@asynccontextmanager
async def publishing(stage: Stage) -> AsyncIterator[Steady]:
    """Publish to every partition, and see in the end that what was acknowledged is there."""
    async with publishing_steadily(stage.front.url) as steady:
        await steady.until(lambda: steady.has_answers_everywhere(ACKNOWLEDGED, 0), 10)
        yield steady
    await assert_kept(stage, steady)


async def test_a_memory_alarm_shuts_publishing_alone(stage: Stage) -> None:
    async with publishing(stage) as steady:
        began = time.monotonic()
        await stage.node.ctl("set_vm_memory_high_watermark", "0.00001")
        async with pressing(stage, steady, began, "blocked") as held:
            await stage.node.ctl("set_vm_memory_high_watermark", "0.6")
            held.gone = time.monotonic()


@pytest.mark.long
async def test_a_disk_alarm_shuts_publishing_alone(stage: Stage) -> None:
    async with publishing(stage) as steady:
        began = time.monotonic()
        await stage.node.ctl("set_disk_free_limit", "1000000GB")
        async with pressing(stage, steady, began, "blocked") as held:
            await stage.node.ctl("set_disk_free_limit", "200MB")
            held.gone = time.monotonic()


async def test_a_frozen_node_shuts_publishing_alone(stage: Stage) -> None:
    async with publishing(stage) as steady:
        began = time.monotonic()
        stage.node.pause()
        async with pressing(stage, steady, began, "blocked") as held:
            stage.node.resume()
            held.gone = time.monotonic()


@pytest.mark.long
async def test_so_does_one_that_is_frozen_until_its_connections_are_given_up(stage: Stage) -> None:
    async with publishing(stage) as steady:
        began = time.monotonic()
        stage.node.pause()
        async with pressing(stage, steady, began, "blocked", HEARTBEATS_SECONDS) as held:
            assert (await stage.health())["publishing"] == "away"
            stage.node.resume()
            held.gone = time.monotonic()


@pytest.mark.long
async def test_a_killed_node_shuts_publishing_alone(stage: Stage) -> None:
    async with publishing(stage) as steady:
        began = time.monotonic()
        await stage.node.kill()
        async with pressing(stage, steady, began, "away") as held:
            await stage.node.start()
            held.gone = time.monotonic()


@pytest.mark.long
async def test_a_full_pool_shuts_publishing_alone(stage: Stage) -> None:
    async with publishing(stage) as steady:
        small = orjson.dumps({"max-length-bytes": POOL_BYTES}).decode()
        pools = f"^{PREFIX}inbound"
        await stage.node.ctl(
            "set_policy", "-p", VHOST, "small", pools, small, "--apply-to", "queues"
        )
        stage.worker.kill9()
        began = time.monotonic()
        # Each partition has a pool of its own, and each is full a little later than another.
        await steady.until(lambda: steady.has_answers_everywhere(TEMPORARY, began), FILLED_SECONDS)
        async with pressing(stage, steady, began, "blocked") as held:
            claims = len(stage.worker.events("partition claimed"))
            stage.worker.start()
            await until_claimed(stage, claims + len(PARTITIONS))
            held.gone = time.monotonic()
        await stage.node.ctl("clear_policy", "-p", VHOST, "small")


async def until_claimed(stage: Stage, claims: int) -> None:
    """Wait until the worker has started and claimed partitions."""
    async with asyncio.timeout(STARTED_SECONDS):
        while len(stage.worker.events("partition claimed")) < claims:  # noqa: ASYNC110 - it is read
            await asyncio.sleep(0.05)
