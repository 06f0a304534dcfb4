"""Clients that stop reading, and hostile ones, beside readers: nobody else is harmed, all are let
go, and the front's memory stays within what docs/limits.md says.

A hundred clients subscribe and read no more. Others ask without reading, flood with pings, send
messages a byte at a time, read a byte at a time, or leave their handshake unfinished. Fifty readers
keep journals, which decide.

Not here: how little the readers are slowed down (bench/slow_clients.py).
"""

import asyncio
import json
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from broker.local.node import LocalNode
from tests.conformance.client import CONTINUATION, CUT_OFF, PING, RawClient, frame, request_of
from tests.faults.checker import judge
from tests.faults.journal import Acknowledged, Attempted, Journal
from tests.faults.progress import Progress
from tests.faults.subscriber import Subscriber
from tests.system.connection import Connection, Reconnection, connected
from tests.system.deployment import Access, Deployment, Front, deployed

pytestmark = [pytest.mark.faults, pytest.mark.timeout(90)]

SLOW = 3008
CHANNEL = "open:crowded"
READERS = 50
STALLERS = 100
HOSTILE_OF_A_KIND = 3
HALF_HANDSHAKES = 20

# Together 1.9 MB a client: over the limit of 1 MiB, what the kernel keeps, and what asyncio reads
# ahead. Frames so small are joined for those who do not read, so that their memory is theirs alone.
PUBLICATIONS = 640
BODY_BYTES = 3_000
WINDOW = 20

RECEIVE_BYTES = 4096
FINISH_SECONDS = 30.0
STEP_SECONDS = 0.02

# docs/limits.md: what a session costs at most, and what one costs that has nothing unsent.
QUEUE_BYTES = 1024 * 1024
QUEUE_FACTOR = 1.25
SESSION_BYTES = 20_000
# What any load leaves: the history that is kept, buffers that were once filled.
GROWTH_BYTES = 24 * 1024 * 1024


class Publisher:
    """Publishes large publications and notes what it is told."""

    def __init__(self) -> None:
        self.journal = Journal("publisher")
        self._command_ids = count(2)
        self._unanswered: dict[int, str] = {}

    async def run(self, connection: Connection) -> None:
        """Publish all of them, some at a time."""
        for number in range(PUBLICATIONS):
            await self._attempt(connection, f"publication-{number}")
            while len(self._unanswered) >= WINDOW:
                await self._take_answers(connection)
        while self._unanswered:
            await self._take_answers(connection)

    async def _attempt(self, connection: Connection, attempt: str) -> None:
        command_id = next(self._command_ids)
        self._unanswered[command_id] = attempt
        self.journal.note(Attempted(CHANNEL, attempt, 1))
        body = {"attempt": attempt, "body": "x" * BODY_BYTES}
        await connection.send({"id": command_id, "publish": {"channel": CHANNEL, "data": body}})

    async def _take_answers(self, connection: Connection) -> None:
        for reply in await connection.receive():
            assert "publish" in reply, reply
            self.journal.note(Acknowledged(self._unanswered.pop(reply["id"])))


