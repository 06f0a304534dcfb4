"""Writes a long log as workers would have, quickly: for starts.py.

Each partition's records are folded by the real view while they are made, and its snapshots are
taken of that; so they are what a worker would have written.

Rules: the streams are new and nobody else appends to them.

Not here: what is measured.
"""

import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import Raw

from broker.batch import FORMAT_VERSION
from broker.follow import follow, record_digest
from broker.interface import Broker, StoredRecord, Stream
from broker.partition import Partition, partition_number
from broker.record import Fence, Outcomes, Published, decode_record, encode_fence, encode_settled
from services.view.ledger import Judgement
from services.view.partition import PartitionView
from services.view.settled import SettledNumbers
from services.view.snapshot import Snapshot, encode_snapshot
from services.worker.snapshots import EVERY_RECORDS

LANE = "main"
SENDER = Raw(b'{"user":"4711","client":"5b1f9a52-8c1b-4d0e-9a55-0d3a7e0f2c11"}')
PAYLOAD_BYTES = (100, 200)
BATCHES_A_RECORD = 4
PRODUCERS = 8
REMEMBER_SECONDS = 3600
RECORDS_A_FENCE = 499
APPENDS_AT_ONCE = 500
TOPS_BYTES = 64 * 1024 * 1024
"""What a `tops` stream holds when it has been in use for a while."""

Bodies = list[bytes]


@dataclass(frozen=True)
class LongLog:
    """How much is written."""

    publications: int
    records: int
    channels: int
    partitions: int
    is_in_one: bool
    """Whether all of it is in one of the partitions."""
    channel: str = "room{}general"
    """A channel's name, with room for a number."""
    snapshot_every_records: int = EVERY_RECORDS

    def channel_names(self) -> list[list[str]]:
        """Give the channels of each partition."""
        names: list[list[str]] = [[] for _ in range(self.partitions)]
        wanted = names[:1] if self.is_in_one else names
        number = 0
        while sum(map(len, wanted)) < self.channels:
            name = self.channel.format(number)
            names[partition_number(name, self.partitions)].append(name)
            number += 1
        return [group if group in wanted else [] for group in names]


@dataclass
class Written:
    """What was written into one partition, and the snapshots that a worker would have taken."""

    partition: Partition
    records: int = 0
    snapshots: list[Bodies] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)
    """Where each channel is in the end."""


async def write_log(broker: Broker, long_log: LongLog) -> list[Written]:
    """Write all partitions."""
    written = []
    for number, channels in enumerate(long_log.channel_names()):
        making = _Making(Partition(LANE, number), channels, long_log)
        if channels:
            count = round(long_log.records * len(channels) / long_log.channels)
            each = round(long_log.publications / long_log.records)
            await making.write(broker.log(making.written.partition), count, each)
        written.append(making.written)
    return written


