"""Messages between processes: a fanout and a direct exchange, an exclusive queue a process."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker.errors import SubmitRefused
from broker.rabbitmq.connection import Link, close_channel, translating_amqp_errors
from broker.rabbitmq.consumer import Consumer, consuming
from broker.rabbitmq.names import Names
from broker.rabbitmq.publisher import Publisher

# What a process that does not read gets lost beyond: the oldest first, nobody waits for it.
_QUEUE_MESSAGES_AT_MOST = 10_000
_QUEUE_BYTES_AT_MOST = 16 * 1024 * 1024
_PREFETCH = 200


class RabbitBus:
    """See `broker.interface.Bus`."""

    def __init__(self, node_id: str, names: Names, publisher: Publisher, consuming: Link) -> None:
        self._node_id = node_id
        self._names = names
        self._publisher = publisher
        self._consuming = consuming

    async def broadcast(self, body: bytes) -> None:
        """See `Bus.broadcast`."""
        await self._publish(body, "bus", "")

    async def send(self, node_id: str, body: bytes) -> None:
        """See `Bus.send`."""
        await self._publish(body, "node", node_id)

    async def _publish(self, body: bytes, role: str, routing_key: str) -> None:
        try:
            await self._publisher.publish(
                body,
                exchange=self._names.exchange(role),
                routing_key=routing_key,
                message_type=role,
            )
        except SubmitRefused:
            # Nobody listens there, or its queue is full: at most once is all a bus promises.
            return

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `Bus.listen`."""
        queue = self._names.own(self._node_id)
        # All on one channel: the queue is gone with its connection.
        channel = await self._consuming.open_channel(with_confirms=False)
        try:
            with translating_amqp_errors():
                await channel.queue_declare(
                    queue,
                    exclusive=True,
                    auto_delete=True,
                    arguments={
                        "x-max-length": _QUEUE_MESSAGES_AT_MOST,
                        "x-max-length-bytes": _QUEUE_BYTES_AT_MOST,
                    },
                )
                await channel.queue_bind(queue, self._names.exchange("bus"))
                await channel.queue_bind(
                    queue, self._names.exchange("node"), routing_key=self._node_id
                )
        except BaseException:
            await close_channel(channel)
            raise
        async with consuming(channel, queue, prefetch=_PREFETCH) as consumer:
            yield _Bodies(consumer)


class _Bodies:
    """What arrives, one after the other; a cancelled wait loses nothing."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._arrived: deque[bytes] = deque()

    def __aiter__(self) -> "_Bodies":
        return self

    async def __anext__(self) -> bytes:
        while not self._arrived:
            messages = await self._consumer.take()
            self._arrived.extend(message.body for message in messages)
            await self._consumer.ack(messages[-1].tag, and_all_before=True)
        return self._arrived.popleft()
