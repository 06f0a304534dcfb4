"""A load generator's clients: WebSocket and the Centrifuge JSON protocol at the lowest cost.

A client is set up with parsed replies. Then it is handed over to a counter, which finds replies
and publications in the raw bytes of each read without looking at frames at all: bodies are ours
and hold none of the marks that are counted. Publish, reply and delivery together were 3.4 us of
CPU with 100 publishers x 10, and 13.7 us with 1,000 x 1, where each has its own read and write.

Not here: what to measure (throughput.py, latency.py, fanout.py), frames (websocket.py).
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import orjson

from bench.websocket import (
    HANDSHAKE_END,
    FrameReader,
    ServerClosed,
    pong_frame,
    text_frame,
    upgrade_request,
)

ANSWER_SECONDS = 20.0

PING = b"{}"
PONG_FRAME = text_frame(b"{}")
ACCEPTED = b'"publish":{}'
ERROR = b'"error":'
PUBLICATION = b'"pub":{'
STAMP = b'"T":'
STAMP_DIGITS = 16
CLOCK_START = 10**15
# Enough to hold the longest mark but its last byte: a mark may lie across two reads.
SEAM_BYTES = len(ACCEPTED) - 1

Counter = Callable[[bytes], None]


@dataclass(frozen=True)
class Endpoint:
    """Where clients connect."""

    host: str
    port: int
    path: str = "/connection/websocket"

    @property
    def request(self) -> bytes:
        """What opens a WebSocket there."""
        return upgrade_request(f"{self.host}:{self.port}", self.path)


class Client(asyncio.Protocol):
    """One connection; made by `open_client`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failure: str | None = None
        self.write: Callable[[bytes], None]
        self._endpoint = endpoint
        self._transport: asyncio.Transport
        self._response = b""
        self._frames = FrameReader()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last_id = 0
        self._read: Counter = self._read_response

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        self._transport = transport
        self.write = transport.write
        transport.write(self._endpoint.request)

    def data_received(self, data: bytes) -> None:
        self._read(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(str(exc or "connection lost"))

    async def ask(self, **command: Any) -> dict[str, Any]:
        """Send one command and answer its whole reply.

        Raises:
            ServerClosed: the connection ended instead.
        """
        self.check()
        self._last_id += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[self._last_id] = answer
        self.write(text_frame(orjson.dumps({"id": self._last_id, **command})))
        async with asyncio.timeout(ANSWER_SECONDS):
            return await answer

    async def subscribe(self, channel: str) -> None:
        """Subscribe, and check that the server agreed."""
        reply = await self.ask(subscribe={"channel": channel})
        if "subscribe" not in reply:
            raise ServerClosed(f"subscribe was refused: {reply}")

    def hand_over(self, count: Counter) -> None:
        """From now on give what is read to a counter, which answers pings itself."""
        if not self._frames.is_between_messages:
            raise AssertionError("handed over in the middle of a message")
        self._read = count

    def tap(self, look: Counter) -> None:
        """From now on also show what is read to somebody, first."""
        read_on = self._read

        def look_and_read(received: bytes) -> None:
            look(received)
            read_on(received)

        self._read = look_and_read

    def check(self) -> None:
        """Raise ServerClosed if the connection has ended."""
        if self.failure is not None:
            raise ServerClosed(self.failure)

    def close(self) -> None:
        """Drop the connection; no closing handshake."""
        if self.failure is None:
            self.failure = "closed here"
            self._transport.abort()

    def _read_response(self, received: bytes) -> None:
        self._response += received
        head, end, rest = self._response.partition(HANDSHAKE_END)
        if not end:
            return
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            self._fail(f"no upgrade: {head.decode(errors='replace')}")
            return
        self._read = self._read_replies
        self.opened.set_result(None)
        if rest:
            self._read_replies(rest)

    def _read_replies(self, received: bytes) -> None:
        try:
            messages = self._frames.feed(received)
        except ServerClosed as closed:
            self._fail(str(closed))
            return
        while self._frames.native_pings:
            self.write(pong_frame(self._frames.native_pings.pop()))
        for message in messages:
            for line in message.split(b"\n"):
                self._take_reply(line)

    def _take_reply(self, line: bytes) -> None:
        if line == PING:
            self.write(PONG_FRAME)
        elif line:
            reply = orjson.loads(line)
            answer = self._answers.pop(reply.get("id", 0), None)
            if answer is not None and not answer.done():
                answer.set_result(reply)

    def _fail(self, why: str) -> None:
        if self.failure is None:
            self.failure = why
        unfinished: list[asyncio.Future[Any]] = [self.opened, *self._answers.values()]
        for waiting in unfinished:
            if not waiting.done():
                waiting.set_exception(ServerClosed(self.failure))
        self._answers.clear()


async def open_client(endpoint: Endpoint, *, source: str | None = None) -> Client:
    """Open a WebSocket and connect anonymously; `source` is the loopback address to come from.

    Raises:
        ServerClosed: the server refused.
    """
    client = await open_websocket(endpoint, source=source)
    reply = await client.ask(connect={})
    if "connect" not in reply:
        raise ServerClosed(f"connect was refused: {reply}")
    return client


async def open_websocket(endpoint: Endpoint, *, source: str | None = None) -> Client:
    """Open a bare WebSocket, to a server that speaks no protocol of its own.

    Raises:
        ServerClosed: the server refused.
    """
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: Client(endpoint),
        endpoint.host,
        endpoint.port,
        local_addr=(source, 0) if source else None,
    )
    async with asyncio.timeout(ANSWER_SECONDS):
        await client.opened
    return client


