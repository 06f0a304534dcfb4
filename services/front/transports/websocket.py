"""`GET /connection/websocket`: the client protocol over a WebSocket, in JSON or in Protobuf.

Replies and pushes are written straight to the transport: a frame is built once, for everybody,
and what one turn of the loop produces leaves in one write. aiohttp does the handshake and reads.

Rules
- The Origin is checked before anything else, and only version 13 of RFC 6455 is spoken.
- Everything that is written goes through the outbox, control frames too: nothing follows a close
  frame (RFC 6455 §5.5.1), and a client that pings without reading is slow like any other.
- A connection that is told to end is cut off after a short grace. Closing it politely would wait
  for its buffer, with a client that does not read for minutes.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

import structlog
from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web
from aiohttp.http import WSMessageNoDecodeText

from services.front.encoding import Language
from services.front.encodings.websocket_json import WEBSOCKET_JSON
from services.front.encodings.websocket_protobuf import WEBSOCKET_PROTOBUF
from services.front.outbox import Outbox
from services.front.parts import Parts
from services.front.receiving import receive
from services.front.session import Session
from services.front.transports.arriving import find_arrival
from services.front.transports.frame_reader import FrameReader
from services.front.transports.frames import NO_CODE, frame_close, frame_pong, is_close_code
from services.origins import may_connect_from
from services.wire.errors import Disconnect
from services.wire.protobuf_commands import decode_frame

_log = structlog.get_logger(__name__)

PARTS: Final = web.AppKey("parts", Parts)

SUBPROTOCOL: Final = "centrifuge-json"
PROTOBUF_SUBPROTOCOL: Final = "centrifuge-protobuf"

# For the close frame to arrive and to be answered; from, and to. A client that got it closes by
# itself. Cutting off one with a megabyte unsent takes 0.3 ms, and 1,000 that stopped reading
# together are found to be slow together: cut off together, they would hold up everybody else.
_GRACE_SECONDS: Final = (2.0, 2.5)
_SLOW_GRACE_SECONDS: Final = (0.5, 2.5)

# Of a close frame, from here on.
_OUR_CODES: Final = 3000

_VERSION_HEADER: Final = "Sec-WebSocket-Version"

# `receive` gives what has arrived without a turn of the loop, and one read can bring thousands. At
# this many the turn costs next to nothing, and a flood holds up others by a millisecond.
_MESSAGES_A_TURN: Final = 32


Farewell = Callable[[int, str], bytes]
"""Tells a client why its session ends, by code and reason; a close frame is the last of it."""


class WebSocketLine:
    """The connection under a session; see `session.Line`."""

    __slots__ = ("_farewell", "_jitter", "_outbox", "_transport", "pings_by_frame")

    def __init__(
        self,
        transport: asyncio.Transport,
        outbox: Outbox,
        jitter: Callable[[float, float], float],
        *,
        pings_by_frame: bool,
        farewell: Farewell = frame_close,
    ) -> None:
        self._transport = transport
        self._outbox = outbox
        self._jitter = jitter
        self._farewell = farewell
        self.pings_by_frame = pings_by_frame

    answers_pings: Final = True
    """See `session.Line`."""

    @property
    def remote(self) -> str:
        """The address of the other end, for the log."""
        peer = self._transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    def close(self, code: int, reason: str, *, is_slow: bool) -> None:
        """Tell the client why, and end the connection soon. Never waits."""
        self._outbox.close(self._farewell(code, reason))
        grace_seconds = self._jitter(*(_SLOW_GRACE_SECONDS if is_slow else _GRACE_SECONDS))
        asyncio.get_running_loop().call_later(grace_seconds, self._transport.abort)

    def end(self) -> None:
        """End the connection now; what the client has not taken is dropped."""
        self._outbox.close()
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()


class Conversation(Protocol):
    """What is spoken over a connection."""

    @property
    def encoding(self) -> Language:
        """How the session's publications are told."""

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """What the handshake offers."""

    async def open(self, session: Session) -> None:
        """Begin, once the connection is there."""

    async def receive(self, session: Session, frame: bytes) -> None:
        """Take a text frame, which is UTF-8."""

    async def receive_binary(self, session: Session, frame: bytes) -> None:
        """Take a binary frame."""


