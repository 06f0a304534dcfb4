"""`GET /demo/path`: the path of a message, in figures, for the page to draw.

Rules: computed when it is asked for, from what is counted anyway; totals, not rates, for only the
page knows how often it asks.
"""

from typing import Any, Final

import orjson
from aiohttp import web

from broker.interface import Publishing
from services.front.page.worker import WORKER
from services.front.parts import Parts
from services.front.transports.websocket import PARTS

# Long enough that a figure can be read, short enough that it tells of what is going on.
_RECENT_SECONDS: Final = 5.0
# A worker settles within milliseconds; what has been on its way for so long waits for one.
_UNATTENDED_SECONDS: Final = 1.0


async def answer_path(request: web.Request) -> web.Response:
    """What is on its way at this front, and what has been."""
    control = request.app[WORKER]
    report = describe_path(request.app[PARTS], is_worker_killed=control.is_away)
    report["can_kill_worker"] = control.is_there
    return web.Response(
        body=orjson.dumps(report),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def describe_path(parts: Parts, *, is_worker_killed: bool) -> dict[str, Any]:
    """The figures of this front: its own sessions, and its own part of what is in the pool."""
    producer, measures = parts.producer, parts.measures
    return {
        "front": producer.id,
        "at_seconds": parts.monotonic(),
        "publishing": producer.publishing.value,
        "worker": _worker(parts, is_killed=is_worker_killed),
        "waiting_entries": producer.waiting_entries,
        "pool_entries": producer.unsettled_entries,
        "offered": measures.entries.value,
        "settled": producer.settled_entries,
        "deliveries": measures.deliveries.value,
        "sessions": len(parts.sessions),
        "subscriptions": parts.hub.subscriptions,
        "trip_ms": _trip_ms(producer.trips(_RECENT_SECONDS)),
        "is_caught_up": parts.view.is_caught_up,
        "unanswered_publish_limit": parts.config.client.unanswered_publish_limit,
        "version": parts.version,
    }


def _worker(parts: Parts, *, is_killed: bool) -> str:
    if is_killed:
        return "away"
    if parts.producer.publishing is not Publishing.OPEN:
        return "unknown"
    return "away" if parts.producer.unsettled_seconds > _UNATTENDED_SECONDS else "live"


def _trip_ms(trips: list[float]) -> dict[str, float] | None:
    """From a front to the pool, the worker, the log and back: half of the batches and all but a
    hundredth of them take no longer.
    """
    if not trips:
        return None
    trips.sort()
    last = len(trips) - 1
    return {
        "median": round(trips[last // 2] * 1000, 2),
        "p99": round(trips[round(last * 0.99)] * 1000, 2),
    }
