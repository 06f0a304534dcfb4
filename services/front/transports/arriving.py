"""What a client's request tells the team's connect handler.

Rules: headers are told only if the settings name them, for they hold secrets, such as cookies;
nothing is kept where there is no connect handler.
"""

from aiohttp import web

from services.front.arrival import Arrival
from services.settings import AppConfig

# At the beginning alone: a plain client names any channel in its path.
_CONNECTION = "/connection/"
_PLAIN = "plain"


def find_arrival(request: web.Request, app: AppConfig) -> Arrival | None:
    """How a client came; None if nobody wants to know."""
    if not app.connect_handler:
        return None
    headers = {
        name.lower(): ", ".join(request.headers.getall(name))
        for name in app.connect_headers
        if name in request.headers
    }
    path = request.path
    transport = path.removeprefix(_CONNECTION) if path.startswith(_CONNECTION) else _PLAIN
    return Arrival(transport, request.headers.get("Origin", ""), headers)
