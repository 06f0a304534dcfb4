"""A response that does not end: what a session is told, written as it comes.

Replies and pushes are written straight to the transport, past aiohttp, as they are for WebSockets:
what a language made is complete chunks, the same bytes for everybody. aiohttp writes the head and
the last chunk.

Rules
- The client's end is noticed when its connection ends, not when something is written to it.
- The response ends with the session, after a push that says why, and the connection with it. What
  the client does not take within a short grace is cut off.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from aiohttp import HttpVersion11, web

from services.front.encoding import Language
from services.front.outbox import Outbox
from services.front.parts import Parts
from services.front.session import Session
from services.front.transports.arriving import find_arrival
from services.front.transports.chunks import frame_chunk
from services.front.uplinks import Receive
from services.wire.reply import DisconnectPush

# For the last push to arrive; from, and to. As for WebSockets, those who are slow together are not
# cut off together.
_GRACE_SECONDS: Final = (2.0, 2.5)
_SLOW_GRACE_SECONDS: Final = (0.5, 2.5)

# Nothing between us and the client may keep what has left here, neither for later nor for others.
_HEADERS: Final = {
    "Cache-Control": "private, no-cache, no-store, must-revalidate, max-age=0",
    "Pragma": "no-cache",
    "Expires": "0",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


class Spoken(NamedTuple):
    """What is spoken over a streamed response."""

    content_type: str
    chunked: Language
    bare: Language
    """The same for HTTP/1.0, which knows no chunks."""
    receive: Receive
    """What becomes of a frame."""
    answers_pings: bool = True
    """Whether the client can answer pings, and so has to."""


class StreamLine:
    """The connection under a session; see `session.Line`."""

    __slots__ = ("_jitter", "_language", "_outbox", "_transport", "answers_pings", "ended")

    pings_by_frame: Final = False

    def __init__(
        self,
        transport: asyncio.Transport,
        outbox: Outbox,
        language: Language,
        jitter: Callable[[float, float], float],
        *,
        answers_pings: bool,
    ) -> None:
        self._transport = transport
        self.answers_pings = answers_pings
        self._outbox = outbox
        self._language = language
        self._jitter = jitter
        self.ended: Final = asyncio.Event()
        """Set when nothing more is to be told."""

    @property
    def remote(self) -> str:
        """The address of the other end, for the log."""
        peer = self._transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    def close(self, code: int, reason: str, *, is_slow: bool) -> None:
        """Tell the client why, and end the connection soon. Never waits."""
        self._outbox.close(self._language.encode_push("", DisconnectPush.custom(code, reason)))
        grace_seconds = self._jitter(*(_SLOW_GRACE_SECONDS if is_slow else _GRACE_SECONDS))
        asyncio.get_running_loop().call_later(grace_seconds, self._transport.abort)
        self.ended.set()


class _Watch(asyncio.Protocol):
    """Stands before aiohttp's protocol to hear when the connection is lost.

    aiohttp would cancel the handler instead, but those of all requests alike.
    """

    def __init__(self, protocol: asyncio.Protocol, on_lost: Callable[[], object]) -> None:
        self._on_lost = on_lost
        self.data_received = protocol.data_received  # type: ignore[method-assign]  # as it is
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]
        self._pass_on = protocol.connection_lost

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._pass_on(exc)
        self._on_lost()


@contextmanager
def watching(transport: asyncio.Transport, on_lost: Callable[[], object]) -> Iterator[None]:
    """Have `on_lost` called when the connection is lost, within the context."""
    protocol = transport.get_protocol()
    assert isinstance(protocol, asyncio.Protocol)
    if transport.is_closing():
        on_lost()
    transport.set_protocol(_Watch(protocol, on_lost))
    try:
        yield
    finally:
        transport.set_protocol(protocol)


async def stream(
    request: web.Request,
    parts: Parts,
    spoken: Spoken,
    headers: dict[str, str],
    frame: bytes,
    *,
    opening: bytes = b"",
) -> web.StreamResponse:
    """Serve one client until it leaves or is told to go.

    `frame` is what it sent with its request, `opening` what it is sent before all.

    Cancelling: the connection is cut off.
    """
    # One that may not be chunked ends with its connection.
    is_chunked = request.version >= HttpVersion11
    language = spoken.chunked if is_chunked else spoken.bare
    response = web.StreamResponse(
        headers={**_HEADERS, **headers, "Content-Type": spoken.content_type}
    )
    response.force_close()
    await response.prepare(request)
    transport = request.transport
    if transport is None:
        return response
    outbox = Outbox(transport, parts.flusher, parts.config.client.queue_max_size)
    line = StreamLine(transport, outbox, language, parts.jitter, answers_pings=spoken.answers_pings)
    session = Session(parts, line, outbox, language)
    session.arrival = find_arrival(request, parts.config.app)
    uplink = parts.uplinks.open(session, spoken.receive)
    try:
        with watching(transport, line.ended.set):
            session.say(frame_chunk(opening) if is_chunked else opening)
            parts.uplinks.take(uplink, frame)
            # It would live as long as the session.
            del frame
            await line.ended.wait()
    finally:
        parts.uplinks.close(uplink)
        session.leave()
        outbox.close()
    return response
