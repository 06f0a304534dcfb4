"""`POST /emulation`: frames of clients whose connection only goes the other way.

    {"session":"…","node":"…","data":"commands, with newlines between them"}

or, by its content type, the same as a Protobuf message.

Rules: answered as soon as the frame is taken, before it is carried out; what comes of it is told
over the client's stream.

Not here: the order of frames and their way to another front (`services.front.uplinks`).
"""

from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec
from aiohttp import web
from google.protobuf.message import DecodeError

from services.front.parts import Parts
from services.front.transports.requests import (
    check_origin,
    check_size,
    is_binary,
    preflight,
    read_body,
)
from services.front.transports.websocket import PARTS
from services.wire.client_pb2 import EmulationRequest

ID_CHARACTERS_AT_MOST: Final = 100

# A frame in a JSON string has a backslash before each quote.
_ESCAPING: Final = 2
_ENVELOPE_BYTES: Final = 1024

answer_emulation_preflight = preflight("POST, OPTIONS")


class _Emulated(msgspec.Struct, frozen=True):
    session: str
    node: str
    data: str


class _Envelope(NamedTuple):
    session: str
    node: str
    frame: bytes


_decode = msgspec.json.Decoder(_Emulated).decode


async def serve_emulation(request: web.Request) -> web.Response:
    """Bring a frame to the session that it names.

    Raises:
        HTTPException: it is no request that is welcome here.

    Cancelling: the frame may be carried out.
    """
    parts = request.app[PARTS]
    headers = check_origin(request, parts)
    limit_bytes = parts.config.client.message_size_limit
    body = await read_body(request, parts, envelope_limit(parts), headers)
    open_envelope = _open_binary if is_binary(request) else _open_json
    try:
        session, node, frame = open_envelope(body)
    except (msgspec.DecodeError, DecodeError, UnicodeDecodeError, RecursionError):
        raise web.HTTPBadRequest(text="not an emulation request\n", headers=headers) from None
    if max(len(session), len(node)) > ID_CHARACTERS_AT_MOST:
        raise web.HTTPBadRequest(text="no such ids\n", headers=headers)
    check_size(frame, limit_bytes, headers)
    status = await parts.uplinks.deliver(node, session, frame)
    retry = {"Retry-After": "1"} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
    return web.Response(status=status, headers={**headers, **retry})


def envelope_limit(parts: Parts) -> int:
    """How large a body may be that has a frame in it as a JSON string."""
    return _ESCAPING * parts.config.client.message_size_limit + _ENVELOPE_BYTES


def _open_json(body: bytes) -> _Envelope:
    emulated = _decode(body)
    return _Envelope(emulated.session, emulated.node, emulated.data.encode())


def _open_binary(body: bytes) -> _Envelope:
    emulated = EmulationRequest.FromString(body)
    return _Envelope(emulated.session, emulated.node, emulated.data)
