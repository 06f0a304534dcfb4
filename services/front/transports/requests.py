"""What the transports over plain HTTP requests share: who may ask, preflights, bodies.

Rules
- The Origin is checked before anything else, as for WebSockets, and every answer to an allowed one
  says so: a page cannot read any other, an error neither.
- A body is read within a limit and a time, whatever its headers promise.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from services.front.parts import Parts
from services.front.transports.websocket import PARTS, reject
from services.origins import may_connect_from

# How long a browser may remember a preflight's answer.
_PREFLIGHT_SECONDS: Final = 300

_BINARY: Final = "application/octet-stream"


def is_binary(request: web.Request) -> bool:
    """Whether the client says that it speaks Protobuf; without a content type it speaks JSON."""
    # aiohttp's own `content_type` is this one where there is none.
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == _BINARY


def check_origin(request: web.Request, parts: Parts) -> dict[str, str]:
    """The headers that let a page of an allowed origin read the answer.

    Raises:
        HTTPForbidden: the origin is not allowed.
    """
    # Two of them are none that is allowed, whatever the first one is.
    origins = request.headers.getall("Origin", ())
    origin = ", ".join(origins) if origins else None
    if not may_connect_from(origin, parts.config.client.allowed_origins):
        reject(request, parts, "origin", setting="client.allowed_origins", origin=origin)
        raise web.HTTPForbidden(text="origin not allowed\n")
    headers = {"Vary": "Origin"}
    if origin is not None:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Allow-Credentials"] = "true"
    return headers


def check_room(request: web.Request, parts: Parts, headers: dict[str, str]) -> None:
    """Whether another session may begin.

    Raises:
        HTTPServiceUnavailable: none may.
    """
    if parts.sessions.is_draining:
        raise web.HTTPServiceUnavailable(
            text="shutting down\n", headers={**headers, "Retry-After": "1"}
        )
    if parts.sessions.is_full:
        reject(request, parts, "limit", setting="client.connection_limit")
        raise web.HTTPServiceUnavailable(
            text="too many sessions\n", headers={**headers, "Retry-After": "5"}
        )


def preflight(methods: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler that answers a browser's question what it may send (WHATWG Fetch §3.2.2)."""

    async def answer(request: web.Request) -> web.Response:
        headers = check_origin(request, request.app[PARTS])
        headers["Access-Control-Allow-Methods"] = methods
        headers["Access-Control-Max-Age"] = str(_PREFLIGHT_SECONDS)
        asked = request.headers.get("Access-Control-Request-Headers")
        if asked:
            headers["Access-Control-Allow-Headers"] = asked
        return web.Response(status=204, headers=headers)

    return answer


async def read_body(
    request: web.Request, parts: Parts, limit_bytes: int, headers: dict[str, str]
) -> bytes:
    """The body of a request.

    Raises:
        HTTPException: 413, it is too large; 408, it did not come in time; 400, it broke off.
    """
    if request.content_length is not None and request.content_length > limit_bytes:
        raise _too_large(limit_bytes, request.content_length, headers)
    body = bytearray()
    try:
        async with asyncio.timeout(parts.config.client.stale_close_delay):
            while piece := await request.content.readany():
                body += piece
                if len(body) > limit_bytes:
                    raise _too_large(limit_bytes, len(body), headers)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the body did not come\n", headers=headers) from None
    except (ConnectionError, web.RequestPayloadError):
        raise web.HTTPBadRequest(text="the body broke off\n", headers=headers) from None
    return bytes(body)


def check_size(frame: bytes, limit_bytes: int, headers: dict[str, str]) -> None:
    """Whether the frame in a body is one that may be sent.

    Raises:
        HTTPRequestEntityTooLarge: it is not.
    """
    if len(frame) > limit_bytes:
        raise _too_large(limit_bytes, len(frame), headers)


def _too_large(
    limit_bytes: int, size_bytes: int, headers: dict[str, str]
) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(
        limit_bytes,
        size_bytes,
        text="too large; see client.message_size_limit\n",
        headers=headers,
    )
