"""`/health`, `/health/live` and `/health/ready`: for load balancers, and for people.

Rules: ready stays 200 while publishing is blocked or away: reading goes on, and a broker's alarm
would otherwise take all fronts out at once.
"""

from typing import Any

import orjson
from aiohttp import web

from services.front.parts import Parts
from services.front.transports.websocket import PARTS

_UNCACHED = {"Cache-Control": "no-store"}


async def answer_live(_: web.Request) -> web.Response:
    """200, for the event loop turned."""
    return web.Response(text="live\n", headers=_UNCACHED)


async def answer_ready(request: web.Request) -> web.Response:
    """200 if clients are welcome here, else 503."""
    reason = _why_not_ready(request.app[PARTS])
    status = 503 if reason else 200
    return web.Response(status=status, text=f"{reason or 'ready'}\n", headers=_UNCACHED)


async def answer_health(request: web.Request) -> web.Response:
    """What there is to know, as JSON; with the status of `/health/ready`."""
    parts = request.app[PARTS]
    reason = _why_not_ready(parts)
    report: dict[str, Any] = {
        "ready": not reason,
        "reason": reason,
        "publishing": parts.producer.publishing.value,
        "waiting_entries": parts.producer.waiting_entries,
        "partitions": parts.view.lag(),
        "sessions": len(parts.sessions),
        "subscriptions": parts.hub.subscriptions,
        "channels": len(parts.hub),
        "version": parts.version,
    }
    return web.Response(
        status=503 if reason else 200,
        body=orjson.dumps(report),
        content_type="application/json",
        headers=_UNCACHED,
    )


def _why_not_ready(parts: Parts) -> str:
    if parts.sessions.is_draining:
        return "draining"
    return "" if parts.view.is_caught_up else "catching up"
