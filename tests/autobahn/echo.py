"""An echo server on the front's own WebSocket stack: `serving_echo`.

Only what is said over a connection is another: handshake, reading, limits, outbox, control frames
and close codes are the front's (`services.front.transports.websocket`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from broker.embedded import EmbeddedBroker
from broker.local.ports import HOST
from services.config import load_config
from services.front.admission import Admission
from services.front.connecting import begin, identify
from services.front.encodings.websocket_json import WEBSOCKET_JSON
from services.front.listening import listening, open_sockets
from services.front.run import assemble, running
from services.front.session import Session
from services.front.transports.frames import frame_binary, frame_text
from services.front.transports.websocket import PARTS, converse
from services.settings import Config

MIB: Final = 1 << 20
# The largest cases send 16 MiB, which is beyond what may be set; and they send many messages before
# they read the first echo.
MESSAGE_BYTES: Final = 16 * MIB
QUEUE_BYTES: Final = 64 * MIB


class EchoConversation:
    """See `transports.websocket.Conversation`: gives back what it gets."""

    encoding = WEBSOCKET_JSON
    subprotocols = ()

    async def open(self, session: Session) -> None:
        """See `Conversation.open`; whoever comes is let in, so that nobody is stale."""
        begin(session, Admission(identify(session, "")))

    async def receive(self, session: Session, frame: bytes) -> None:
        """See `Conversation.receive`."""
        session.say(frame_text(frame))

    async def receive_binary(self, session: Session, frame: bytes) -> None:
        """See `Conversation.receive_binary`."""
        session.say(frame_binary(frame))


_ECHO: Final = EchoConversation()


@asynccontextmanager
async def serving_echo() -> AsyncIterator[int]:
    """Serve echoes until the context ends; gives the port."""
    config = _config()
    broker = EmbeddedBroker({name: lane.partitions for name, lane in config.lanes.items()})
    async with broker.open() as access:
        fanout, parts = assemble(config, access)
        app = web.Application()
        app[PARTS] = parts
        app.router.add_get("/", _serve, allow_head=False)
        sockets = open_sockets(HOST, 0)
        port: int = sockets[0].getsockname()[1]
        async with running(parts, fanout), listening(app, sockets, config.front.backlog):
            yield port


async def _serve(request: web.Request) -> web.StreamResponse:
    return await converse(request, _ECHO, pings_by_frame=True)


def _config() -> Config:
    config = load_config(
        environ={},
        defaults={
            "lanes": {"main": {"partitions": 1}},
            "client": {
                "allow_anonymous_connect_without_token": True,
                "ping_interval": 3600,  # the suite does not expect to be asked
            },
        },
    )
    limits = {"message_size_limit": MESSAGE_BYTES, "queue_max_size": QUEUE_BYTES}
    client = config.client.model_copy(update=limits)
    return config.model_copy(update={"client": client})
