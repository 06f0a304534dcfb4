"""The nodes under test, embedded and RabbitMQ, as the contract suite drives them.

Rules: a claim is tested through the `Broker`s; what is here only makes things happen that a
process cannot do, and looks at what a process cannot see.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from broker.embedded import EmbeddedBroker, EmbeddedLimits
from broker.interface import Broker, DeadLetter, DeadReason
from broker.partition import Partition
from broker.rabbitmq import RabbitSettings, TopologyLimits, apply_topology, open_rabbitmq
from tests.contract.proxy import Proxy, open_proxy

LANES: Mapping[str, int] = {"main": 2}
FIRST = Partition("main", 0)
SECOND = Partition("main", 1)
MISSING = Partition("main", 7)

POOL_BYTES = 64 * 1024
DEAD_BYTES = 512 * 1024
WAIT_SECONDS = 10.0
SILENT_SECONDS = 0.3
"""So long nothing may come, where nothing is to come."""

_POLL_SECONDS = 0.01


class BrokerNode(Protocol):
    """A broker node with `LANES`, whose pools hold `POOL_BYTES`, and dead letters `DEAD_BYTES`."""

    def open(self, node_id: str | None = None) -> AbstractAsyncContextManager[Broker]:
        """Connect a process, and wait until it is."""

    async def disconnect(self, broker: Broker) -> None:
        """Take a process's connection away."""

    async def reconnect(self, broker: Broker) -> None:
        """Give it back, and wait until it is there."""

    async def dead_letters(self, count: int) -> list[DeadLetter]:
        """Wait for so many dead letters."""

    async def pool_entries(self, partition: Partition, count: int) -> list[int]:
        """Wait for so many waiting batches, and give their `entries`."""

    async def log_entries(self, partition: Partition, count: int) -> list[int]:
        """Wait for so many records, and give their `entries`."""


class EmbeddedNode:
    def __init__(self) -> None:
        self._node = EmbeddedBroker(
            LANES, limits=EmbeddedLimits(inbound_max_bytes=POOL_BYTES, dead_max_bytes=DEAD_BYTES)
        )

    def open(self, node_id: str | None = None) -> AbstractAsyncContextManager[Broker]:
        return self._node.open(node_id)

    async def disconnect(self, broker: Broker) -> None:
        self._node.disconnect(broker.node_id)

    async def reconnect(self, broker: Broker) -> None:
        self._node.reconnect(broker.node_id)

    async def dead_letters(self, count: int) -> list[DeadLetter]:
        return list(self._node.dead_letters()[:count])

    async def pool_entries(self, partition: Partition, count: int) -> list[int]:
        return [batch.entries for batch in self._node.waiting(partition)[:count]]

    async def log_entries(self, partition: Partition, count: int) -> list[int]:
        return [record.entries for record in self._node.kept(partition)[:count]]


class RabbitNode:
    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix
        self._proxies: dict[str, Proxy] = {}

    @asynccontextmanager
    async def open(self, node_id: str | None = None) -> AsyncIterator[Broker]:
        parts = urlsplit(self._url)
        assert parts.hostname
        assert parts.port
        async with AsyncExitStack() as stack:
            proxy, port = await stack.enter_async_context(open_proxy(parts.hostname, parts.port))
            url = self._url.replace(f":{parts.port}", f":{port}")
            settings = RabbitSettings(urls=(url,), prefix=self._prefix, heartbeat_seconds=10)
            broker = await stack.enter_async_context(open_rabbitmq(settings, node_id))
            self._proxies[broker.node_id] = proxy
            await wait_connected(broker)
            yield broker

    async def disconnect(self, broker: Broker) -> None:
        self._proxies[broker.node_id].cut()

    async def reconnect(self, broker: Broker) -> None:
        self._proxies[broker.node_id].mend()
        await wait_connected(broker)

    async def dead_letters(self, count: int) -> list[DeadLetter]:
        return [
            DeadLetter(
                message.body,
                DeadReason(message.headers["reason"]),
                str(message.headers["explanation"]),
                str(message.headers["channel"]),
                int(str(message.headers["attempts"])),
                message.message_id or "",
                int(message.timestamp.timestamp()) if message.timestamp else 0,
            )
            for message in await self._messages("dead", count)
        ]

    async def pool_entries(self, partition: Partition, count: int) -> list[int]:
        return _entries(await self._messages(f"inbound.{partition.name}", count))

    async def log_entries(self, partition: Partition, count: int) -> list[int]:
        first = {"x-stream-offset": "first"}
        return _entries(await self._messages(f"log.{partition.name}", count, first))

    async def _messages(
        self, queue_name: str, count: int, arguments: dict[str, str] | None = None
    ) -> list[AbstractIncomingMessage]:
        """Look at a queue's first messages as any AMQP client can."""
        messages: list[AbstractIncomingMessage] = []
        async with (
            asyncio.timeout(WAIT_SECONDS),
            await aio_pika.connect(self._url) as connection,
            connection.channel() as channel,
        ):
            await channel.set_qos(prefetch_count=count)
            queue = await channel.get_queue(f"{self._prefix}{queue_name}", ensure=False)
            async with queue.iterator(arguments=arguments) as arriving:
                while len(messages) < count:
                    messages.append(await anext(arriving))
        return messages


def _entries(messages: list[AbstractIncomingMessage]) -> list[int]:
    entries = [message.headers["entries"] for message in messages]
    return [each for each in entries if isinstance(each, int)]


async def wait_until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that a broker does not announce."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not await holds():  # noqa: ASYNC110  (there is no event for it)
            await asyncio.sleep(_POLL_SECONDS)


async def wait_connected(broker: Broker, *, expected: bool = True) -> None:
    """Wait until a process knows that it is connected, or that it is not."""

    async def holds() -> bool:
        return broker.is_connected is expected

    await wait_until(holds)


async def prepare_rabbit(url: str, prefix: str) -> RabbitNode:
    """Declare everything under a prefix on a running node."""
    limits = TopologyLimits(inbound_max_bytes=POOL_BYTES, dead_max_bytes=DEAD_BYTES)
    await apply_topology((url,), prefix=prefix, lanes=LANES, limits=limits)
    return RabbitNode(url, prefix)