class PublishFrames:
    """The frames that publish to one channel, ready made: 63 plain ones and one with a stamp.

    The plain ones lie behind each other in one piece of memory, so that several leave as one slice.
    """

    PLAIN = 63

    def __init__(self, channel: str, body_bytes: int) -> None:
        self._channel = channel
        self._body_bytes = body_bytes
        frames = [self._frame(1000 + index, b"{") for index in range(self.PLAIN)]
        self._size = len(frames[0])
        self._plain = b"".join(frames)

    def plain(self, start: int, end: int) -> bytes:
        """The frames from the one index up to the other."""
        return self._plain[start * self._size : end * self._size]

    def stamped(self) -> bytes:
        """The frame that tells when it was sent."""
        return self._frame(1000 + self.PLAIN, b"{%b%016d," % (STAMP, _now()))

    def _frame(self, command_id: int, body_start: bytes) -> bytes:
        body = body_start + b'"p":"'
        body += b"x" * (self._body_bytes - len(body) - 2) + b'"}'
        channel = self._channel.encode()
        command = b'{"id":%d,"publish":{"channel":"%b","data":%b}}'
        return text_frame(command % (command_id, channel, body))


class Publisher:
    """Keeps a number of publications in flight: each reply sends the next."""

    def __init__(self, client: Client, frames: PublishFrames, in_flight: int, first: int) -> None:
        if in_flight > PublishFrames.PLAIN:
            raise AssertionError("command ids in flight must differ")
        self.sent = self.accepted = self.refused = 0
        self._client = client
        self._frames = frames
        self._in_flight = in_flight
        self._next = first % PublishFrames.PLAIN
        self._seam = b""
        self._is_open = False
        client.hand_over(self._count)

    def start(self) -> None:
        """Fill the window."""
        self._is_open = True
        self._send(self._in_flight)

    def stop(self) -> None:
        """Send no more."""
        self._is_open = False

    @property
    def unanswered(self) -> int:
        """Publications whose replies are still to come."""
        return self.sent - self.accepted - self.refused

    def _count(self, received: bytes) -> None:
        seam = self._seam
        joined = seam + received
        self._seam = joined[-SEAM_BYTES:]
        accepted = joined.count(ACCEPTED)
        pings = joined.count(PING) - accepted
        refused = joined.count(ERROR)
        if seam:
            seam_accepted = seam.count(ACCEPTED)
            pings -= seam.count(PING) - seam_accepted
            accepted -= seam_accepted
            refused -= seam.count(ERROR)
        if pings > 0:
            self._client.write(PONG_FRAME)
        self.accepted += accepted
        self.refused += refused
        if self._is_open and (accepted or refused):
            self._send(accepted + refused)

    def _send(self, count: int) -> None:
        self.sent += count
        while count:
            start = self._next
            end = min(start + count, PublishFrames.PLAIN)
            if start == PublishFrames.PLAIN:
                self._client.write(self._frames.stamped())
                self._next, count = 0, count - 1
            else:
                self._client.write(self._frames.plain(start, end))
                self._next, count = end, count - (end - start)


class Subscriber:
    """Counts publications and, of those that carry a stamp, how long they took."""

    def __init__(self, client: Client) -> None:
        self.received = self.reads = self.received_bytes = 0
        self.latencies_ms: list[float] = []
        self._client = client
        self._seam = b""
        client.hand_over(self._count)

    def _count(self, received: bytes) -> None:
        seam = self._seam
        joined = seam + received
        self._seam = joined[-SEAM_BYTES:]
        publications = joined.count(PUBLICATION)
        pings = joined.count(PING)
        if seam:
            publications -= seam.count(PUBLICATION)
            pings -= seam.count(PING)
        if pings > 0:
            self._client.write(PONG_FRAME)
        self.received += publications
        self.received_bytes += len(received)
        self.reads += 1
        # A stamp across two reads is passed over: they are samples.
        at = received.find(STAMP)
        while at >= 0:
            digits = received[at + len(STAMP) : at + len(STAMP) + STAMP_DIGITS]
            if len(digits) == STAMP_DIGITS:
                self.latencies_ms.append((_now() - int(digits)) / 1e3)
            at = received.find(STAMP, at + len(STAMP))


def _now() -> int:
    """Microseconds on a clock of this process, always with the same number of digits."""
    return CLOCK_START + time.perf_counter_ns() // 1000
