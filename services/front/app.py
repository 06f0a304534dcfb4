"""The front's HTTP application: its routes."""

from aiohttp import web

from services.front.health import answer_health, answer_live, answer_ready
from services.front.page.page import add_page
from services.front.parking import Parking
from services.front.parts import Parts
from services.front.transports.emulation import answer_emulation_preflight, serve_emulation
from services.front.transports.http_stream import (
    answer_http_stream_preflight,
    serve_http_stream,
)
from services.front.transports.one_way import (
    serve_uni_http_stream,
    serve_uni_sse,
    serve_uni_websocket,
)
from services.front.transports.plain import PlainWebSockets
from services.front.transports.poll import PARKING, answer_poll_preflight, serve_poll
from services.front.transports.sse import answer_sse_preflight, serve_sse
from services.front.transports.websocket import PARTS, serve_websocket


def build_app(parts: Parts) -> web.Application:
    """Put the application together."""
    app = web.Application()
    app[PARTS] = parts
    app.router.add_get("/connection/websocket", serve_websocket, allow_head=False)
    app[PARKING] = Parking(parts, parts.errands)
    _add_http_transports(app.router)
    _add_one_way_transports(app.router)
    plain = PlainWebSockets(parts)
    app.router.add_get("/", plain.serve_root)
    app.router.add_get("/ws/{channel:.+}", plain.serve_channel, allow_head=False)
    app.router.add_get("/health", answer_health)
    app.router.add_get("/health/live", answer_live)
    app.router.add_get("/health/ready", answer_ready)
    add_page(app, parts)
    return app


def _add_http_transports(router: web.UrlDispatcher) -> None:
    router.add_post("/connection/http_stream", serve_http_stream)
    router.add_options("/connection/http_stream", answer_http_stream_preflight)
    router.add_get("/connection/sse", serve_sse, allow_head=False)
    router.add_post("/connection/sse", serve_sse)
    router.add_options("/connection/sse", answer_sse_preflight)
    router.add_post("/connection/poll", serve_poll)
    router.add_options("/connection/poll", answer_poll_preflight)
    router.add_post("/emulation", serve_emulation)
    router.add_options("/emulation", answer_emulation_preflight)


def _add_one_way_transports(router: web.UrlDispatcher) -> None:
    router.add_get("/connection/uni_websocket", serve_uni_websocket, allow_head=False)
    router.add_get("/connection/uni_sse", serve_uni_sse, allow_head=False)
    router.add_post("/connection/uni_sse", serve_uni_sse)
    router.add_options("/connection/uni_sse", answer_sse_preflight)
    router.add_post("/connection/uni_http_stream", serve_uni_http_stream)
    router.add_options("/connection/uni_http_stream", answer_http_stream_preflight)