class Memory:
    """The resident memory of a process at its highest."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.idle_bytes = self.peak_bytes = self._process.memory_info().rss

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(STEP_SECONDS)
            self.peak_bytes = max(self.peak_bytes, self._process.memory_info().rss)


async def subscribed(port: int) -> RawClient:
    """A client that follows the channel; whether it reads on is its own affair."""
    client = await RawClient.connect(port, receive_bytes=RECEIVE_BYTES)
    await client.begin()
    client.say({"id": 2, "subscribe": {"channel": CHANNEL}})
    assert "subscribe" in await client.line()
    return client


async def flood(port: int, chunk: bytes) -> None:
    """Send the same again and again and read nothing; come back when thrown out."""
    while True:
        client = await subscribed(port)
        if chunk[0] & 0x0F == CONTINUATION:
            client.send(frame(b"", is_final=False))
        try:
            while True:
                client.send(chunk)
                await client.drain()
                await asyncio.sleep(STEP_SECONDS)
        except ConnectionError:
            continue
        finally:
            client.cut()


async def trickle(port: int) -> None:
    """Read a byte at a time; come back when thrown out."""
    while True:
        client = await subscribed(port)
        try:
            while await client.byte():  # noqa: ASYNC110  (slowness is the point)
                await asyncio.sleep(STEP_SECONDS)
        except ConnectionError:
            continue
        finally:
            client.cut()


HOSTILE: dict[str, Callable[[int], Awaitable[None]]] = {
    "questions": lambda port: flood(port, frame(b'{"id":3,"rpc":{}}') * 100),
    "histories": lambda port: flood(
        port, frame(b'{"id":3,"history":{"channel":"%b","limit":20}}' % CHANNEL.encode())
    ),
    "pings": lambda port: flood(port, frame(b"x" * 125, PING) * 50),
    "fragments": lambda port: flood(port, frame(b"x", CONTINUATION, is_final=False) * 200),
    "trickles": trickle,
}


@asynccontextmanager
async def hostile(port: int) -> AsyncIterator[None]:
    """Let some of each kind do what they do."""
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as opened:
        for _ in range(HALF_HANDSHAKES):
            client = await RawClient.connect(port)
            opened.callback(client.cut)
            client.send(request_of()[:-2])
        acting = [
            tasks.create_task(_act(act, port))
            for act in HOSTILE.values()
            for _ in range(HOSTILE_OF_A_KIND)
        ]
        yield
        for task in acting:
            task.cancel()


async def _act(act: Callable[[int], Awaitable[None]], port: int) -> None:
    await act(port)


@pytest.fixture
async def crowded(
    tmp_path: Path, rabbit_node: LocalNode, rabbit_prefix: str
) -> AsyncIterator[Deployment]:
    """One front and one worker."""
    access = Access.of_admin(rabbit_node)
    async with deployed(tmp_path, access, prefix=rabbit_prefix, fronts=1, workers=1) as deployment:
        yield deployment


def sessions_of(front: Front) -> int:
    with urllib.request.urlopen(front.health_url("/health"), timeout=5) as response:
        report: dict[str, Any] = json.load(response)
    return int(report["sessions"])


def connections_of(front: Front) -> int:
    """Sockets that the front has open: a client that does not read must be cut off."""
    sockets = psutil.Process(front.process.pid).net_connections("tcp")
    return sum(
        each.laddr.port == front.port and each.status != psutil.CONN_LISTEN for each in sockets
    )


async def until_forgotten(front: Front) -> None:
    """Wait until the front has sessions and sockets for the readers alone."""
    async with asyncio.timeout(FINISH_SECONDS):
        while (sessions_of(front), connections_of(front)) != (READERS, READERS):  # noqa: ASYNC110
            await asyncio.sleep(STEP_SECONDS)


def ended_as_slow(front: Front) -> int:
    events = front.process.events("session ended by the server")
    return Counter(event["code"] for event in events)[SLOW]


async def test_who_does_not_read_is_let_go_and_harms_nobody(crowded: Deployment) -> None:
    (front,) = crowded.fronts
    memory = Memory(front.process.pid)
    progress, random = Progress(), Random(5)
    readers = [
        Subscriber(f"reader-{number}", [CHANNEL], Reconnection([front.url], 0, random), progress)
        for number in range(READERS)
    ]
    publisher = Publisher()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(reader.run()) for reader in readers]
        running.append(tasks.create_task(memory.watch()))
        await progress.until(
            lambda: all(reader.positions for reader in readers), timeout_seconds=FINISH_SECONDS
        )
        stallers = [await subscribed(front.port) for _ in range(STALLERS)]
        async with hostile(front.port), connected(front.url) as connection:
            await publisher.run(connection)
            await progress.until(
                lambda: all(len(reader.received) == PUBLICATIONS for reader in readers),
                timeout_seconds=FINISH_SECONDS,
            )
        # Those who do not read have not closed anything.
        await until_forgotten(front)
        for task in running:
            task.cancel()

    report = judge([publisher.journal, *(reader.journal for reader in readers)])
    assert not report.stories, str(report)
    assert report.acknowledged == PUBLICATIONS, str(report)
    assert (report.resumed, report.unresumed) == (0, 0), "a reader was cut off"
    assert ended_as_slow(front) >= STALLERS
    assert {await staller.closed() for staller in stallers} <= {SLOW, CUT_OFF}
    sessions = READERS + STALLERS + HOSTILE_OF_A_KIND * len(HOSTILE)
    bound_bytes = sessions * (SESSION_BYTES + QUEUE_FACTOR * QUEUE_BYTES) + GROWTH_BYTES
    assert memory.peak_bytes - memory.idle_bytes < bound_bytes
    for staller in stallers:
        with suppress(ConnectionError):
            staller.cut()
