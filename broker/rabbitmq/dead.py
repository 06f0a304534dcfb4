"""What could not be handled, kept in a queue that the management UI can open."""

import time

from broker.interface import DeadLetter
from broker.rabbitmq.names import Names
from broker.rabbitmq.publisher import Publisher

# Headers travel in one AMQP frame, and are for people: what is done again is in the body.
_EXPLANATION_CHARACTERS_AT_MOST = 2_000
_CHANNEL_CHARACTERS_AT_MOST = 500


class RabbitDeadLetters:
    """See `broker.interface.DeadLetters`."""

    def __init__(self, names: Names, publisher: Publisher) -> None:
        self._exchange = names.exchange("dead")
        self._publisher = publisher

    async def set_aside(self, letter: DeadLetter) -> None:
        """See `DeadLetters.set_aside`."""
        await self._publisher.publish(
            letter.body,
            exchange=self._exchange,
            routing_key="dead",
            message_type="dead",
            message_id=letter.message_id or None,
            unix_seconds=letter.set_aside_seconds or int(time.time()),
            headers={
                "reason": letter.reason.value,
                "explanation": letter.explanation[:_EXPLANATION_CHARACTERS_AT_MOST],
                "channel": letter.channel[:_CHANNEL_CHARACTERS_AT_MOST],
                "attempts": letter.attempts,
            },
        )
