"""One AMQP channel with confirms, opened when it is needed and again when it was lost."""

import asyncio
from datetime import UTC, datetime

from aiormq.abc import AbstractChannel
from pamqp.commands import Basic

from broker.errors import BrokerUnavailable, NeverSubmitted, TopologyProblem
from broker.rabbitmq.connection import Link, close_channel, translating_amqp_errors

_PERSISTENT = 2

# The connection is there already, so that this is one exchange of frames.
_OPEN_SECONDS = 3.0


class Publisher:
    """Publishes on one AMQP channel of a connection."""

    def __init__(self, link: Link, *, with_confirms: bool = True) -> None:
        self._link = link
        self._with_confirms = with_confirms
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()

    async def publish(
        self,
        body: bytes,
        *,
        exchange: str,
        routing_key: str,
        message_type: str,
        message_id: str | None = None,
        unix_seconds: int | None = None,
        headers: dict[str, int | str] | None = None,
    ) -> None:
        """Publish a persistent, mandatory message; wait for its confirm if the channel has them.

        AMQP 0-9-1 basic.publish; RabbitMQ's publisher confirms.

        Raises:
            SubmitRefused: basic.nack or basic.return: the message is certainly nowhere.
            NeverSubmitted: nor is it, for want of a connection.
            BrokerUnavailable: it may or may not be in the queue.

        Cancelling: it may or may not be in the queue.
        """
        if not self._link.is_connected:
            raise NeverSubmitted("the broker connection is away")
        properties = Basic.Properties(
            delivery_mode=_PERSISTENT,
            message_type=message_type,
            message_id=message_id,
            timestamp=None if unix_seconds is None else datetime.fromtimestamp(unix_seconds, UTC),
            headers=dict(headers) if headers else None,
        )
        channel = self._channel
        if channel is None or channel.is_closed:
            channel = await self._open()
        try:
            with translating_amqp_errors():
                await channel.basic_publish(
                    body,
                    exchange=exchange,
                    routing_key=routing_key,
                    properties=properties,
                    mandatory=self._with_confirms,
                )
        except TopologyProblem as error:
            # The exchange is missing: AMQP closes the channel for that, so what else was under
            # way on it is unknown.
            raise BrokerUnavailable(str(error)) from error

    async def _open(self) -> AbstractChannel:
        try:
            async with asyncio.timeout(_OPEN_SECONDS), self._opening:
                if self._channel is None or self._channel.is_closed:
                    self._channel = await self._link.open_channel(with_confirms=self._with_confirms)
                return self._channel
        except (BrokerUnavailable, TimeoutError) as error:
            raise NeverSubmitted(f"no AMQP channel to publish on: {error}") from error

    async def close(self) -> None:
        """Close the AMQP channel."""
        if self._channel is not None:
            await close_channel(self._channel)
