"""The pool: quorum queues with single active consumer, and a direct exchange in front of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from broker.interface import Delivery, Intake
from broker.partition import Partition
from broker.rabbitmq.connection import Link
from broker.rabbitmq.consumer import Consumer, open_consumer
from broker.rabbitmq.names import Names
from broker.rabbitmq.publisher import Publisher


class RabbitIntake:
    """See `broker.interface.Intake`."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def take(self) -> Sequence[Delivery]:
        """See `Intake.take`."""
        return [
            Delivery(message.tag, message.body, message.is_redelivered)
            for message in await self._consumer.take()
        ]

    async def settle(self, delivery: Delivery) -> None:
        """See `Intake.settle`."""
        await self._consumer.ack(delivery.tag)


class RabbitInbound:
    """See `broker.interface.Inbound`."""

    def __init__(
        self,
        partition: Partition,
        names: Names,
        publisher: Publisher,
        consuming: Link,
        process_name: str,
    ) -> None:
        self._partition = partition
        self._exchange = names.exchange("inbound")
        self._queue = names.inbound(partition)
        self._publisher = publisher
        self._consuming = consuming
        self._process_name = process_name

    async def submit(self, body: bytes, *, entries: int, message_id: str) -> None:
        """See `Inbound.submit`."""
        await self._publisher.publish(
            body,
            exchange=self._exchange,
            routing_key=self._partition.name,
            message_type="batch",
            message_id=message_id,
            headers={"entries": entries},
        )

    @asynccontextmanager
    async def intake(self, at_most: int) -> AsyncIterator[Intake]:
        """See `Inbound.intake`."""
        # A queue's page in the management UI then shows which process is the active one.
        async with open_consumer(
            self._consuming, self._queue, prefetch=at_most, tag=self._process_name
        ) as consumer:
            yield RabbitIntake(consumer)
