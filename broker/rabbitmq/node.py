"""One process's access to RabbitMQ: two connections, and everything that is done over them.

Rules: publishing and consuming never share a connection. An alarm blocks connections that
publish by no longer reading from them, and acks and heartbeats must go on.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker.interface import Publishing
from broker.partition import Partition
from broker.rabbitmq.bus import RabbitBus
from broker.rabbitmq.connection import Link
from broker.rabbitmq.dead import RabbitDeadLetters
from broker.rabbitmq.inbound import RabbitInbound
from broker.rabbitmq.names import Names
from broker.rabbitmq.publisher import Publisher
from broker.rabbitmq.pulse import Pulse
from broker.rabbitmq.settings import RabbitSettings
from broker.rabbitmq.stream import RabbitStream


class RabbitBroker:
    """See `broker.interface.Broker`."""

    def __init__(
        self, settings: RabbitSettings, node_id: str, publishing: Link, consuming: Link
    ) -> None:
        self._node_id = node_id
        self._names = Names(settings.prefix)
        self._process_name = settings.connection_name
        self._publishing = publishing
        self._consuming = consuming
        # A channel of its own each: a missing exchange costs one its channel, not the others.
        self._submitting = Publisher(publishing)
        self._appending = Publisher(publishing)
        self._setting_aside = Publisher(publishing)
        # The bus promises at most once, so it waits for no confirm.
        self._bus = RabbitBus(
            node_id, self._names, Publisher(publishing, with_confirms=False), consuming
        )
        self._beating = Publisher(publishing)
        self.pulse = Pulse(self._beat)
        """To be run for as long as the connection is kept up."""

    @property
    def node_id(self) -> str:
        """See `Broker.node_id`."""
        return self._node_id

    @property
    def is_connected(self) -> bool:
        """See `Broker.is_connected`."""
        return self._publishing.is_connected

    @property
    def publishing(self) -> Publishing:
        """See `Broker.publishing`."""
        if not self._publishing.is_connected:
            return Publishing.AWAY
        if self._publishing.is_blocked or self.pulse.is_late:
            return Publishing.BLOCKED
        return Publishing.OPEN

    async def _beat(self) -> None:
        # An exchange that front and worker may both write to, and an address that nobody has.
        await self._beating.publish(
            b"", exchange=self._names.exchange("node"), routing_key="", message_type="pulse"
        )

    def inbound(self, partition: Partition) -> RabbitInbound:
        """See `Broker.inbound`."""
        return RabbitInbound(
            partition, self._names, self._submitting, self._consuming, self._process_name
        )

    def log(self, partition: Partition) -> RabbitStream:
        """See `Broker.log`."""
        return self._stream("log", self._names.log(partition), partition)

    def tops(self, partition: Partition) -> RabbitStream:
        """See `Broker.tops`."""
        return self._stream("tops", self._names.tops(partition), partition)

    def _stream(self, role: str, name: str, partition: Partition) -> RabbitStream:
        exchange = self._names.exchange(role)
        return RabbitStream(name, partition, exchange, self._appending, self._consuming)

    @property
    def dead(self) -> RabbitDeadLetters:
        """See `Broker.dead`."""
        return RabbitDeadLetters(self._names, self._setting_aside, self._consuming)

    @property
    def bus(self) -> RabbitBus:
        """See `Broker.bus`."""
        return self._bus


@asynccontextmanager
async def open_rabbitmq(
    settings: RabbitSettings, node_id: str | None = None
) -> AsyncIterator[RabbitBroker]:
    """Keep connections to RabbitMQ up for as long as the context lasts.

    Does not wait for them: a process starts with the broker away, and says so.

    Raises:
        TopologyProblem: in an exception group: a URL is none, or the broker is too old.
    """
    publishing, consuming = Link(settings, "publishing"), Link(settings, "consuming")
    async with asyncio.TaskGroup() as tasks:
        broker = RabbitBroker(settings, node_id or secrets.token_hex(8), publishing, consuming)
        runs = [publishing.run(), consuming.run()]
        if settings.is_pulsed:
            runs.append(broker.pulse.run())
        running = [tasks.create_task(run) for run in runs]
        try:
            yield broker
        finally:
            for task in running:
                task.cancel()
