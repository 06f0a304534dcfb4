"""What could not be handled, kept in a queue that the management UI can open.

Reading holds every letter until the end, so that what is left goes back as a whole. Quorum queues
put back what an AMQP channel held in the order in which it was delivered, whether the channel is
closed or its process dies; measured on 3.10 and 4.0 with 20,000 messages.

Rules
- One AMQP channel a read: those of several go back in the order in which these happen to end.
- Never basic.nack: what is put back so comes back in no order at all (measured, 3.10).
- Each read counts as a delivery of what it leaves, and the queue's delivery limit is a million.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker.errors import BrokerUnavailable, DeadLettersInUse
from broker.interface import DeadLetter, DeadReason, HeldLetter
from broker.rabbitmq.connection import Link, close_channel
from broker.rabbitmq.consumer import Arrived, Consumer
from broker.rabbitmq.names import Names
from broker.rabbitmq.publisher import Publisher

# Headers travel in one AMQP frame, and are for people: what is done again is in the body.
_EXPLANATION_CHARACTERS_AT_MOST = 2_000
_CHANNEL_CHARACTERS_AT_MOST = 500

# A reader holds all that it was given, and a consumer may hold 65,535 messages at most; so there is
# another consumer whenever one holds this many. With more than 32 of them on a channel, a killed
# reader's letters go back in chunks out of order (measured, 3.10 and 4.0): beyond 262,144 letters.
# No more a consumer, since as many bodies may wait here for whoever reads.
_HELD_A_CONSUMER = 8_192

# What was counted comes at once; only a queue that somebody purged meanwhile is silent.
_SILENCE_SECONDS = 5.0

# So long a reader that was killed may take to be noticed, and its letters to be put back.
_IN_USE_SECONDS = 3.0
_IN_USE_PAUSE_SECONDS = 0.1


class RabbitLetters:
    """See `broker.interface.LetterReader`."""

    def __init__(self, consumer: Consumer, queue: str, count: int) -> None:
        self._consumer = consumer
        self._queue = queue
        self._left_to_give = count
        self._room = 0
        self._consumers = 0
        self._arrived: deque[Arrived] = deque()

    def __aiter__(self) -> AsyncIterator[HeldLetter]:
        return self

    async def __anext__(self) -> HeldLetter:
        """Give the next letter.

        Raises:
            BrokerUnavailable: the read is closed, or the queue does not give what it has.

        Cancelling: nothing is lost.
        """
        if not self._left_to_give:
            raise StopAsyncIteration
        if not self._arrived and not await self._take():
            self._left_to_give = 0
            raise StopAsyncIteration
        self._left_to_give -= 1
        return _read_letter(self._arrived.popleft())

    async def _take(self) -> bool:
        """Wait for what arrives; False if the queue has no more."""
        if not self._room:
            await self.begin()
        try:
            async with asyncio.timeout(_SILENCE_SECONDS):
                arrived = await self._consumer.take()
        except TimeoutError:
            ready, _ = await self._consumer.look_at(self._queue)
            if ready:
                raise BrokerUnavailable("the queue of dead letters gives nothing") from None
            return False
        self._room -= len(arrived)
        self._arrived.extend(arrived)
        return True

    async def begin(self) -> None:
        """Let as many arrive as one more consumer may hold."""
        tag = f"forebay.dead.{self._consumers:06}"  # in this order they give back what they hold
        await self._consumer.consume(self._queue, prefetch=_HELD_A_CONSUMER, tag=tag)
        self._consumers += 1
        self._room += _HELD_A_CONSUMER

    async def drop(self, held: HeldLetter) -> None:
        """See `LetterReader.drop`."""
        await self._consumer.ack(held.tag)


class RabbitDeadLetters:
    """See `broker.interface.DeadLetters`."""

    def __init__(self, names: Names, publisher: Publisher, consuming: Link) -> None:
        self._exchange = names.exchange("dead")
        self._queue = names.dead
        self._publisher = publisher
        self._consuming = consuming

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

    @asynccontextmanager
    async def read(self) -> AsyncIterator[RabbitLetters]:
        """See `DeadLetters.read`."""
        channel = await self._consuming.open_channel(with_confirms=False)
        try:
            consumer = Consumer(channel)
            letters = RabbitLetters(consumer, self._queue, await self._count(consumer))
            await letters.begin()
            _, readers = await consumer.look_at(self._queue)
            if readers > 1:
                # Began in the same moment. Neither has looked at anything yet.
                raise DeadLettersInUse
            yield letters
            # Answered after all that was dropped was.
            await consumer.look_at(self._queue)
        finally:
            await close_channel(channel)

    async def _count(self, consumer: Consumer) -> int:
        """Count what is there once nobody else holds any of it."""
        patience = time.monotonic() + _IN_USE_SECONDS
        while True:
            count, readers = await consumer.look_at(self._queue)
            if not readers:
                return count
            if time.monotonic() > patience:
                raise DeadLettersInUse
            await asyncio.sleep(_IN_USE_PAUSE_SECONDS)


def _read_letter(message: Arrived) -> HeldLetter:
    properties = message.properties
    headers = properties.headers or {}
    attempts = headers.get("attempts")
    said, explanation = _text(headers.get("reason")), _text(headers.get("explanation"))
    try:
        reason = DeadReason(said)
    except ValueError:
        # Of another version, or put there by somebody else: shown, and never done again.
        reason, explanation = DeadReason.UNDECODABLE, f"reason {said!r}: {explanation}"
    letter = DeadLetter(
        message.body,
        reason,
        explanation,
        channel=_text(headers.get("channel")),
        attempts=attempts if isinstance(attempts, int) else 0,
        message_id=properties.message_id or "",
        set_aside_seconds=int(properties.timestamp.timestamp()) if properties.timestamp else 0,
    )
    return HeldLetter(message.tag, letter)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
