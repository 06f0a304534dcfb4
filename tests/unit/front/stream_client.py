"""Clients of the HTTP transports over real sockets, and two fronts that share a broker."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp

from broker.embedded import EmbeddedBroker
from services.front.listening import open_sockets
from services.front.run import run_front
from services.settings import Config
from services.worker.app import run_worker
from services.worker.counting import WorkerCounters
from tests.unit.front.test_websocket import Front

WAIT_SECONDS = 5.0
HTTP_STREAM = "/connection/http_stream"
SSE = "/connection/sse"


class StreamClient:
    """A client that is told things by a response that does not end."""

    def __init__(self, http: aiohttp.ClientSession, response: aiohttp.ClientResponse) -> None:
        self.http = http
        self.response = response
        self.connected: dict[str, Any] = {}

    async def next(self) -> Any:
        """The next reply or push; None at the end."""
        async with asyncio.timeout(WAIT_SECONDS):
            while line := await self.response.content.readline():
                text = line.strip().removeprefix(b"data: ")
                if text:
                    return json.loads(text)
        return None

    async def send(self, front: Front, *commands: object, **changes: str) -> int:
        """Send commands by way of a front; give the status."""
        envelope = {
            "session": self.connected["session"],
            "node": self.connected["node"],
            "data": "\n".join(map(json.dumps, commands)),
            **changes,
        }
        url = f"http://{front.address}/emulation"
        async with self.http.post(url, data=json.dumps(envelope)) as response:
            return response.status

    def leave(self) -> None:
        """Go without a word."""
        self.response.close()


@asynccontextmanager
async def streaming(
    front: Front, path: str = HTTP_STREAM, *commands: object
) -> AsyncIterator[StreamClient]:
    """A client that sends its first commands and has the answer to the first."""
    frame = "\n".join(map(json.dumps, commands or ({"id": 1, "connect": {}},)))
    async with aiohttp.ClientSession() as http:
        url = f"http://{front.address}{path}"
        asking = (
            http.get(url, params={"cf_connect": frame})
            if path == SSE
            else http.post(url, data=frame)
        )
        async with asking as response:
            assert response.status == 200
            client = StreamClient(http, response)
            reply = await client.next()
            client.connected = reply.get("connect", {})
            yield client


@asynccontextmanager
async def raw(
    front: Front, *, limit: int = 65536
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection that is gone at the end of the block."""
    reader, writer = await asyncio.open_connection(*front.address.split(":"), limit=limit)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


def request(path: str, body: bytes, *, method: str = "POST", version: str = "1.1") -> bytes:
    """A request as it is sent."""
    head = f"{method} {path} HTTP/{version}\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def listening_fronts(config: Config, count: int = 2) -> AsyncIterator[list[Front]]:
    """Fronts that listen, each on its own port, and a worker."""
    broker = EmbeddedBroker({name: lane.partitions for name, lane in config.lanes.items()})
    worker_stop = asyncio.Event()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        accesses = [await stack.enter_async_context(broker.open()) for _ in range(count + 1)]
        tasks.create_task(run_worker(config, accesses[-1], worker_stop, WorkerCounters()))
        fronts = []
        for access in accesses[:-1]:
            sockets = open_sockets("127.0.0.1", 0)
            stop = asyncio.Event()
            tasks.create_task(run_front(config, access, sockets, stop))
            fronts.append(Front(sockets[0].getsockname()[1], stop))
        async with asyncio.timeout(WAIT_SECONDS):
            for front in fronts:
                while not await front.is_ready():  # noqa: ASYNC110  (asked from outside)
                    await asyncio.sleep(0.01)
        try:
            yield fronts
        finally:
            for front in fronts:
                front.stop.set()
            worker_stop.set()


async def until_settled(fronts: list[Front]) -> None:
    """Wait until each front knows all others: only then is it sure who is none."""
    async with streaming(fronts[0]) as client:
        while await client.send(fronts[1], {}, node="nowhere") != 404:
            pass
