"""The front's HTTP application: its routes."""

from aiohttp import web

from services.front.health import answer_health, answer_live, answer_ready
from services.front.page.page import add_page
from services.front.parts import Parts
from services.front.transports.plain import PlainWebSockets
from services.front.transports.websocket import PARTS, serve_websocket


def build_app(parts: Parts) -> web.Application:
    """Put the application together."""
    app = web.Application()
    app[PARTS] = parts
    app.router.add_get("/connection/websocket", serve_websocket, allow_head=False)
    plain = PlainWebSockets(parts)
    app.router.add_get("/", plain.serve_root)
    app.router.add_get("/ws/{channel:.+}", plain.serve_channel, allow_head=False)
    app.router.add_get("/health", answer_health)
    app.router.add_get("/health/live", answer_live)
    app.router.add_get("/health/ready", answer_ready)
    add_page(app, parts)
    return app
