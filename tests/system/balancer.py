"""What stands before several fronts: one address, and connections that can be cut and moved."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from broker.local.ports import HOST


class Balancer:
    """Passes connections on to the front of the hour; `balancing` makes one."""

    def __init__(self, front_url: str) -> None:
        self._front = urlsplit(front_url)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"ws://{HOST}:{port}{self._front.path}"

    async def start(self) -> None:
        """Listen on a port of its own."""
        self._server = await asyncio.start_server(self._pass_on, HOST, 0)

    def cut(self) -> None:
        """Drop all connections; new ones are passed on as before."""
        for connection in self._connections:
            connection.cancel()

    def move_to(self, front_url: str) -> None:
        """Drop all connections; new ones go to this front."""
        self._front = urlsplit(front_url)
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
        from_front, to_front = await asyncio.open_connection(self._front.hostname, self._front.port)
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


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def balancing(front_url: str) -> AsyncIterator[Balancer]:
    """Run a balancer that begins with this front."""
    balancer = Balancer(front_url)
    await balancer.start()
    try:
        yield balancer
    finally:
        await balancer.stop()
