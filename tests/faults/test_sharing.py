"""Three workers share eight partitions of a real RabbitMQ, whatever becomes of one of them.

Who has which partition is read as an operator would: the active consumer of each inbound queue is
called after its process.
"""

import asyncio
import base64
import re
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from broker.local.files import VHOST
from broker.local.node import LocalNode
from tests.faults.load import under_load
from tests.system.connection import Reply, connected
from tests.system.deployment import Access, Deployment, deployed
from tests.system.process import ServerProcess

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(150)]

PARTITIONS = 8
CHANGE_SECONDS = 5.0
"""Within which the workers share evenly again after any change."""
KILLED_SECONDS = 1.0
FROZEN_SECONDS = 10.0
"""Within which a killed, or a frozen, worker's partitions are served again."""

SAMPLED_SECONDS = 8.0
"""The management API samples every five, and may need a moment."""

POLL_SECONDS = 0.1
PACE_SECONDS = 0.05

# Every partition has some of them.
CHANNELS = [f"open:shared-{number}" for number in range(24)]


class Shares:
    """Which worker processes have how many partitions: those whose consumers are active."""

    def __init__(self, node: LocalNode, prefix: str) -> None:
        self._node = node
        self._queues = {f"{prefix}inbound.main.{number}" for number in range(PARTITIONS)}

    async def become_even(self, *workers: ServerProcess, within_seconds: float) -> None:
        """Wait until these processes have all partitions, none of them two more than another.

        The node itself is asked: the management API tells what it sampled up to five seconds ago.
        """
        await self._become_even(workers, self._read_from_node, within_seconds)

    async def are_shown_even(self, *workers: ServerProcess) -> None:
        """Wait until the management API tells so too."""
        await self._become_even(workers, self._read_from_management, SAMPLED_SECONDS)

    async def _become_even(
        self,
        workers: Sequence[ServerProcess],
        read: Callable[[], Awaitable[Counter[int]]],
        within_seconds: float,
    ) -> None:
        shares: Counter[int] = Counter()
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            shares = await read()
            spread = [shares[worker.pid] for worker in workers]
            if sum(spread) == PARTITIONS == shares.total() and max(spread) - min(spread) <= 1:
                return
            await asyncio.sleep(POLL_SECONDS)
        raise AssertionError(f"uneven after {within_seconds} s: {shares}")

    async def _read_from_node(self) -> Counter[int]:
        listed = await self._node.ctl(
            "list_consumers", "-p", VHOST, "queue_name", "consumer_tag", "active"
        )
        rows = [line.split("\t") for line in listed.splitlines()]
        return Counter(
            _pid(tag) for queue, tag, active in rows if queue in self._queues and active == "true"
        )

    async def _read_from_management(self) -> Counter[int]:
        found = await asyncio.to_thread(self._get, f"consumers/{VHOST}")
        return Counter(
            _pid(each["consumer_tag"])
            for each in found
            if each["queue"]["name"] in self._queues and each["active"]
        )

    def _get(self, path: str) -> list[dict[str, Any]]:
        credentials = f"{self._node.admin_user}:{self._node.admin_password}".encode()
        request = urllib.request.Request(f"{self._node.management_url}/api/{path}")
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials).decode())
        with urllib.request.urlopen(request, timeout=10) as response:
            found: list[dict[str, Any]] = orjson.loads(response.read())
            return found


def _pid(consumer_tag: str) -> int:
    """The process of a consumer called `forebay worker 4711@host`; 0 for no such."""
    match = re.search(r"(\d+)@", consumer_tag)
    return int(match[1]) if match else 0


