"""A client's WebSocket connection, speaking the JSON protocol by hand.

No SDK is used: it would retry, buffer or drop behind the journal's back.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle, islice
from random import Random
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

OPEN_SECONDS = 5.0
CLOSE_SECONDS = 1.0

Reply = dict[str, Any]


class ConnectionLost(Exception):
    """There is no connection, or none any more; what was not answered has an unknown outcome."""


class UnexpectedReply(Exception):
    """The server answered something that these clients never give it a reason for."""


class Connection:
    """An open connection; `connected` makes one."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.welcome: Reply = {}
        """What the server answered to the connect."""

    @property
    def close_code(self) -> int | None:
        """With what the server has closed it, if it has."""
        return self._socket.close_code

    @property
    def close_reason(self) -> str | None:
        """Why the server has closed it, if it has."""
        return self._socket.close_reason

    async def send(self, *commands: Reply) -> None:
        """Send commands in one frame.

        Raises:
            ConnectionLost: they may or may not have arrived.
        """
        await self._send(b"\n".join(map(orjson.dumps, commands)))

    async def receive(self) -> list[Reply]:
        """Wait for a frame and read its replies, answering pings by the way.

        Raises:
            ConnectionLost: there will be no more.

        Cancelling: nothing is lost.
        """
        try:
            frame = await self._socket.recv(decode=False)
        except (WebSocketException, OSError) as error:
            raise ConnectionLost(str(error)) from error
        replies = [orjson.loads(line) for line in frame.splitlines()]
        if {} in replies:
            await self._send(b"{}")
        return [reply for reply in replies if reply]

    async def _send(self, frame: bytes) -> None:
        try:
            await self._socket.send(frame, text=True)
        except (WebSocketException, OSError) as error:
            raise ConnectionLost(str(error)) from error


@asynccontextmanager
async def connected(url: str, **asked: Any) -> AsyncIterator[Connection]:
    """Open a WebSocket and be accepted: as an anonymous client, if nothing is asked with a token.

    Raises:
        ConnectionLost: the server did not answer, or closed.
        UnexpectedReply: the server does not accept such clients; it has the reply.
    """
    socket = await _open(url)
    try:
        connection = Connection(socket)
        await connection.send({"id": 1, "connect": {"name": "by-hand", **asked}})
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                first, *_ = await connection.receive()
        except TimeoutError as error:
            raise ConnectionLost("no answer to connect") from error
        if "connect" not in first:
            raise UnexpectedReply(first)
        connection.welcome = first["connect"]
        yield connection
    finally:
        await socket.close()


async def _open(url: str) -> ClientConnection:
    try:
        return await connect(
            url,
            proxy=None,
            compression=None,
            ping_interval=None,  # pings are the protocol's own
            max_size=None,  # a recovery comes in one frame
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
        )
    except (InvalidHandshake, WebSocketException, OSError) as error:
        raise ConnectionLost(str(error)) from error


class Reconnection:
    """Which front a client tries next, and after how long a pause (jittered, growing)."""

    FIRST_SECONDS = 0.1
    LONGEST_SECONDS = 1.0

    def __init__(self, fronts: list[str], first: int, random: Random) -> None:
        self._fronts = islice(cycle(fronts), first % len(fronts), None)
        self._random = random
        self._failures = 0

    def next_front(self) -> str:
        """Name the next front's URL."""
        return next(self._fronts)

    def succeeded(self) -> None:
        """Start the next series of pauses from the shortest."""
        self._failures = 0

    async def pause(self) -> None:
        """Wait a little, longer after each failure."""
        longest = min(self.LONGEST_SECONDS, self.FIRST_SECONDS * 2**self._failures)
        self._failures += 1
        await asyncio.sleep(self._random.uniform(0, longest))
