"""A TCP proxy in front of one process, through which all its connections of one kind go."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from random import Random

from broker.local.ports import HOST
from tests.faults.proxy.line import FAIR, Line, Weather
from tests.faults.proxy.moment import Direction, Inspector, Moment, Passage
from tests.faults.proxy.trap import Caught, Trap

_CONNECT_SECONDS = 5.0


class Proxy:
    """Passes connections on to one address; `proxying` makes one."""

    def __init__(self, name: str, host: str, port: int, inspector: Callable[[], Inspector]) -> None:
        self.name = name
        self.lines: set[Line] = set()
        self.seen: dict[Moment, int] = dict.fromkeys(Moment, 0)
        """How often each moment came by."""
        self._address = (host, port)
        self._inspector = inspector
        self._weather = FAIR
        self._frozen: tuple[Direction, ...] = ()
        self._traps: list[Trap] = []
        self._random = Random(name)
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self, lines: Iterable[Line] | None = None) -> None:
        """Lose these connections, or all; new ones are passed on."""
        for line in list(self.lines if lines is None else lines):
            line.cut()

    def freeze(self, directions: Iterable[Direction] = Direction) -> None:
        """Let nothing through in these directions on any connection, also new ones."""
        self._frozen = tuple(directions)
        for line in self.lines:
            line.freeze(self._frozen)

    def thaw(self) -> None:
        """Let everything through again."""
        self._frozen = ()
        for line in self.lines:
            line.thaw()

    def set_weather(self, weather: Weather) -> None:
        """Treat all connections so, also new ones."""
        self._weather = weather
        for line in self.lines:
            line.weather = weather

    def heal(self) -> None:
        """Be a good network again, and wait for nothing."""
        self.set_weather(FAIR)
        self.thaw()
        for trap in self._traps:
            trap.disarm()
        self._traps.clear()

    def arm(self, trap: Trap) -> None:
        """Spring the trap if its moment comes by here first."""
        self._traps.append(trap)

    async def start(self) -> None:
        """Listen on a port of its own."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)

    async def stop(self) -> None:
        """Drop everything and listen no longer."""
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            with suppress(asyncio.CancelledError, OSError):
                await self._serve_line(reader, writer)
        finally:
            writer.transport.abort()
            self._serving.discard(task)

    async def _serve_line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_CONNECT_SECONDS):
            server = await asyncio.open_connection(*self._address)
        line = Line(self._inspector(), self._hold, self._random)
        line.weather = self._weather
        line.freeze(self._frozen)
        self.lines.add(line)
        try:
            await line.carry((reader, writer), server)
        finally:
            self.lines.discard(line)

    async def _hold(self, line: Line, passage: Passage) -> bytes:
        assert passage.moment is not None
        self.seen[passage.moment] += 1
        for trap in self._traps:
            if trap.moment is passage.moment and trap.is_armed:
                self._traps.remove(trap)
                caught = Caught(self, line, passage)
                trap.spring(caught)
                return await caught.wait_for_release()
        return passage.content


@asynccontextmanager
async def proxying(
    name: str, host: str, port: int, inspector: Callable[[], Inspector]
) -> AsyncIterator[Proxy]:
    """Run a proxy until the context ends."""
    proxy = Proxy(name, host, port, inspector)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