async def fill_tops(tops: Stream, snapshots: list[Bodies]) -> None:
    """Write snapshots as often as it takes to fill a `tops` stream, the last one last."""
    size = sum(len(body) for bodies in snapshots for body in bodies)
    times = max(1, TOPS_BYTES // size) if size else 0
    await append_all(tops, (body for _ in range(times) for bodies in snapshots for body in bodies))


async def append_all(stream: Stream, bodies: Iterable[bytes]) -> None:
    """Append in order, many under way: the broker keeps the order of one AMQP channel."""
    window: list[Awaitable[None]] = []
    for body in bodies:
        window.append(stream.append(body, entries=1))
        if len(window) == APPENDS_AT_ONCE:
            await asyncio.gather(*window)
            window.clear()
    await asyncio.gather(*window)


class _Content(NamedTuple):
    """What a record settles, wherever it will be in the log."""

    batches: list[Outcomes]
    payloads: list[bytes]


class _Making:
    """One partition's records, and what they add up to."""

    def __init__(self, partition: Partition, channels: list[str], long_log: LongLog) -> None:
        self.written = Written(partition)
        self._view = PartitionView(REMEMBER_SECONDS)
        self._settled = SettledNumbers()
        self._channels = channels
        self._partitions = long_log.partitions
        self._snapshot_every_records = long_log.snapshot_every_records
        self._epoch = secrets.token_hex(4)
        self._random = random.Random(partition.number)
        self._random.shuffle(channels)
        self._numbers = [0] * PRODUCERS
        self._made = 0
        self._period = 0

    async def write(self, log: Stream, count: int, publications: int) -> None:
        """Write this many records that count, of so many publications each."""
        waiting: deque[_Content] = deque()
        together = min(RECORDS_A_FENCE, len(self._channels) // publications)
        self._period = self._view.tops.current_period(int(time.time()))
        async with aclosing(follow(log, 0)) as batches:
            while self.written.records < count:
                wanted = min(together, count - self.written.records)
                while len(waiting) < wanted:
                    waiting.append(self._make(publications))
                contents = [waiting.popleft() for _ in range(wanted)]
                bodies = self._encode(contents)
                await append_all(log, bodies)
                counted = await self._read_back(batches, bodies[-1])
                # Bodies begin with a Fence, which has no content.
                again = [
                    c for c, body in zip(contents, bodies[1:], strict=True) if body not in counted
                ]
                waiting.extendleft(reversed(again))

    def _encode(self, contents: list[_Content]) -> list[bytes]:
        """Encode a Fence and records, each after the one before it, where that will be.

        Positions have holes, a few in a long log. Some of what comes after one does not count, and
        is written again; no channel is twice in so few records, so their order does not matter.
        """
        head = self._view.position + 1
        bodies = [self._fence()]
        for batches, payloads in contents:
            now_ms = time.time_ns() // 1_000_000
            bodies.append(encode_settled(head, now_ms, batches, payloads))
            head += 1
        return bodies

    def _fence(self) -> bytes:
        is_first = self._view.ledger.epoch != self._epoch
        return encode_fence(
            Fence(
                FORMAT_VERSION,
                "bench",
                secrets.token_hex(8),
                self._epoch,
                self._partitions,
                int(time.time()),
                is_first,
                self._view.ledger.head,
            )
        )

    def _make(self, publications: int) -> _Content:
        content = _Content([], [])
        for index in range(BATCHES_A_RECORD):
            size = publications // BATCHES_A_RECORD + (index < publications % BATCHES_A_RECORD)
            producer = (self._made + index) % PRODUCERS
            self._numbers[producer] += 1
            made = [self._publish(content.payloads) for _ in range(size)]
            content.batches.append(
                Outcomes(f"producer{producer}", self._numbers[producer], size, 0, [*made])
            )
        return content

    def _publish(self, payloads: list[bytes]) -> Published:
        channel = self._channels[self._made % len(self._channels)]
        self._made += 1
        offsets = self.written.offsets
        offset = offsets[channel] = offsets.get(channel, 0) + 1
        payload = b'{"text":"%s"}' % (b"x" * (self._random.randint(*PAYLOAD_BYTES) - 11))
        payloads.append(payload)
        return Published(channel, self._period, offset, len(payload), SENDER)

    async def _read_back(
        self, batches: AsyncIterator[Sequence[StoredRecord]], last: bytes
    ) -> set[bytes]:
        """Fold what was appended, up to the last of it; give the records that counted."""
        counted = set()
        async for records in batches:
            counted |= {stored.body for stored in records if self._fold(stored)}
            if records[-1].body == last:
                break
        return counted

    def _fold(self, stored: StoredRecord) -> bool:
        change = self._view.fold(stored.position, decode_record(stored.body))
        if change.judgement is Judgement.MISSED:
            raise AssertionError(f"the log that was written is wrong at {stored.position}")
        if change.settled is None:
            return False
        for outcomes in change.settled.batches:
            self._settled.mark(outcomes)
        self.written.records += 1
        # The last one is half as old as a worker lets it become, as it is on average.
        every = self._snapshot_every_records
        if self.written.records % every == every // 2:
            self._take_snapshot(stored)
        return True

    def _take_snapshot(self, last: StoredRecord) -> None:
        snapshot = Snapshot(
            last.position,
            record_digest(last.body),
            self._view.ledger.state(),
            self._view.tops.rows(),
            self._settled.states(),
        )
        self.written.snapshots.append(list(encode_snapshot(secrets.token_hex(8), snapshot)))
