"""One AMQP channel with one consumer, and what has arrived on it.

Rules: the client library runs a callback a message, each in a task of its own. Ours only puts
the message down, so they stay in order; whoever takes them settles them, from one task.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from broker.errors import BrokerUnavailable
from broker.rabbitmq.connection import Link, close_channel, translating_amqp_errors

Arguments = dict[str, int | str | datetime]


class Arrived(NamedTuple):
    """A message as it came, AMQP 0-9-1 basic.deliver."""

    tag: int
    body: bytes
    is_redelivered: bool
    stream_offset: int
    """Where it is in its stream; -1 if it came from a queue."""
    properties: Basic.Properties


class Consumer:
    """What has arrived and was not taken yet, at most the prefetch."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self._arrived: list[Arrived] = []
        self._news = asyncio.Event()
        self._is_closed = False
        channel.closing.add_done_callback(self._close)
        channel.on_consumer_cancel_callbacks.add(self._cancelled)

    async def _arrive(self, message: DeliveredMessage) -> None:
        delivery = message.delivery
        if not isinstance(delivery, Basic.Deliver):
            raise TypeError("a consumer's callback only gets deliveries")
        properties = message.header.properties
        offset = (properties.headers or {}).get("x-stream-offset")
        self._arrived.append(
            Arrived(
                delivery.delivery_tag or 0,
                message.body,
                bool(delivery.redelivered),
                offset if isinstance(offset, int) else -1,
                properties,
            )
        )
        self._news.set()

    def _close(self, *_: object) -> None:
        self._is_closed = True
        self._news.set()

    async def take(self) -> list[Arrived]:
        """Wait for messages and give those that have arrived.

        Raises:
            BrokerUnavailable: the channel is closed, or the broker cancelled the consumer.

        Cancelling: nothing is lost.
        """
        await self._news.wait()
        # What arrived before the channel closed can no longer be settled and comes again.
        if self._is_closed:
            raise BrokerUnavailable("the AMQP channel of a consumer was closed")
        arrived, self._arrived = self._arrived, []
        self._news.clear()
        return arrived

    async def ack(self, tag: int, *, and_all_before: bool = False) -> None:
        """AMQP 0-9-1 basic.ack.

        Raises:
            BrokerUnavailable: the channel is closed.
        """
        with translating_amqp_errors():
            await self._channel.basic_ack(tag, multiple=and_all_before, wait=False)

    async def look_at(self, queue: str) -> tuple[int, int]:
        """Tell how many messages of a queue nobody holds, and how many consumers it has.

        Raises:
            BrokerUnavailable: the channel is closed.
            TopologyProblem: there is no such queue, which closes the channel.
        """
        with translating_amqp_errors():
            declared = await self._channel.queue_declare(queue, passive=True)
        return declared.message_count or 0, declared.consumer_count or 0

    async def consume(
        self,
        queue: str,
        *,
        prefetch: int,
        arguments: Arguments | None = None,
        is_exclusive: bool = False,
        tag: str | None = None,
    ) -> None:
        """Let messages arrive, up to `prefetch` beside those of consumers begun here before.

        Raises:
            BrokerUnavailable: the channel is closed.
            TopologyProblem: there is no such queue, or it is not for us.
        """
        with translating_amqp_errors():
            await self._channel.basic_qos(prefetch_count=prefetch)
            await self._channel.basic_consume(
                queue,
                self._arrive,
                arguments=dict(arguments or {}),
                exclusive=is_exclusive,
                consumer_tag=tag,
            )

    async def _cancelled(self, _: Basic.Cancel) -> None:
        self._close()


@asynccontextmanager
async def open_consumer(
    link: Link,
    queue: str,
    *,
    prefetch: int,
    arguments: Arguments | None = None,
    is_exclusive: bool = False,
    tag: str | None = None,
) -> AsyncIterator[Consumer]:
    """Consume a queue on an AMQP channel of its own; leaving closes the channel.

    Never a bare basic.cancel: closing is what puts everything unsettled back in its place. `tag` is
    what the consumer is called in the management UI.

    Raises:
        BrokerUnavailable: there is no connection.
        TopologyProblem: there is no such queue, or it is not for us.
    """
    channel = await link.open_channel(with_confirms=False)
    async with consuming(
        channel,
        queue,
        prefetch=prefetch,
        arguments=arguments,
        is_exclusive=is_exclusive,
        tag=tag,
    ) as consumer:
        yield consumer


@asynccontextmanager
async def consuming(
    channel: AbstractChannel,
    queue: str,
    *,
    prefetch: int,
    arguments: Arguments | None = None,
    is_exclusive: bool = False,
    tag: str | None = None,
) -> AsyncIterator[Consumer]:
    """Consume a queue on a channel that is open already; leaving closes it.

    Raises:
        BrokerUnavailable: the connection is lost.
        TopologyProblem: there is no such queue, or it is not for us.
    """
    try:
        consumer = Consumer(channel)
        await consumer.consume(
            queue, prefetch=prefetch, arguments=arguments, is_exclusive=is_exclusive, tag=tag
        )
        yield consumer
    finally:
        await close_channel(channel)