class _JsonConversation:
    """The client protocol; one for all connections."""

    encoding = WEBSOCKET_JSON
    subprotocols = (SUBPROTOCOL,)

    async def open(self, session: Session) -> None:
        """See `Conversation.open`; it is the client who begins."""

    async def receive(self, session: Session, frame: bytes) -> None:
        """See `Conversation.receive`."""
        await receive(session, frame)

    async def receive_binary(self, session: Session, frame: bytes) -> None:
        """See `Conversation.receive_binary`."""
        session.disconnect(Disconnect.BAD_REQUEST, "a binary frame in a JSON session")


class _ProtobufConversation:
    """The same in Protobuf."""

    encoding = WEBSOCKET_PROTOBUF
    subprotocols = (PROTOBUF_SUBPROTOCOL,)

    async def open(self, session: Session) -> None:
        """See `Conversation.open`; it is the client who begins."""

    async def receive(self, session: Session, frame: bytes) -> None:
        """See `Conversation.receive`."""
        session.disconnect(Disconnect.BAD_REQUEST, "a text frame in a Protobuf session")

    async def receive_binary(self, session: Session, frame: bytes) -> None:
        """See `Conversation.receive_binary`."""
        await receive(session, frame, decode_frame)


_JSON: Final = _JsonConversation()
_PROTOBUF: Final = _ProtobufConversation()
_BY_SUBPROTOCOL: Final[dict[str, Conversation]] = {
    SUBPROTOCOL: _JSON,
    PROTOBUF_SUBPROTOCOL: _PROTOBUF,
}


async def serve_websocket(request: web.Request) -> web.StreamResponse:
    """Serve one client of the client protocol until it leaves or is told to go.

    Raises:
        HTTPException: it is no WebSocket handshake that is welcome here.

    Cancelling: the connection is cut off.
    """
    pings_by_frame = request.query.get("cf_ws_frame_ping_pong") == "true"
    return await converse(request, _conversation(request), pings_by_frame=pings_by_frame)


def _conversation(request: web.Request) -> Conversation:
    """What the client wants to speak: the first subprotocol it offers that is known, else what its
    URL says, else JSON.
    """
    # Of several such headers aiohttp answers the first.
    for offer in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        known = _BY_SUBPROTOCOL.get(offer.strip())
        if known is not None:
            return known
    is_protobuf = "protobuf" in (request.query.get("format"), request.query.get("cf_protocol"))
    return _PROTOBUF if is_protobuf else _JSON


async def converse(
    request: web.Request,
    conversation: Conversation,
    *,
    pings_by_frame: bool,
    farewell: Farewell = frame_close,
) -> web.StreamResponse:
    """Serve one client until it leaves or is told to go.

    Raises:
        HTTPException: it is no WebSocket handshake that is welcome here.

    Cancelling: the connection is cut off.
    """
    parts = request.app[PARTS]
    _check_handshake(request, parts)
    websocket = FrameReader(
        protocols=conversation.subprotocols,
        compress=False,
        # aiohttp refuses a message of just this size too.
        max_msg_size=parts.config.client.message_size_limit + 1,
        heartbeat=None,
        autoping=False,
        autoclose=False,
        decode_text=False,
        timeout=max(_GRACE_SECONDS),
    )
    await websocket.prepare(request)
    transport = request.transport
    if transport is None:
        return websocket
    outbox = Outbox(transport, parts.flusher, parts.config.client.queue_max_size)
    line = WebSocketLine(
        transport, outbox, parts.jitter, pings_by_frame=pings_by_frame, farewell=farewell
    )
    session = Session(parts, line, outbox, conversation.encoding)
    session.arrival = find_arrival(request, parts.config.app)
    try:
        await _serve(websocket, session, conversation)
    except Exception:  # noqa: BLE001  (the supervisor of one session: its failure ends it alone)
        _log.exception("a session failed", user=session.user, remote=session.remote)
        session.disconnect(Disconnect.INTERNAL)
    finally:
        session.leave()
        line.end()
        await websocket.release()
    return websocket


