"""Appending to and following a stream over AMQP 0-9-1.

RabbitMQ gives a stream from the chunk that holds the asked offset, so earlier records may come
first and are passed over; asked for an offset that retention took, it starts at the first kept.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from broker.errors import StreamEmpty
from broker.interface import Position, Since, StoredRecord, StreamReader
from broker.partition import Partition
from broker.rabbitmq.connection import Link
from broker.rabbitmq.consumer import Consumer, open_consumer
from broker.rabbitmq.publisher import Publisher

# What has arrived and is not read yet is bounded by this alone: a broker counts records, not bytes.
# Twice as many as an ack stands for keep it busy; 200 made reading no faster, and 32 no slower.
PREFETCH = 64
# Reading a stream of small records takes 15,000 a second with an ack for every 50, 9,800 with one
# each.
_ACK_EVERY = 32

_SAME_CHUNK_SECONDS = 0.02
_LAST_CHUNK_RECORDS = 200
"""How many of the last chunk's are looked at; a log that grows all the time has no last one."""
_END_SECONDS = 3.0
"""How long the last chunk of a stream may take to arrive before the stream counts as empty."""


class RabbitStreamReader:
    """See `broker.interface.StreamReader`."""

    def __init__(self, consumer: Consumer, first: Position) -> None:
        self._consumer = consumer
        self._first = first
        self._unacked = 0
        self._last_tag = 0

    def __aiter__(self) -> "RabbitStreamReader":
        return self

    async def __anext__(self) -> Sequence[StoredRecord]:
        records: list[StoredRecord] = []
        while not records:
            # Not before more is asked for: what whoever reads is still at counts as unread too.
            if self._unacked >= _ACK_EVERY:
                self._unacked = 0
                await self._consumer.ack(self._last_tag, and_all_before=True)
            messages = await self._consumer.take()
            self._unacked += len(messages)
            self._last_tag = messages[-1].tag
            records = [
                StoredRecord(message.stream_offset, message.body)
                for message in messages
                if message.stream_offset >= self._first
            ]
        return records


class RabbitStream:
    """See `broker.interface.Stream`."""

    def __init__(
        self,
        name: str,
        partition: Partition,
        exchange: str,
        publisher: Publisher,
        consuming: Link,
    ) -> None:
        self.name = name
        self._partition = partition
        self._exchange = exchange
        self._publisher = publisher
        self._consuming = consuming

    async def append(self, body: bytes, *, entries: int) -> None:
        """See `Stream.append`."""
        await self._publisher.publish(
            body,
            exchange=self._exchange,
            routing_key=self._partition.name,
            message_type="record",
            headers={"entries": entries},
        )

    @asynccontextmanager
    async def read(self, start: Position | Since) -> AsyncIterator[StreamReader]:
        """See `Stream.read`."""
        offset: int | datetime
        if isinstance(start, Since):
            # AMQP 0-9-1 timestamps are whole seconds.
            offset, first = datetime.fromtimestamp(int(start.unix_seconds), UTC), 0
        else:
            offset = first = start
        async with open_consumer(
            self._consuming,
            self.name,
            prefetch=PREFETCH,
            arguments={"x-stream-offset": offset},
        ) as consumer:
            yield RabbitStreamReader(consumer, first)

    async def end(self, patience_seconds: float = _END_SECONDS) -> Position:
        """See `Stream.end`; it counts as empty after `patience_seconds`.

        A passive declare's message count lags behind and says nothing; the last chunk is what a
        consumer at `last` gets.
        """
        async with open_consumer(
            self._consuming,
            self.name,
            prefetch=_LAST_CHUNK_RECORDS,
            arguments={"x-stream-offset": "last"},
        ) as consumer:
            try:
                async with asyncio.timeout(patience_seconds):
                    messages = await consumer.take()
                # The rest of the chunk comes at once, if not with the first of it.
                with suppress(TimeoutError):
                    while True:
                        async with asyncio.timeout(_SAME_CHUNK_SECONDS):
                            messages = await consumer.take()
            except TimeoutError as error:
                raise StreamEmpty(f"stream {self.name} gives no record") from error
            return messages[-1].stream_offset
