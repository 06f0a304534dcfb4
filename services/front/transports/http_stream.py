"""`POST /connection/http_stream`: the client protocol in lines of a response that does not end.

The request's body is the first frame; what the client sends later comes by `emulation`.
"""

from aiohttp import web

from services.front.encodings.http_json import CHUNKED_LINES, LINES
from services.front.receiving import receive
from services.front.transports.requests import (
    check_origin,
    check_room,
    is_binary,
    preflight,
    read_body,
)
from services.front.transports.streaming import knows_chunks, stream
from services.front.transports.websocket import PARTS

answer_http_stream_preflight = preflight("POST, OPTIONS")


async def serve_http_stream(request: web.Request) -> web.StreamResponse:
    """Serve one client until it leaves or is told to go.

    Raises:
        HTTPException: it is no request that is welcome here.

    Cancelling: the connection is cut off.
    """
    parts = request.app[PARTS]
    headers = check_origin(request, parts)
    check_room(request, parts, headers)
    if is_binary(request):
        raise web.HTTPUnsupportedMediaType(text="JSON only\n", headers=headers)
    headers_of_all = {**headers, "Content-Type": "application/json; charset=utf-8"}
    return await stream(
        request,
        parts,
        CHUNKED_LINES if knows_chunks(request) else LINES,
        headers_of_all,
        receive,
        await read_body(request, parts, parts.config.client.message_size_limit, headers),
    )
