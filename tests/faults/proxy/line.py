"""One connection through a proxy: two directions, and what is done to them.

Rules: bytes are lost only together with the connection, as TCP loses them; whatever else happens,
they arrive late, slowly or in small pieces, but all and in order.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from tests.faults.proxy.moment import Direction, Inspector, Passage

_CHUNK_BYTES = 65_536
_THROTTLED_CHUNK_BYTES = 1_024


@dataclass(frozen=True)
class Weather:
    """How a network treats what passes through it."""

    delay_seconds: float = 0.0
    jitter_seconds: float = 0.0
    bytes_a_second: float = 0.0
    """0: as many as there are."""
    slice_bytes: int = 0
    """0: as they come."""


FAIR = Weather()

Hold = Callable[["Line", Passage], Awaitable[bytes]]
"""Asked before a passage with a moment goes on; what it gives is what goes on."""


class Line:
    """One connection of somebody's, and ours in its name."""

    def __init__(self, inspector: Inspector, hold: Hold, random: Random) -> None:
        self.inspector = inspector
        self.weather = FAIR
        self._hold = hold
        self._random = random
        self._flowing = {direction: asyncio.Event() for direction in Direction}
        self.thaw()
        self._writers: dict[Direction, asyncio.StreamWriter] = {}
        self._carrying: asyncio.Future[tuple[None, None]] | None = None

    def freeze(self, directions: Iterable[Direction] = Direction) -> None:
        """Let nothing through in these directions, and tell nobody."""
        for direction in directions:
            self._flowing[direction].clear()

    def thaw(self) -> None:
        """Let everything through that had to wait."""
        for flowing in self._flowing.values():
            flowing.set()

    def cut(self) -> None:
        """Lose the connection at once, with what is on its way: both ends see a reset."""
        for writer in self._writers.values():
            _reset(writer)
        if self._carrying is not None:
            self._carrying.cancel()

    def inject(self, direction: Direction, content: bytes) -> None:
        """Say something in the other end's name, between two passages."""
        self._writers[direction].write(content)

    async def carry(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Pass everything on until one end closes or the line is cut."""
        self._writers = {Direction.UP: server[1], Direction.DOWN: client[1]}
        carrying = self._carrying = asyncio.gather(
            self._carry_one_way(Direction.UP, client[0]),
            self._carry_one_way(Direction.DOWN, server[0]),
        )
        try:
            with suppress(OSError, asyncio.CancelledError):
                await carrying
        finally:
            carrying.cancel()
            for writer in self._writers.values():
                writer.transport.abort()

    async def _carry_one_way(self, direction: Direction, reader: asyncio.StreamReader) -> None:
        while True:
            content = await reader.read(self._chunk_bytes)
            if not content:
                break
            await self._flowing[direction].wait()
            await self._endure_weather(len(content))
            for passage in self.inspector.inspect(direction, content):
                await self._pass_on(direction, passage)
        # One direction closed is the connection closed, to both protocols that pass here.
        await self._flowing[direction].wait()
        self._writers[direction].close()

    async def _pass_on(self, direction: Direction, passage: Passage) -> None:
        content = passage.content
        if passage.moment is not None:
            content = await self._hold(self, passage)
        await self._flowing[direction].wait()
        writer = self._writers[direction]
        size = self.weather.slice_bytes or len(content)
        for start in range(0, len(content), max(size, 1)):
            writer.write(content[start : start + size])
            await writer.drain()

    @property
    def _chunk_bytes(self) -> int:
        return _THROTTLED_CHUNK_BYTES if self.weather.bytes_a_second else _CHUNK_BYTES

    async def _endure_weather(self, size_bytes: int) -> None:
        weather = self.weather
        seconds = weather.delay_seconds + self._random.uniform(0, weather.jitter_seconds)
        if weather.bytes_a_second:
            seconds += size_bytes / weather.bytes_a_second
        if seconds:
            await asyncio.sleep(seconds)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset: what was not read is gone, and the other end hears it at once."""
    transport_socket = writer.get_extra_info("socket")
    if transport_socket is not None:
        with suppress(OSError):
            transport_socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
    writer.transport.abort()
