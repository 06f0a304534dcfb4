"""`/connection/sse`: the client protocol in Server-Sent Events (WHATWG HTML §9.2), in JSON.

Rules
- The first frame is the parameter `cf_connect` of a GET, which is all an EventSource can send, or
  the body of a POST, which unlike a URL ends in no proxy's log.
"""

from typing import Final

from aiohttp import web

from services.front.encodings.http_json import BLOCKS, CHUNKED_BLOCKS
from services.front.parts import Parts
from services.front.receiving import receive
from services.front.transports.requests import check_origin, check_room, preflight, read_body
from services.front.transports.streaming import Spoken, stream
from services.front.transports.websocket import PARTS

CONTENT_TYPE: Final = "text/event-stream"

# An empty line is no event; with it there is a body at once, which some clients wait for.
_OPENING: Final = b"\r\n"

_SPOKEN: Final = Spoken(CONTENT_TYPE, CHUNKED_BLOCKS, BLOCKS, receive)

answer_sse_preflight = preflight("GET, POST, OPTIONS")


async def serve_sse(request: web.Request) -> web.StreamResponse:
    """Serve one client until it leaves or is told to go.

    Raises:
        HTTPException: it is no request that is welcome here.

    Cancelling: the connection is cut off.
    """
    return await stream_events(request, _SPOKEN)


async def stream_events(request: web.Request, spoken: Spoken) -> web.StreamResponse:
    """Serve one client whose first frame is in its URL or its body.

    Raises:
        HTTPException: it is no request that is welcome here.

    Cancelling: the connection is cut off.
    """
    parts = request.app[PARTS]
    headers = check_origin(request, parts)
    check_room(request, parts, headers)
    frame = await _first_frame(request, parts, headers)
    return await stream(request, parts, spoken, headers, frame, opening=_OPENING)


async def _first_frame(request: web.Request, parts: Parts, headers: dict[str, str]) -> bytes:
    if request.method == "POST":
        return await read_body(request, parts, parts.config.client.message_size_limit, headers)
    given = request.query.get("cf_connect", "")
    if not given:
        raise web.HTTPBadRequest(text="cf_connect is missing\n", headers=headers)
    # What was percent-encoded and is no UTF-8 came as lone surrogates, which the codec refuses.
    return given.encode(errors="surrogatepass")
