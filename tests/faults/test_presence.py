"""kill -9 of a front: its clients are gone from presence, and until then it is refused."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from tests.system.connection import Connection, Reply, connected
from tests.system.deployment import Deployment

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(60)]

CHANNEL = "room:killed"
CLIENTS_A_FRONT = 10

# A registry entry lasts six seconds; then a question or two.
GONE_SECONDS = 8.0


async def answer_to(connection: Connection, command_id: int) -> Reply:
    while True:
        for reply in await connection.receive():
            if reply.get("id") == command_id:
                return reply


async def subscriber(stack: AsyncExitStack, url: str) -> Connection:
    connection = await stack.enter_async_context(connected(url))
    await connection.send({"id": 2, "subscribe": {"channel": CHANNEL}})
    assert "subscribe" in await answer_to(connection, 2)
    return connection


async def test_a_killed_fronts_clients_are_gone_and_none_is_missing_before(
    deployment: Deployment,
) -> None:
    survivor, killed = deployment.fronts
    async with AsyncExitStack() as stack:
        asker = await subscriber(stack, survivor.url)
        await subscriber(stack, killed.url)
        for _ in range(CLIENTS_A_FRONT - 1):
            await subscriber(stack, survivor.url)
            await subscriber(stack, killed.url)
        counts: list[int | None] = []  # None: refused
        struck = 0.0
        for command_id in range(3, 1000):
            await asker.send({"id": command_id, "presence": {"channel": CHANNEL}})
            reply = await answer_to(asker, command_id)
            if "error" in reply:
                assert reply["error"]["code"] == 100
                counts.append(None)
            else:
                counts.append(len(reply["presence"]["presence"]))
            if counts[-1] == CLIENTS_A_FRONT:
                break
            if not struck and counts[-1] == 2 * CLIENTS_A_FRONT:
                killed.process.kill9()
                struck = time.monotonic()
            await asyncio.sleep(0.02)

        assert time.monotonic() - struck < GONE_SECONDS
        assert set(counts) == {2 * CLIENTS_A_FRONT, None, CLIENTS_A_FRONT}
