"""`GET /ws/{channel}`, and a WebSocket on `/`: text in, text out, without a protocol.

Rules
- Closed unless `plain.enabled` says otherwise.
- A token comes in the header `Authorization: Bearer …`, never in the URL, which ends in logs.

Not here: the handshake and its checks (`websocket`), what is said (`services.front.plain`).
"""

from typing import Final

from aiohttp import web

from services.front.page.page import serve_page
from services.front.parts import Parts
from services.front.plain.answers import PlainAnswers
from services.front.plain.conversation import PlainConversation
from services.front.plain.encoding import PlainText
from services.front.transports.websocket import converse, reject
from services.template import Template

LOBBY: Final = "lobby"
"""The channel of the bare address."""

_BEARER: Final = "bearer "


class PlainWebSockets:
    """Serves the plain clients of a process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._encoding = PlainText(Template(parts.config.plain.relay))
        self._answers = PlainAnswers(parts.config.plain)

    async def serve_channel(self, request: web.Request) -> web.StreamResponse:
        """Serve a client of the channel that the path names.

        Raises:
            HTTPException: it is no WebSocket handshake that is welcome here.

        Cancelling: the connection is cut off.
        """
        return await self._serve(request, request.match_info["channel"])

    async def serve_root(self, request: web.Request) -> web.StreamResponse:
        """Serve a client of the lobby if it is a WebSocket handshake, and the page if it is not.

        Raises:
            HTTPException: it is neither, or there is no page here.

        Cancelling: the connection is cut off.
        """
        is_upgrade = request.headers.get("Upgrade", "").strip().lower() == "websocket"
        if is_upgrade and request.method == "GET":  # RFC 6455 §4.2.1
            return await self._serve(request, LOBBY)
        return await serve_page(request)

    async def _serve(self, request: web.Request, channel: str) -> web.StreamResponse:
        if not self._parts.config.plain.enabled:
            reject(request, self._parts, "plain", setting="plain.enabled")
            raise web.HTTPNotFound(text="plain WebSockets are not served here\n")
        conversation = PlainConversation(self._encoding, self._answers, channel, _token(request))
        return await converse(request, conversation, pings_by_frame=True)


def _token(request: web.Request) -> str:
    credentials = request.headers.get("Authorization", "")
    if credentials[: len(_BEARER)].lower() != _BEARER:
        return ""
    return credentials[len(_BEARER) :].strip()
