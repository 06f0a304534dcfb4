"""Puts publications into a log as a worker would, so that a front's fan-out is measured alone.

What a front fans out are the records of a log. Through the whole system each publication would also
pass a pool and a worker, which share this machine's cores with what is measured; that is what
throughput.py and latency.py are about.

Rules: it is the only writer of the log while open: its Fence comes first, each record names the one
before it, and none is appended before that one was read back.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

from bench.waiting import wait_until
from broker.batch import FORMAT_VERSION
from broker.follow import follow
from broker.interface import StoredRecord, Stream
from broker.partition import Partition, partition_number
from broker.rabbitmq import RabbitSettings, open_rabbitmq
from broker.record import Fence, Outcomes, Published, encode_fence, encode_settled

# Half of what readers allow between a Fence and what it vouches for.
FENCE_EVERY_RECORDS = 400
PERIOD = 0
CONNECT_SECONDS = 5.0


class Appender:
    """Appends records with publications of one channel."""

    def __init__(
        self,
        log: Stream,
        records: AsyncGenerator[Sequence[StoredRecord], None],
        channel: str,
        partitions: int,
    ) -> None:
        self._log = log
        self._records = records
        self._channel = channel
        self._partitions = partitions
        self._writer = secrets.token_hex(8)
        self._epoch = secrets.token_hex(4)
        self._head = self._number = self._offset = 0
        self._wanted: asyncio.Queue[bytes] = asyncio.Queue()

    def publish(self, payloads: bytes) -> None:
        """Append a record soon; `payloads` has one a line."""
        self._wanted.put_nowait(payloads)

    async def run(self) -> None:
        """Append what is wanted, one record at a time, until cancelled."""
        while True:
            payloads = (await self._wanted.get()).split(b"\n")
            if self._number % FENCE_EVERY_RECORDS == 0:
                await self.fence(is_cut=False)
            self._number += 1
            published = []
            for payload in payloads:
                self._offset += 1
                published.append(Published(self._channel, PERIOD, self._offset, len(payload)))
            outcomes = Outcomes(self._writer, self._number, len(payloads), 0, list(published))
            now_ms = time.time_ns() // 1_000_000
            await self._append(encode_settled(self._head, now_ms, [outcomes], payloads))

    async def fence(self, *, is_cut: bool) -> None:
        """Take the log over, or keep it."""
        nonce, now = secrets.token_hex(8), int(time.time())
        await self._append(
            encode_fence(
                Fence(
                    FORMAT_VERSION,
                    self._writer,
                    nonce,
                    self._epoch,
                    self._partitions,
                    now,
                    is_cut,
                )
            )
        )

    async def _append(self, body: bytes) -> None:
        await self._log.append(body, entries=1)
        while True:
            for record in await anext(self._records):
                if record.body == body:
                    self._head = record.position
                    return


@asynccontextmanager
async def open_appender(
    amqp_url: str, prefix: str, channel: str, partitions: int
) -> AsyncIterator[Appender]:
    """Take a channel's log over for as long as the context lasts.

    The channel begins a new epoch, so its subscribers come afterwards.
    """
    partition = Partition("main", partition_number(channel, partitions))
    async with open_rabbitmq(RabbitSettings((amqp_url,), prefix)) as broker:
        log = broker.log(partition)
        end = await log.end()
        await wait_until(lambda: broker.is_connected, CONNECT_SECONDS)
        async with aclosing(follow(log, end)) as records, asyncio.TaskGroup() as tasks:
            appender = Appender(log, records, channel, partitions)
            await appender.fence(is_cut=True)
            appending = tasks.create_task(appender.run())
            yield appender
            appending.cancel()
