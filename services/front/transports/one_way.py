"""`/connection/uni_websocket`, `…/uni_sse`, `…/uni_http_stream`: clients that are only told things.

They need no SDK: a WebSocket, an EventSource, or `curl` will do. They send one connect request,
with the WebSocket's first message or the request, and are told of everything by bare pushes.

Rules
- Each is closed unless its setting, `uni_websocket.enabled` and so on, says otherwise.
- The Origin is checked, and what may be sent is bounded, as for clients that speak.

Not here: what becomes of the connect request (`services.front.one_way`), what is told
(`encodings.one_way`).
"""

import secrets
from typing import Final

from aiohttp import web

from services.front.encodings.one_way import (
    CHUNKED_ONE_WAY_BLOCKS,
    CHUNKED_ONE_WAY_LINES,
    ONE_WAY_BLOCKS,
    ONE_WAY_FRAMES,
    ONE_WAY_LINES,
)
from services.front.one_way import receive
from services.front.session import Session
from services.front.transports import sse
from services.front.transports.frames import frame_close
from services.front.transports.http_stream import JSON_CONTENT_TYPE, stream_body
from services.front.transports.streaming import Spoken
from services.front.transports.websocket import PARTS, converse, reject
from services.wire.reply import DisconnectPush

_BLOCKS: Final = Spoken(
    sse.CONTENT_TYPE, CHUNKED_ONE_WAY_BLOCKS, ONE_WAY_BLOCKS, receive, answers_pings=False
)
_LINES: Final = Spoken(
    JSON_CONTENT_TYPE, CHUNKED_ONE_WAY_LINES, ONE_WAY_LINES, receive, answers_pings=False
)


async def serve_uni_sse(request: web.Request) -> web.StreamResponse:
    """Tell one client of things in Server-Sent Events, until it leaves or is told to go.

    Raises:
        HTTPException: it is no request that is welcome here.

    Cancelling: the connection is cut off.
    """
    _check_enabled(request, "uni_sse")
    return await sse.stream_events(request, _BLOCKS)


async def serve_uni_http_stream(request: web.Request) -> web.StreamResponse:
    """Tell one client of things in lines of JSON, until it leaves or is told to go.

    Raises:
        HTTPException: it is no request that is welcome here.

    Cancelling: the connection is cut off.
    """
    _check_enabled(request, "uni_http_stream")
    return await stream_body(request, _LINES)


async def serve_uni_websocket(request: web.Request) -> web.StreamResponse:
    """Tell one client of things in text frames, until it leaves or is told to go.

    Raises:
        HTTPException: it is no WebSocket handshake that is welcome here.

    Cancelling: the connection is cut off.
    """
    _check_enabled(request, "uni_websocket")
    # What was percent-encoded and is no UTF-8 came as lone surrogates, which the codec refuses.
    given = request.query.get("cf_connect", "").encode(errors="surrogatepass")
    return await converse(
        request, _Listening(given), pings_by_frame=False, farewell=_frame_disconnect
    )


class _Listening:
    """See `transports.websocket.Conversation`."""

    encoding = ONE_WAY_FRAMES
    subprotocols = ()

    def __init__(self, connect: bytes) -> None:
        """`connect` is the request that came in the URL; empty: it is the first message."""
        self._connect = connect

    async def open(self, session: Session) -> None:
        """See `Conversation.open`."""
        # As clients of the other transports have one. Nothing can be brought under it.
        session.uplink = secrets.token_urlsafe(18)
        if self._connect:
            await receive(session, self._connect)

    async def receive(self, session: Session, frame: bytes) -> None:
        """See `Conversation.receive`."""
        await receive(session, frame)

    async def receive_binary(self, session: Session, frame: bytes) -> None:
        """See `Conversation.receive_binary`; the request may come so, too."""
        await receive(session, frame)


def _frame_disconnect(code: int, reason: str) -> bytes:
    push = ONE_WAY_FRAMES.encode_push("", DisconnectPush.custom(code, reason))
    return push + frame_close(code, reason)


def _check_enabled(request: web.Request, name: str) -> None:
    """Whether a transport is served.

    Raises:
        HTTPNotFound: it is not.
    """
    parts = request.app[PARTS]
    if not getattr(parts.config, name).enabled:
        reject(request, parts, name, setting=f"{name}.enabled")
        raise web.HTTPNotFound(text=f"{name} is not served here\n")
