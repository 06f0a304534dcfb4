"""What stands before several fronts: one address, and connections that can be cut and moved."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from broker.local.ports import HOST


class Balancer:
    """Passes connections on to its fronts in turn, past those that do not listen; `balancing` makes
    one.
    """

    def __init__(self, *front_urls: str) -> None:
        self._fronts = deque(map(urlsplit, front_urls))
        self._path = self._fronts[0].path
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"ws://{HOST}:{port}{self._path}"

    async def start(self) -> None:
        """Listen on a port of its own."""
        self._server = await asyncio.start_server(self._pass_on, HOST, 0)

    def cut(self) -> None:
        """Drop all connections; new ones are passed on as before."""
        for connection in self._connections:
            connection.cancel()

    def move_to(self, front_url: str) -> None:
        """Drop all connections; new ones go to this front."""
        self._fronts = deque([urlsplit(front_url)])
        self.cut()

    async def stop(self) -> None:
        """Drop everything and listen no longer."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._connections)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(asyncio.CancelledError, OSError):
                await self._connect_through(reader, writer)
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _connect_through(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        from_front, to_front = await self._reach_front()
        try:
            await asyncio.wait(
                [
                    asyncio.ensure_future(_copy(reader, to_front)),
                    asyncio.ensure_future(_copy(from_front, writer)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            to_front.transport.abort()

    async def _reach_front(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in range(len(self._fronts)):
            self._fronts.rotate()
            front = self._fronts[0]
            with suppress(ConnectionRefusedError):
                return await asyncio.open_connection(front.hostname, front.port)
        raise ConnectionRefusedError("no front listens")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def balancing(*front_urls: str) -> AsyncIterator[Balancer]:
    """Run a balancer before these fronts."""
    balancer = Balancer(*front_urls)
    await balancer.start()
    try:
        yield balancer
    finally:
        await balancer.stop()
