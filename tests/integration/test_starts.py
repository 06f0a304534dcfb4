"""Who starts over a long log goes on where it ends, whatever snapshots there are.

A hundred thousand publications of ten thousand channels, of which each partition has snapshots that
are damaged in a way of its own. What it all adds up to is known from the writing.
"""

import asyncio
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import msgspec
import pytest

from bench.longlog import LongLog, Written, append_all, write_log
from broker.batch import FORMAT_VERSION
from broker.local.node import LocalNode
from broker.partition import Partition
from broker.rabbitmq import RabbitSettings, apply_topology, open_rabbitmq
from tests.system.connection import Connection, Reply, connected
from tests.system.deployment import LANES, Access, deployed

LONG_LOG = LongLog(
    publications=100_000,
    records=2_000,
    channels=10_000,
    partitions=LANES["main"],
    is_in_one=False,
    channel="open:room{}",
    snapshot_every_records=100,
)
SOME_CHANNELS = 5
ANSWER_SECONDS = 10.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


async def test_starts_over_a_long_log_are_right_whatever_snapshots_there_are(
    rabbit_node: LocalNode, rabbit_prefix: str, tmp_path: Path
) -> None:
    for name in ("without", "damaged"):
        (tmp_path / name).mkdir()
    url = rabbit_node.amqp_url
    await apply_topology([url], prefix=rabbit_prefix, lanes=LANES)
    async with open_rabbitmq(RabbitSettings((url,), rabbit_prefix)) as broker:
        # Asking for an end waits for the connection, which appending does not.
        await broker.log(Partition("main", 0)).end()
        written = await write_log(broker, LONG_LOG)
        assert await _goes_on(tmp_path / "without", rabbit_node, rabbit_prefix, written) == []
        for each, bodies in zip(written, _damaged(written), strict=True):
            await append_all(broker.tops(each.partition), bodies)
        unused = await _goes_on(tmp_path / "damaged", rabbit_node, rabbit_prefix, written)
    assert unused == ["main.2"] * 2


async def _goes_on(
    directory: Path, node: LocalNode, prefix: str, written: Sequence[Written]
) -> list[str]:
    """Start a front and a worker, and publish to some channels of each partition.

    Gives the partitions of snapshots that a process found to be of no use.
    """
    access = Access.of_admin(node)
    async with (
        deployed(directory, access, prefix=prefix, fronts=1, workers=1) as deployment,
        connected(deployment.front_urls[0]) as connection,
    ):
        asking = _Asking(connection)
        for each in written:
            for channel in list(each.offsets)[:: len(each.offsets) // SOME_CHANNELS]:
                each.offsets[channel] += 1
                await asking.ask(publish={"channel": channel, "data": {}})
                found = await asking.last_offset(channel)
                assert found == each.offsets[channel], f"{channel} in {each.partition.name}"
        return [
            event["partition"]
            for process in deployment.processes
            for event in process.events("snapshot not used")
        ]


class _Asking:
    """Sends one command at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ids = count(2)  # 1 is the connect command's

    async def ask(self, **command: object) -> Reply:
        """Send a command and give its reply."""
        command_id = next(self._ids)
        await self._connection.send({"id": command_id, **command})
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                for reply in await self._connection.receive():
                    if reply.get("id") == command_id:
                        return reply

    async def last_offset(self, channel: str) -> int:
        """Give where a channel is, which is where its history ends."""
        request = {"channel": channel, "limit": 1, "reverse": True}
        history = (await self.ask(history=request))["history"]
        assert [each["offset"] for each in history["publications"]] == [history["offset"]]
        return int(history["offset"])


def _damaged(written: Sequence[Written]) -> list[list[bytes]]:
    """Snapshots for each partition, none of which ends as a worker would have left it."""
    torn, mixed, foreign, zombie = (each.snapshots for each in written)
    return [
        # The last ones lack their end, what follows their head, and all but their head.
        [*torn[0], *torn[-1][:-1], torn[-2][0], *torn[-2][2:], torn[-3][0]],
        # Two workers wrote at once.
        [body for pair in zip(mixed[-2], mixed[-1], strict=True) for body in pair],
        # Of another log.
        [*foreign[-1], *written[0].snapshots[-1]],
        # A worker that lost the partition long ago writes last, but for one of a newer version.
        [*zombie[-1], *zombie[0], *map(_of_a_later_format, zombie[-1])],
    ]


def _of_a_later_format(body: bytes) -> bytes:
    fields = msgspec.json.decode(body)
    return msgspec.json.encode([fields[0], FORMAT_VERSION + 1, *fields[2:]])
