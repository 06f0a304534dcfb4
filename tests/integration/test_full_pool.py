"""A pool that is full of entries from which others follow, for the very same pool.

RabbitMQ lets a publisher that it refused wait until a fifth of the pool is empty again. So a worker
that settled nothing more before what follows is in its pool would wait for itself.
"""

import asyncio

import pytest
from msgspec import Raw

from broker.batch import Entry, EntryKind, encode_batch
from broker.errors import SubmitRefused
from broker.interface import Broker
from broker.local.node import LocalNode
from broker.partition import Partition
from broker.rabbitmq.node import open_rabbitmq
from broker.rabbitmq.settings import RabbitSettings
from broker.rabbitmq.topology import TopologyLimits, apply_topology
from services.settings import ChannelOptions, Config, LaneConfig
from services.worker import sequels
from services.worker.counting import WorkerCounters
from services.worker.deciding import Deciding
from services.worker.handling.interface import Handled, Kind, Side, SideKind, Verdict
from services.worker.partition import PREFETCH_WITH_HANDLERS, PartitionWorker
from tests.contract.nodes import wait_connected
from tests.unit.worker.scripted import ScriptedHandling

MAIN = Partition("main", 0)
CONFIG = Config(lanes={"main": LaneConfig(partitions=1)}, without_namespace=ChannelOptions())
POOL_BYTES = 2 * 1024 * 1024
ENTRY = Entry(EntryKind.PUBLISH, "a", Raw(b'{"user":"42","client":"c1"}'), b'"%s"' % (b"x" * 1_000))
BESIDES = Side(SideKind.PUBLISH, "b", b'"%s"' % (b"y" * 500))


async def test_a_full_pool_is_drained_whatever_follows_from_what_is_in_it(
    rabbit_node: LocalNode, rabbit_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As much smaller as the pool is.
    share = TopologyLimits().inbound_max_bytes // POOL_BYTES
    monkeypatch.setattr(sequels, "WAITING_BYTES_AT_MOST", sequels.WAITING_BYTES_AT_MOST // share)
    url = rabbit_node.amqp_url
    limits = TopologyLimits(inbound_max_bytes=POOL_BYTES)
    await apply_topology([url], prefix=rabbit_prefix, lanes={"main": 1}, limits=limits)
    settings = RabbitSettings(urls=(url,), prefix=rabbit_prefix)
    async with open_rabbitmq(settings) as front, open_rabbitmq(settings) as worker:
        await wait_connected(front)
        await wait_connected(worker)
        # Who has published is told that the pool is full; a stranger's first would still get in.
        await worker.inbound(MAIN).submit(encode_batch("w", 1, []), entries=0, message_id="w/1")
        filled = await _fill(front)
        assert filled > 2 * PREFETCH_WITH_HANDLERS
        await _drain(worker, 2 * filled)


async def _fill(front: Broker) -> int:
    for number in range(1, POOL_BYTES // 1_000):
        body = encode_batch("p", number, [ENTRY])
        try:
            await front.inbound(MAIN).submit(body, entries=1, message_id=f"p/{number}")
        except SubmitRefused:
            return number - 1
    raise AssertionError("nothing was refused")


async def _drain(broker: Broker, entries: int) -> None:
    """Work until so many entries are settled."""
    handling = ScriptedHandling({Kind.PUBLISH: lambda _: Handled(Verdict.PASSED, sides=[BESIDES])})
    counters = WorkerCounters()
    deciding = Deciding(CONFIG, handling)
    worker = PartitionWorker(broker, MAIN, CONFIG, deciding, counters, handling=handling)
    working = asyncio.ensure_future(worker.run())
    try:
        async with asyncio.timeout(15):
            while counters.entries.value < entries:
                handling.answer()
                await asyncio.sleep(0.001)
    finally:
        worker.leave()
        await asyncio.wait([working])
    await working
