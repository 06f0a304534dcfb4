"""`POST /connection/poll`: the client protocol for clients that have nothing else; docs/polling.md.

    {"session":"…","node":"…","ack":n,"sent":m,"data":"commands, with newlines between them"}
    {"session":"…","node":"…","seq":n,"taken":m,"data":"replies and pushes, a newline after each"}

Rules
- Without a session one begins, on the front that was reached.
- A request whose connection ends is noticed at once: its session has to be asked for again.

Not here: what a request gets (`services.front.parked`).
"""

import asyncio
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from services.front.errands import Answer
from services.front.parked import UNNUMBERED, Poll
from services.front.parking import Parking
from services.front.transports.arriving import find_arrival
from services.front.transports.emulation import ID_CHARACTERS_AT_MOST, envelope_limit
from services.front.transports.requests import (
    check_origin,
    check_room,
    check_size,
    preflight,
    read_body,
)
from services.front.transports.streaming import watching
from services.front.transports.websocket import PARTS

PARKING: Final = web.AppKey("parking", Parking)

answer_poll_preflight = preflight("POST, OPTIONS")

_LARGEST: Final = 2**62


class _Asked(msgspec.Struct, frozen=True):
    session: str = ""
    node: str = ""
    ack: int = 0
    sent: int = UNNUMBERED
    data: str = ""
    leave: bool = False


_decode = msgspec.json.Decoder(_Asked).decode


async def serve_poll(request: web.Request) -> web.Response:
    """Answer one request, when there is something to tell or it has waited for long enough.

    Raises:
        HTTPException: it is no request that is welcome here.

    Cancelling: what was to be told is told to the next request.
    """
    parts = request.app[PARTS]
    headers = check_origin(request, parts)
    asked = _read(await read_body(request, parts, envelope_limit(parts), headers), headers)
    poll = Poll(asked.ack, asked.sent, asked.data.encode(), asked.leave)
    check_size(poll.commands, parts.config.client.message_size_limit, headers)
    node, session = asked.node, asked.session
    parking = request.app[PARKING]
    if not session:
        check_room(request, parts, headers)
        node, session = parking.begin(request.remote or "", find_arrival(request, parts.config.app))
    answer = await _answer(request, parking, node, session, poll)
    headers |= {"Cache-Control": "no-store", "Content-Type": "application/json"}
    if answer.status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    return web.Response(status=answer.status, body=answer.body, headers=headers)


async def _answer(
    request: web.Request, parking: Parking, node: str, session: str, poll: Poll
) -> Answer:
    transport, task = request.transport, asyncio.current_task()
    assert transport is not None
    assert task is not None
    # As aiohttp does it, where it is asked to do so for all requests.
    with watching(transport, task.cancel):
        return await parking.poll(node, session, poll)


def _read(body: bytes, headers: dict[str, str]) -> _Asked:
    """A request's body.

    Raises:
        HTTPBadRequest: it is none.
    """
    try:
        asked = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise web.HTTPBadRequest(
            text="not a poll; see docs/polling.md\n", headers=headers
        ) from None
    numbers = range(UNNUMBERED, _LARGEST)
    if asked.ack not in numbers or asked.sent not in numbers:
        raise web.HTTPBadRequest(text="ack and sent are counts\n", headers=headers)
    if not asked.session and not asked.data:
        raise web.HTTPBadRequest(text="the first poll sends a connect\n", headers=headers)
    if max(len(asked.session), len(asked.node)) > ID_CHARACTERS_AT_MOST:
        raise web.HTTPBadRequest(text="no such ids\n", headers=headers)
    return asked
