"""What could not be handled, kept in a queue that the management UI can open."""

from broker.interface import DeadReason
from broker.rabbitmq.names import Names
from broker.rabbitmq.publisher import Publisher

# Headers travel in one AMQP frame; an explanation is for people.
_EXPLANATION_CHARACTERS_AT_MOST = 2_000


class RabbitDeadLetters:
    """See `broker.interface.DeadLetters`."""

    def __init__(self, names: Names, publisher: Publisher) -> None:
        self._exchange = names.exchange("dead")
        self._publisher = publisher

    async def set_aside(self, body: bytes, reason: DeadReason, explanation: str) -> None:
        """See `DeadLetters.set_aside`."""
        await self._publisher.publish(
            body,
            exchange=self._exchange,
            routing_key="dead",
            message_type="dead",
            headers={
                "reason": reason.value,
                "explanation": explanation[:_EXPLANATION_CHARACTERS_AT_MOST],
            },
        )
