"""The two raw broker hops, idle: publish to delivery through a quorum queue, then a stream.

One probe at a time with aio-pika, each on its own after a pause, 200 bytes. Their sum is what any
design that goes through both costs at least, and what Forebay's idle latency is compared with.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from pamqp.common import FieldTable

BODY = b"x" * 200
ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Hops:
    """Milliseconds from publish to delivery, a probe each."""

    queue_ms: list[float]
    stream_ms: list[float]

    @property
    def sum_ms(self) -> float:
        """The median of both hops together."""
        return median(self.queue_ms) + median(self.stream_ms)


async def measure_hops(url: str, probes: int, pause_seconds: float) -> Hops:
    """Probe both hops, alternating."""
    async with await aio_pika.connect(url) as publishing, await aio_pika.connect(url) as consuming:
        publish_channel, consume_channel = await publishing.channel(), await consuming.channel()
        await consume_channel.set_qos(prefetch_count=10)
        async with (
            _probed(publish_channel, consume_channel, "quorum", {}) as queue,
            _probed(
                publish_channel, consume_channel, "stream", {"x-stream-offset": "next"}
            ) as stream,
        ):
            hops = Hops([], [])
            for _ in range(probes):
                hops.queue_ms.append(await queue.probe())
                await asyncio.sleep(pause_seconds)
                hops.stream_ms.append(await stream.probe())
                await asyncio.sleep(pause_seconds)
            return hops


class _Hop:
    """One queue with ourselves at both ends."""

    def __init__(self, publish_channel: AbstractChannel, name: str) -> None:
        self._channel, self._name = publish_channel, name
        self._arrived: asyncio.Future[float] | None = None

    async def probe(self) -> float:
        """Publish once; answer the milliseconds until it was delivered."""
        arrived: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._arrived = arrived
        message = aio_pika.Message(BODY, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        started_at = time.perf_counter()
        await self._channel.default_exchange.publish(message, self._name)
        async with asyncio.timeout(ANSWER_SECONDS):
            return (await arrived - started_at) * 1e3

    async def take(self, message: AbstractIncomingMessage) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(time.perf_counter())
        await message.ack()


@asynccontextmanager
async def _probed(
    publish_channel: AbstractChannel,
    consume_channel: AbstractChannel,
    kind: str,
    consume_arguments: FieldTable,
) -> AsyncIterator[_Hop]:
    name = f"bench.hop.{kind}"
    await publish_channel.queue_delete(name)
    declared = await publish_channel.declare_queue(
        name, durable=True, arguments={"x-queue-type": kind}
    )
    hop = _Hop(publish_channel, name)
    queue = await consume_channel.get_queue(name, ensure=False)
    tag = await queue.consume(hop.take, arguments=consume_arguments)
    try:
        yield hop
    finally:
        await queue.cancel(tag)
        await declared.delete(if_unused=False, if_empty=False)
