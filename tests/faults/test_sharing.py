"""Three workers share eight partitions of a real RabbitMQ, whatever becomes of one of them.

Who has which partition is read from the management API, as an operator would: the active consumer
of each inbound queue, and the process behind its connection.
"""

import asyncio
import base64
import re
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from broker.local.files import VHOST
from broker.local.node import LocalNode
from tests.faults.load import under_load
from tests.system.connection import Connection, connected
from tests.system.deployment import Access, Deployment, deployed
from tests.system.process import ServerProcess

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(150)]

PARTITIONS = 8
CHANGE_SECONDS = 5.0
"""Within which the workers share evenly again after any change."""
KILLED_SECONDS = 1.0
FROZEN_SECONDS = 10.0
"""Within which a killed, or a frozen, worker's partitions are served again."""

# The management API tells a change when it has been told itself.
TOLD_SECONDS = 1.0
POLL_SECONDS = 0.1

PACE_SECONDS = 0.02
SETTLE_SECONDS = 1.0

# Enough for every partition to have some of them.
CHANNELS = [f"open:shared-{number}" for number in range(40)]


class Shares:
    """Which worker processes have how many partitions, as the management API tells."""

    def __init__(self, node: LocalNode, prefix: str) -> None:
        self._node = node
        self._prefix = prefix

    async def read(self) -> Counter[int]:
        return await asyncio.to_thread(self._read)

    async def become_even(self, *workers: ServerProcess, within_seconds: float) -> None:
        """Wait until these processes have all partitions, none of them two more than another."""
        shares: Counter[int] = Counter()
        deadline = time.monotonic() + within_seconds + TOLD_SECONDS
        while time.monotonic() < deadline:
            shares = await self.read()
            spread = [shares[worker.pid] for worker in workers]
            if sum(spread) == PARTITIONS == shares.total() and max(spread) - min(spread) <= 1:
                return
            await asyncio.sleep(POLL_SECONDS)
        raise AssertionError(f"uneven after {within_seconds} s: {shares}")

    def _read(self) -> Counter[int]:
        named = {
            each["name"]: each.get("user_provided_name", "")
            for each in self._get(f"vhosts/{VHOST}/connections")
        }
        queues = [f"{self._prefix}inbound.main.{number}" for number in range(PARTITIONS)]
        return Counter(
            _pid(named.get(each["channel_details"].get("connection_name"), ""))
            for each in self._get(f"consumers/{VHOST}")
            if each["queue"]["name"] in queues and each["active"]
        )

    def _get(self, path: str) -> list[dict[str, Any]]:
        credentials = f"{self._node.admin_user}:{self._node.admin_password}".encode()
        request = urllib.request.Request(f"{self._node.management_url}/api/{path}")
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials).decode())
        with urllib.request.urlopen(request, timeout=10) as response:
            found: list[dict[str, Any]] = orjson.loads(response.read())
            return found


def _pid(connection_name: str) -> int:
    """The process of a connection named `forebay worker 4711@host consuming`; 0 for no such."""
    match = re.search(r"(\d+)@", connection_name)
    return int(match[1]) if match else 0


class Pulse:
    """Publishes to every partition all the time, and knows when each was last served."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._commands: dict[int, str] = {}
        self._served_at: dict[str, float] = {}
        self._longest_gap_seconds = 0.0
        self._command_ids = count(2)

    def begin_measuring(self) -> None:
        """Forget gaps from before."""
        self._served_at = dict.fromkeys(CHANNELS, time.monotonic())
        self._longest_gap_seconds = 0.0

    def longest_gap_seconds(self) -> float:
        """Tell for how long, since the measuring began, a channel was not served."""
        now = time.monotonic()
        open_gaps = [now - at for at in self._served_at.values()]
        return max(self._longest_gap_seconds, *open_gaps)

    async def run(self) -> None:
        """Publish to each channel as soon as the one before was answered, until cancelled."""
        await self._publish(CHANNELS)
        while True:
            answered = []
            for reply in await self._connection.receive():
                channel = self._commands.pop(reply["id"])
                answered.append(channel)
                if "publish" in reply:
                    self._note_served(channel)
            await asyncio.sleep(PACE_SECONDS)
            await self._publish(answered)

    def _note_served(self, channel: str) -> None:
        now = time.monotonic()
        gap_seconds = now - self._served_at.get(channel, now)
        self._longest_gap_seconds = max(self._longest_gap_seconds, gap_seconds)
        self._served_at[channel] = now

    async def _publish(self, channels: Iterable[str]) -> None:
        commands = []
        for channel in channels:
            command_id = next(self._command_ids)
            self._commands[command_id] = channel
            commands.append({"id": command_id, "publish": {"channel": channel, "data": {}}})
        if commands:
            await self._connection.send(*commands)


@asynccontextmanager
async def pulsing(deployment: Deployment) -> AsyncIterator[Pulse]:
    """Publish all the time, until the context ends."""
    async with connected(deployment.front_urls[0]) as connection, asyncio.TaskGroup() as tasks:
        pulse = Pulse(connection)
        running = tasks.create_task(pulse.run())
        yield pulse
        running.cancel()


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
        await asyncio.to_thread(second.terminate)
        await shares.become_even(first, third, within_seconds=CHANGE_SECONDS)
        await asyncio.to_thread(third.terminate)
        await shares.become_even(first, within_seconds=CHANGE_SECONDS)


async def test_a_killed_workers_partitions_are_served_again_within_a_second(
    tmp_path: Path, rabbit_node: LocalNode, rabbit_prefix: str
) -> None:
    async with (
        three_workers(tmp_path, rabbit_node, rabbit_prefix) as (deployment, _),
        pulsing(deployment) as pulse,
    ):
        await asyncio.sleep(SETTLE_SECONDS)
        pulse.begin_measuring()
        deployment.workers[0].kill9()
        await asyncio.sleep(KILLED_SECONDS)
        # What is served again is answered: the outcomes of all that waited come at once.
        await asyncio.sleep(KILLED_SECONDS)
        assert pulse.longest_gap_seconds() < KILLED_SECONDS


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