async def _serve(websocket: FrameReader, session: Session, conversation: Conversation) -> None:
    """Take what the client sends until the connection ends."""
    await conversation.open(session)
    # No variable here holds a message: it would live on until the next one comes.
    taken = 0
    while await _take(session, conversation, await websocket.receive()):
        taken += 1
        if taken % _MESSAGES_A_TURN == 0:
            await asyncio.sleep(0)


async def _take(
    session: Session, conversation: Conversation, message: WSMessageNoDecodeText
) -> bool:
    """Take one message; answer whether the connection goes on."""
    if message.type is WSMsgType.TEXT:
        if session.is_over:
            return True
        if not _is_utf8(message.data):
            return _fail(session, WSCloseCode.INVALID_TEXT, "a text that is not UTF-8")
        await conversation.receive(session, message.data)
        return True
    if message.type is WSMsgType.BINARY:
        if not session.is_over:
            await conversation.receive_binary(session, message.data)
        return True
    return _take_other(session, message.type, message.data)


def _take_other(session: Session, kind: WSMsgType, content: Any) -> bool:
    """Take a control frame; answer whether the connection goes on."""
    match kind:
        case WSMsgType.PING:
            if not session.outbox.offer(frame_pong(content)):
                session.disconnect(Disconnect.SLOW)
        case WSMsgType.PONG:
            session.take_pong()
        case WSMsgType.CLOSE:
            _answer_close(session, content)
            return False
        case WSMsgType.ERROR if isinstance(content, WebSocketError):
            return _fail(session, content.code, str(content))
        case _:
            return False
    return True


def _is_utf8(text: bytes) -> bool:
    # aiohttp, which was told not to decode texts, does not look (RFC 6455 §8.1).
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _fail(session: Session, code: int, why: str) -> Literal[False]:
    """End a connection that does not keep to WebSockets' own rules (RFC 6455 §7.1.7)."""
    if not session.is_over:
        session.parts.measures.disconnects.add(code)
        _log.info(
            "session ended by the server",
            code=int(code),
            reason=WSCloseCode(code).name.lower().replace("_", " "),
            why=why,
            user=session.user,
            remote=session.remote,
        )
    session.leave(int(code))
    session.outbox.close(frame_close(code))
    return False


def _answer_close(session: Session, code: int) -> None:
    """Close from our side too, with the client's code (RFC 6455 §5.5.1), unless we did first."""
    if code != NO_CODE and not is_close_code(code):
        _fail(session, WSCloseCode.PROTOCOL_ERROR, f"a close with the code {code}")
        return
    # The others are for us to give.
    session.leave(code if code < _OUR_CODES else NO_CODE)
    session.outbox.close(frame_close(code))


def _check_handshake(request: web.Request, parts: Parts) -> None:
    """Whether the handshake goes on.

    Raises:
        HTTPException: it does not.
    """
    # Two of them are none that is allowed, whatever the first one is.
    origins = request.headers.getall("Origin", ())
    origin = ", ".join(origins) if origins else None
    if not may_connect_from(origin, parts.config.client.allowed_origins):
        reject(request, parts, "origin", setting="client.allowed_origins", origin=origin)
        raise web.HTTPForbidden(text="origin not allowed\n")
    if request.headers.get("Upgrade", "").strip().lower() == "websocket" and (
        request.headers.get(_VERSION_HEADER, "").strip() != "13"
    ):
        reject(request, parts, "version")
        raise web.HTTPUpgradeRequired(headers={_VERSION_HEADER: "13"}, text="version 13 only\n")
    if parts.sessions.is_draining:
        raise web.HTTPServiceUnavailable(text="shutting down\n", headers={"Retry-After": "1"})
    if parts.sessions.is_full:
        reject(request, parts, "limit", setting="client.connection_limit")
        raise web.HTTPServiceUnavailable(text="too many sessions\n", headers={"Retry-After": "5"})


def reject(request: web.Request, parts: Parts, reason: str, **facts: str | None) -> None:
    """Note a connection that is refused; `setting` names what would let it in."""
    parts.measures.rejected_handshakes.add(reason)
    _log.warning("connection rejected", reason=reason, remote=request.remote, **facts)
