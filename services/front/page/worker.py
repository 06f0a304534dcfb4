"""`POST /demo/kill-worker`: has `make up` kill its worker and start it again some seconds later.

Rules
- Only where `page.worker_control` names the socket that `make up` listens on.
- Only for a page of this very front, whose origin may connect: no other page makes a browser do it.

Not here: the killing (`services.up`).
"""

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import orjson
import structlog
from aiohttp import web

from services.front.transports.websocket import PARTS
from services.origins import may_connect_from

_log = structlog.get_logger(__name__)

AWAY_SECONDS: Final = 5.0
"""Long enough to see the pool fill; publishes that wait for their outcome are given up after 4."""
_ANSWER_SECONDS: Final = 2.0


class NoAnswer(Exception):
    """Nobody listens on the socket, or what is there does not do it."""


class WorkerControl:
    """The way to whoever runs the worker."""

    def __init__(self, path: str, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._monotonic = monotonic
        self._away_until_seconds = 0.0

    @property
    def is_there(self) -> bool:
        """Whether somebody runs the worker who can be told to kill it."""
        return bool(self._path)

    @property
    def is_away(self) -> bool:
        """Whether the worker was killed from here and is not started again yet."""
        return self._monotonic() < self._away_until_seconds

    async def kill(self) -> None:
        """Have the worker killed, and started again after `AWAY_SECONDS`.

        Raises:
            NoAnswer: it was not killed.

        Cancelling: it may have been killed.
        """
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = await _ask(self._path, f"kill {AWAY_SECONDS:g}\n".encode())
        except (OSError, ValueError) as error:
            raise NoAnswer(str(error) or type(error).__name__) from error
        if answer != b"killed\n":
            raise NoAnswer(answer.decode(errors="replace").strip())
        self._away_until_seconds = self._monotonic() + AWAY_SECONDS


async def _ask(path: str, question: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(question)
        return await reader.readline()
    finally:
        writer.close()


WORKER: Final = web.AppKey("worker_control", WorkerControl)


async def answer_kill_worker(request: web.Request) -> web.Response:
    """Kill the worker for the page's visitor.

    Raises:
        HTTPException: it is not asked by a page of ours, or it cannot be done.
    """
    if not _is_asked_by_our_page(request):
        raise web.HTTPForbidden(text="not from this page\n")
    control = request.app[WORKER]
    if not control.is_there:
        raise web.HTTPNotFound(text="there is no worker that could be killed from here\n")
    try:
        await control.kill()
    except NoAnswer as error:
        _log.warning("worker not killed", reason=str(error))
        raise web.HTTPServiceUnavailable(text="not now\n") from error
    _log.info("worker killed for the demo page", again_in_seconds=AWAY_SECONDS)
    return web.Response(
        body=orjson.dumps({"away_seconds": AWAY_SECONDS}), content_type="application/json"
    )


def _is_asked_by_our_page(request: web.Request) -> bool:
    origin = request.headers.get("Origin")
    # The allow-list too: an attacker's name may point to this machine (DNS rebinding).
    allowed = request.app[PARTS].config.client.allowed_origins
    return (
        origin is not None
        and urlsplit(origin).netloc == request.headers.get("Host")
        and may_connect_from(origin, allowed)
    )