class Pulse:
    """Publishes to one channel all the time, and knows for how long it was not answered."""

    def __init__(self, front_url: str, channel: str) -> None:
        self._front_url = front_url
        self._channel = channel
        self._answered_at = time.monotonic()
        self._longest_gap_seconds = 0.0

    def begin_measuring(self) -> None:
        """Forget gaps from before."""
        self._answered_at = time.monotonic()
        self._longest_gap_seconds = 0.0

    @property
    def longest_gap_seconds(self) -> float:
        """For how long, since the measuring began, no publish was answered."""
        return max(self._longest_gap_seconds, time.monotonic() - self._answered_at)

    async def run(self) -> None:
        """Publish again a moment after the last publish was answered, until cancelled."""
        async with connected(self._front_url) as connection:
            for command_id in count(2):
                publish = {"channel": self._channel, "data": {}}
                await connection.send({"id": command_id, "publish": publish})
                replies: list[Reply] = []
                while not replies:  # a ping brings none
                    replies = await connection.receive()
                if "publish" in replies[0]:  # else nobody knows its outcome: nothing was served
                    self._longest_gap_seconds = self.longest_gap_seconds
                    self._answered_at = time.monotonic()
                await asyncio.sleep(PACE_SECONDS)


@asynccontextmanager
async def pulsing(deployment: Deployment) -> AsyncIterator[list[Pulse]]:
    """Publish to every partition all the time, until the context ends."""
    pulses = [Pulse(deployment.front_urls[0], channel) for channel in CHANNELS]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(pulse.run()) for pulse in pulses]
        yield pulses
        for task in running:
            task.cancel()


@asynccontextmanager
async def three_workers(
    directory: Path, node: LocalNode, prefix: str
) -> AsyncIterator[tuple[Deployment, Shares]]:
    access = Access.of_admin(node)
    async with deployed(
        directory, access, prefix=prefix, fronts=1, workers=3, partitions=PARTITIONS
    ) as deployment:
        shares = Shares(node, prefix)
        await shares.become_even(*deployment.workers, within_seconds=CHANGE_SECONDS)
        yield deployment, shares


@pytest.mark.parametrize("has_traffic", [False, True], ids=["idle", "busy"])
async def test_three_workers_share_eight_partitions_evenly_after_any_change(
    tmp_path: Path, rabbit_node: LocalNode, rabbit_prefix: str, *, has_traffic: bool
) -> None:
    async with AsyncExitStack() as stack:
        deployment, shares = await stack.enter_async_context(
            three_workers(tmp_path, rabbit_node, rabbit_prefix)
        )
        if has_traffic:
            await stack.enter_async_context(pulsing(deployment))
        first, second, third = deployment.workers

        first.kill9()
        await shares.become_even(second, third, within_seconds=CHANGE_SECONDS)
        first.start()
        # A start is a change once the process has connected; that alone takes it a second or two.
        await shares.become_even(first, second, third, within_seconds=2 * CHANGE_SECONDS)
        await shares.are_shown_even(first, second, third)
        await asyncio.to_thread(second.terminate)
        await shares.become_even(first, third, within_seconds=CHANGE_SECONDS)
        await asyncio.to_thread(third.terminate)
        await shares.become_even(first, within_seconds=CHANGE_SECONDS)
        await shares.are_shown_even(first)


async def test_a_killed_workers_partitions_are_served_again_within_a_second(
    tmp_path: Path, rabbit_node: LocalNode, rabbit_prefix: str
) -> None:
    async with (
        three_workers(tmp_path, rabbit_node, rabbit_prefix) as (deployment, _),
        pulsing(deployment) as pulses,
    ):
        await asyncio.sleep(KILLED_SECONDS)
        for pulse in pulses:
            pulse.begin_measuring()
        deployment.workers[0].kill9()
        await asyncio.sleep(2 * KILLED_SECONDS)  # for as long as that, everything is measured
        assert max(pulse.longest_gap_seconds for pulse in pulses) < KILLED_SECONDS


async def test_a_frozen_workers_partitions_are_served_again_and_its_waking_up_harms_nothing(
    tmp_path: Path, rabbit_node: LocalNode, rabbit_prefix: str
) -> None:
    async with three_workers(tmp_path, rabbit_node, rabbit_prefix) as (deployment, shares):
        frozen, *others = deployment.workers
        async with under_load(deployment.front_urls, seed=4, directory=tmp_path) as load:
            await load.until_acknowledged(0.1)
            frozen.freeze()
            await shares.become_even(*others, within_seconds=FROZEN_SECONDS)
            frozen.resume()
            await shares.become_even(*deployment.workers, within_seconds=CHANGE_SECONDS)
            report = await load.finish()
            assert not report.stories, str(report)
            assert report.unresumed == 0, str(report)
