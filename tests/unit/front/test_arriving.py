"""What the team's handlers are told of how a client came, and how it went, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from broker.embedded import EmbeddedBroker
from forebay.hooks import ConnectAsk, LeaveNote, decode_hook
from services.front.listening import open_sockets
from services.front.run import run_front
from services.worker.app import run_worker
from services.worker.counting import WorkerCounters
from services.worker.handling.interface import Kind
from tests.unit.front.handlers import Handlers, passes, refuses
from tests.unit.front.stage import open_config

HEADERS = {"Origin": "https://example.org", "Cookie": "a=1", "X-Trace": "7", "X-Secret": "s"}
CONFIG = open_config(
    app={
        "connect_handler": True,
        "disconnect_handler": True,
        "connect_headers": ["cookie", "X-Trace", "X-Absent"],
    },
    client={"allowed_origins": ["https://example.org"]},
    front={"drain_seconds": 0},
    plain={"enabled": True},
    uni_sse={"enabled": True},
)


@pytest_asyncio.fixture
async def asked() -> AsyncIterator[tuple[str, Handlers]]:
    """A front's address, and the handlers that refuse all who come."""
    handlers = Handlers({Kind.CONNECT: refuses(103, "no")})
    broker = EmbeddedBroker({"main": 1})
    sockets = open_sockets("127.0.0.1", 0)
    stop, worker_stop = asyncio.Event(), asyncio.Event()
    async with (
        broker.open() as access,
        broker.open() as for_worker,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(run_worker(CONFIG, for_worker, worker_stop, WorkerCounters(), handlers))
        tasks.create_task(run_front(CONFIG, access, sockets, stop))
        yield f"127.0.0.1:{sockets[0].getsockname()[1]}", handlers
        stop.set()
        worker_stop.set()


async def come(address: str, transport: str, handlers: Handlers) -> None:
    """Come by a transport, and wait until the handler was asked."""
    connect = json.dumps({"id": 1, "connect": {}})
    http = f"http://{address}/connection/{transport}"
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        match transport:
            case "plain":
                async with session.ws_connect(f"ws://{address}/ws/plain:a"):
                    await is_asked(handlers)
            case "websocket":
                async with session.ws_connect(f"ws://{address}/connection/websocket") as socket:
                    await socket.send_str(connect)
                    await is_asked(handlers)
            case "poll":
                async with session.post(http, json={"data": connect}) as response:
                    await response.read()
            case "sse":
                async with session.get(http, params={"cf_connect": connect}):
                    await is_asked(handlers)
            case "uni_sse":
                async with session.get(http, params={"cf_connect": "{}"}):
                    await is_asked(handlers)
            case _:
                async with session.post(http, data=connect):
                    await is_asked(handlers)


async def is_asked(handlers: Handlers) -> None:
    while not handlers.asked:  # noqa: ASYNC110  (nothing tells)
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "transport", ["websocket", "http_stream", "sse", "poll", "uni_sse", "plain"]
)
async def test_the_handler_is_told_how_a_client_came_and_of_the_headers_that_are_named(
    asked: tuple[str, Handlers], transport: str
) -> None:
    address, handlers = asked
    async with asyncio.timeout(10):
        await come(address, transport, handlers)
    ask = decode_hook(handlers.asked[0].data, ConnectAsk)
    assert ask.transport == transport
    assert ask.origin == "https://example.org"
    assert ask.headers == {"cookie": "a=1", "x-trace": "7"}
    assert ask.remote == "127.0.0.1"


async def test_a_plain_client_cannot_say_by_its_channel_that_it_came_otherwise(
    asked: tuple[str, Handlers],
) -> None:
    address, handlers = asked
    url = f"ws://{address}/ws/plain:a/connection/websocket"
    async with (
        asyncio.timeout(10),
        aiohttp.ClientSession(headers=HEADERS) as session,
        session.ws_connect(url),
    ):
        await is_asked(handlers)
    assert decode_hook(handlers.asked[0].data, ConnectAsk).transport == "plain"


@pytest.mark.parametrize(
    ("closes_with", "told"),
    [(1000, 1000), (4501, 0), (None, 0)],
    ids=["by itself", "with a code of ours", "without a word"],
)
async def test_the_handler_is_told_with_what_code_a_client_has_left(
    asked: tuple[str, Handlers], closes_with: int | None, told: int
) -> None:
    address, handlers = asked
    handlers.handlers = {Kind.CONNECT: passes, Kind.DISCONNECT: passes}
    async with asyncio.timeout(10), aiohttp.ClientSession(headers=HEADERS) as session:
        socket = await session.ws_connect(f"ws://{address}/connection/websocket")
        await socket.send_str('{"id":1,"connect":{}}')
        await socket.receive()
        if closes_with is None:
            await session.close()
        else:
            await socket.close(code=closes_with)
        while len(handlers.asked) < 2:  # noqa: ASYNC110  (nothing tells)
            await asyncio.sleep(0.001)
    assert decode_hook(handlers.asked[1].data, LeaveNote).code == told
