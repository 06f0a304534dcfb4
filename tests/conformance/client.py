"""A WebSocket client that can do everything wrong: it sends the bytes it is told to.

Rules: it never answers, corrects or retries by itself.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
CONTINUATION = 0x0
CUT_OFF = 1006
"""What RFC 6455 §7.1.5 calls the code of a connection that ended without a close frame."""

PATH = "/connection/websocket"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE: Mapping[str, str] = {
    "Host": "localhost",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}

WAIT_SECONDS = 5.0
_MASK = b"\x12\x34\x56\x78"


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as the server sent it."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """The code of a close frame; 1005 for none."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else 1005


class ConnectionEnded(Exception):
    """The connection ended; `code` is the close frame's, or `CUT_OFF`."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


def frame(
    payload: bytes,
    opcode: int = TEXT,
    *,
    is_final: bool = True,
    is_masked: bool = True,
    reserved: int = 0,
    declared: int | None = None,
) -> bytes:
    """A client's frame; `declared` is a length other than the payload's own (RFC 6455 §5.2)."""
    size = len(payload) if declared is None else declared
    head = bytes(((0x80 if is_final else 0) | reserved << 4 | opcode,))
    bit = 0x80 if is_masked else 0
    if size < 126:
        head += bytes((bit | size,))
    elif size < 1 << 16:
        head += bytes((bit | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((bit | 127,)) + size.to_bytes(8, "big")
    return head + _MASK + masked(payload) if is_masked else head + payload


def masked(payload: bytes) -> bytes:
    """The payload under the one mask that is used here."""
    mask = _MASK * (len(payload) // 4 + 1)
    size = len(payload)
    both = int.from_bytes(payload, "big") ^ int.from_bytes(mask[:size], "big")
    return both.to_bytes(size, "big")


def request_of(
    headers: Mapping[str, str | None] | None = None, *, path: str = PATH, method: str = "GET"
) -> bytes:
    """A handshake with some headers changed, or (None) left out."""
    merged = {**HANDSHAKE, **(headers or {})}
    lines = [
        f"{method} {path} HTTP/1.1",
        *(f"{k}: {v}" for k, v in merged.items() if v is not None),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class RawClient:
    """One TCP connection to a front."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._lines: list[Any] = []

    @classmethod
    async def connect(cls, port: int, *, receive_bytes: int | None = None) -> Self:
        """Open the TCP connection; nothing is sent."""
        plain = socket.socket()
        plain.setblocking(False)
        if receive_bytes is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=plain, limit=1 << 16))

    async def ask(self, request: bytes) -> tuple[int, dict[str, str]]:
        """Send a request and give the answer's status and headers."""
        self.send(request)
        async with asyncio.timeout(WAIT_SECONDS):
            head = await self._reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").rstrip().split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        return int(status.split()[1]), headers

    async def upgrade(self, path: str = PATH) -> None:
        """Shake hands as one should."""
        status, _ = await self.ask(request_of(path=path))
        assert status == 101

    def send(self, raw: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(raw)

    async def drain(self) -> None:
        """Wait until the server has taken most of what was sent."""
        await self._writer.drain()

    def say(self, *lines: bytes | Mapping[str, Any]) -> None:
        """Send one text frame with these lines."""
        encoded = [x if isinstance(x, bytes) else json.dumps(x).encode() for x in lines]
        self.send(frame(b"\n".join(encoded)))

    async def frame(self) -> Frame:
        """The next frame.

        Raises:
            ConnectionEnded: there is none.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                head = await self._reader.readexactly(2)
                size = head[1] & 0x7F
                if size > 125:
                    wide = await self._reader.readexactly(2 if size == 126 else 8)
                    size = int.from_bytes(wide, "big")
                payload = await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise ConnectionEnded(CUT_OFF) from None
        return Frame(head[0] & 0x0F, payload)

    async def byte(self) -> bytes:
        """The next byte, whatever it belongs to; none at the end."""
        return await self._reader.read(1)

    async def line(self) -> Any:
        """The next reply or push.

        Raises:
            ConnectionEnded: there is none.
        """
        while not self._lines:
            got = await self.frame()
            if got.opcode == CLOSE:
                raise ConnectionEnded(got.code, got.payload[2:].decode())
            if got.opcode == TEXT:
                self._lines += [json.loads(line) for line in got.payload.split(b"\n")]
        return self._lines.pop(0)

    async def closed(self) -> int:
        """Wait for the end, and give its code; what comes before it is passed over."""
        try:
            while True:
                await self.line()
        except ConnectionEnded as end:
            return end.code

    async def begin(self, **request: Any) -> Any:
        """Shake hands, connect, and give the connect result."""
        await self.upgrade()
        self.say({"id": 1, "connect": request})
        reply = await self.line()
        return reply["connect"]

    def cut(self) -> None:
        """Vanish without a word."""
        self._writer.transport.abort()


Kind = TypeVar("Kind", bound=RawClient)


@asynccontextmanager
async def raw_client(port: int, *, receive_bytes: int | None = None) -> AsyncIterator[RawClient]:
    """A TCP connection that is gone at the end of the block."""
    async with raw_client_of(RawClient, port, receive_bytes=receive_bytes) as client:
        yield client


@asynccontextmanager
async def raw_client_of(
    kind: type[Kind], port: int, *, receive_bytes: int | None = None
) -> AsyncIterator[Kind]:
    """The same of a client of this kind."""
    client = await kind.connect(port, receive_bytes=receive_bytes)
    try:
        yield client
    finally:
        client.cut()
        with suppress(ConnectionError):
            await client._writer.wait_closed()
