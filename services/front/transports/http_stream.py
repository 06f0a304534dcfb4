"""`POST /connection/http_stream`: the client protocol in a response that does not end.

In lines of JSON, or by the request's content type in Protobuf messages. The request's body is the
first frame; what the client sends later comes by `emulation`.
"""

from typing import Final

from aiohttp import web

from services.front.encodings.http_json import CHUNKED_LINES, LINES
from services.front.encodings.http_protobuf import CHUNKED_MESSAGES, MESSAGES
from services.front.receiving import receive
from services.front.session import Session
from services.front.transports.requests import (
    check_origin,
    check_room,
    is_binary,
    preflight,
    read_body,
)
from services.front.transports.streaming import Spoken, stream
from services.front.transports.websocket import PARTS
from services.wire.protobuf_commands import decode_frame

JSON_CONTENT_TYPE: Final = "application/json; charset=utf-8"

answer_http_stream_preflight = preflight("POST, OPTIONS")


async def serve_http_stream(request: web.Request) -> web.StreamResponse:
    """Serve one client until it leaves or is told to go.

    Raises:
        HTTPException: it is no request that is welcome here.

    Cancelling: the connection is cut off.
    """
    return await stream_body(request, _PROTOBUF if is_binary(request) else _JSON)


async def stream_body(request: web.Request, spoken: Spoken) -> web.StreamResponse:
    """Serve one client whose first frame is its request's body.

    Raises:
        HTTPException: it is no request that is welcome here.

    Cancelling: the connection is cut off.
    """
    parts = request.app[PARTS]
    headers = check_origin(request, parts)
    check_room(request, parts, headers)
    frame = await read_body(request, parts, parts.config.client.message_size_limit, headers)
    return await stream(request, parts, spoken, headers, frame)


async def _receive_protobuf(session: Session, frame: bytes) -> None:
    await receive(session, frame, decode_frame)


_JSON: Final = Spoken(JSON_CONTENT_TYPE, CHUNKED_LINES, LINES, receive)
_PROTOBUF: Final = Spoken("application/octet-stream", CHUNKED_MESSAGES, MESSAGES, _receive_protobuf)
