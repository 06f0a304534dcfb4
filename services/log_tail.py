"""Reads one partition's log for a person to look at.

Rules: it only reads, and shows what does not count too, as what it is.

Not here: how a record looks (`log_lines`), reading a log to live by it (`log_reader`).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from broker.errors import BrokerUnavailable, UndecodableBody
from broker.follow import follow
from broker.interface import Position, Since, StoredRecord, Stream
from broker.partition import Partition
from broker.record import decode_record
from services.log_lines import ReadRecord
from services.units import read_duration
from services.view.ledger import Ledger

# A record that ends the log may be in one chunk with some after it; they come right behind it.
_LINGER_SECONDS = 0.5
# How long records that are there may take to come. Shorter would take a slow broker for the end;
# longer only delays the answer that there is nothing as late as what was asked for.
_SILENCE_SECONDS = 5.0

LAST = "last"


def read_start(text: str, now_seconds: float) -> Position | Since | str:
    """Where to start: "first", "last", a position, or a duration before now such as "10m".

    Raises:
        ValueError: it is none of these.
    """
    if text == "first":
        return 0
    if text == LAST:
        return LAST
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return Since(now_seconds - float(str(read_duration(text))))
    except ValueError:
        raise ValueError(
            'write "first", "last", a position, or how far back: "10m", "1h30m"'
        ) from None


async def tail(
    log: Stream, partition: Partition, start: Position | Since | str, *, is_endless: bool
) -> AsyncGenerator[ReadRecord, None]:
    """Give the records from `start` on: those that are there, or, endless, also what is to come.

    Raises:
        BrokerUnavailable: there is no connection, or, not endless, it was lost half-way.
        ContinuityLost: endless: the log cannot be read on.
        TopologyProblem: there is no such log.
    """
    end = await log.end()
    first = end if isinstance(start, str) else start
    ledger = Ledger()
    batches = follow(log, first) if is_endless else _read_to_end(log, first, end)
    async with aclosing(batches) as records_of_batches:  # type: ignore[type-var]
        async for records in records_of_batches:
            for stored in records:
                yield _read(stored, partition, ledger)


def _read(stored: StoredRecord, partition: Partition, ledger: Ledger) -> ReadRecord:
    try:
        record = decode_record(stored.body)
    except UndecodableBody as error:
        return ReadRecord(partition, stored.position, error, None)
    judgement = ledger.judge(stored.position, record)
    is_known = ledger.fence is not None
    return ReadRecord(partition, stored.position, record, judgement if is_known else None)


async def _read_to_end(
    log: Stream, start: Position | Since, end: Position
) -> AsyncIterator[Sequence[StoredRecord]]:
    loop = asyncio.get_running_loop()
    position: Position = -1
    until: float | None = None
    async with log.read(start) as reader:
        batches = aiter(reader)
        while True:
            try:
                async with asyncio.timeout_at(until or loop.time() + _SILENCE_SECONDS):
                    records = await anext(batches)
            except TimeoutError:
                break
            yield records
            position = records[-1].position
            if position >= end and until is None:
                until = loop.time() + _LINGER_SECONDS
    # Silent from the start: there is nothing as late as what was asked for.
    if 0 <= position < end:
        raise BrokerUnavailable(f"the log's end, {end}, was not reached from {position} on")
