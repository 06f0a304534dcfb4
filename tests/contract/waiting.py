"""Waiting for what a broker gives, never for ever."""

import asyncio
from collections.abc import AsyncIterator, Awaitable

import pytest

from broker.interface import Delivery, Intake, StoredRecord, Stream, StreamReader
from tests.contract.nodes import SILENT_SECONDS, WAIT_SECONDS


async def read_records(reader: StreamReader, count: int) -> list[StoredRecord]:
    """Wait for at least so many records."""
    records: list[StoredRecord] = []
    async with asyncio.timeout(WAIT_SECONDS):
        async for some in reader:
            records.extend(some)
            if len(records) >= count:
                break
    return records


async def read_to(reader: StreamReader, last_body: bytes) -> list[StoredRecord]:
    """Wait for records until the one with this body."""
    records: list[StoredRecord] = []
    async with asyncio.timeout(WAIT_SECONDS):
        async for some in reader:
            records.extend(some)
            if any(record.body == last_body for record in some):
                break
    return records


async def take(intake: Intake, count: int) -> list[Delivery]:
    """Wait for at least so many deliveries."""
    deliveries: list[Delivery] = []
    async with asyncio.timeout(WAIT_SECONDS):
        while len(deliveries) < count:
            deliveries.extend(await intake.take())
    return deliveries


async def hear(messages: AsyncIterator[bytes], count: int) -> list[bytes]:
    """Wait for so many messages."""
    async with asyncio.timeout(WAIT_SECONDS):
        return [await anext(messages) for _ in range(count)]


async def append_all(stream: Stream, bodies: list[bytes]) -> None:
    for body in bodies:
        await stream.append(body, entries=1)


async def stays_silent(waiting: Awaitable[object]) -> bool:
    """Whether nothing comes; cancels the waiting."""
    try:
        async with asyncio.timeout(SILENT_SECONDS):
            await waiting
    except TimeoutError:
        return True
    return False


async def ends(waiting: Awaitable[object], expected: type[Exception]) -> None:
    """Wait until something under way fails as expected."""
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(expected):
            await waiting
