"""The WebSocket endpoint over real sockets: handshakes, close codes, limits, shutdown."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import websockets
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from broker.embedded import EmbeddedBroker
from services.front.listening import open_sockets
from services.front.run import run_front
from services.settings import Config
from services.worker.app import run_worker
from services.worker.counting import WorkerCounters
from tests.unit.front.stage import open_config

CONFIG = open_config(
    client={"allowed_origins": ["https://example.org"], "message_size_limit": 2048},
    front={"drain_seconds": 0.2},
)


class Front:
    """A front that listens, and how it is told to stop."""

    def __init__(self, port: int, stop: asyncio.Event) -> None:
        self.address = f"127.0.0.1:{port}"
        self.stop = stop

    def connect(self, query: str = "", origin: str | None = None) -> connect:
        return connect(
            f"ws://{self.address}/connection/websocket{query}",
            origin=Origin(origin) if origin else None,
            compression=None,
            ping_interval=None,
            proxy=None,
        )

    async def get(self, path: str) -> tuple[int, bytes]:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://{self.address}{path}") as response,
        ):
            return response.status, await response.read()

    async def is_ready(self) -> bool:
        try:
            return (await self.get("/health/ready"))[0] == 200
        except aiohttp.ClientConnectionError:
            return False


@asynccontextmanager
async def listening_front(config: Config = CONFIG) -> AsyncIterator[Front]:
    broker = EmbeddedBroker({name: lane.partitions for name, lane in config.lanes.items()})
    sockets = open_sockets("127.0.0.1", 0)
    stop, worker_stop = asyncio.Event(), asyncio.Event()
    async with broker.open() as access, broker.open() as worker_access:
        worker = asyncio.create_task(
            run_worker(config, worker_access, worker_stop, WorkerCounters())
        )
        serving = asyncio.create_task(run_front(config, access, sockets, stop))
        front = Front(sockets[0].getsockname()[1], stop)
        async with asyncio.timeout(5):
            while not await front.is_ready():  # noqa: ASYNC110  (asked from outside)
                await asyncio.sleep(0.01)
        try:
            yield front
        finally:
            stop.set()
            await serving
            worker_stop.set()
            await worker


@pytest_asyncio.fixture
async def front() -> AsyncIterator[Front]:
    async with listening_front() as front:
        yield front


async def read(connection: ClientConnection, count: int) -> list[Any]:
    """Replies and pushes, as many as asked for."""
    lines: list[Any] = []
    async with asyncio.timeout(5):
        while len(lines) < count:
            message = await connection.recv(decode=False)
            lines += [json.loads(line) for line in message.split(b"\n")]
    return lines


async def close_of(connection: ClientConnection) -> tuple[int, str]:
    """How the server ended the connection."""
    async with asyncio.timeout(5):
        with suppress(ConnectionClosed):
            while True:
                await connection.recv()
    assert connection.close_code is not None
    return connection.close_code, connection.close_reason or ""


async def test_a_publication_travels_through_everything(front: Front) -> None:
    async with front.connect() as sender, front.connect() as reader:
        await reader.send('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}')
        await read(reader, 2)
        await sender.send('{"id":1,"connect":{}}\n{"id":2,"publish":{"channel":"a","data":"hi"}}')
        assert [reply["id"] for reply in await read(sender, 2)] == [1, 2]
        (push,) = await read(reader, 1)
        assert push["push"]["pub"]["data"] == "hi"


@pytest.mark.parametrize(
    ("origin", "is_welcome"),
    [
        (None, True),
        ("https://example.org", True),
        ("https://example.org.evil.example", False),
        ("http://example.org", False),
        ("null", False),
    ],
)
async def test_only_allowed_origins_come_in(
    front: Front, origin: str | None, is_welcome: bool
) -> None:
    if is_welcome:
        async with front.connect(origin=origin) as connection:
            await connection.send('{"id":1,"connect":{}}')
            await read(connection, 1)
        return
    with pytest.raises(InvalidStatus) as refusal:
        await front.connect(origin=origin)
    assert refusal.value.response.status_code == 403


@pytest.mark.parametrize("version", ["8", "7", "14", ""])
async def test_only_version_13_is_spoken(front: Front, version: str) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": version,
    }
    url = f"http://{front.address}/connection/websocket"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        assert response.status == 426
        assert response.headers["Sec-WebSocket-Version"] == "13"


async def test_what_is_no_handshake_is_refused(front: Front) -> None:
    assert (await front.get("/connection/websocket"))[0] == 400
    assert (await front.get("/nowhere"))[0] == 404


async def test_the_client_protocol_is_offered_as_a_subprotocol(front: Front) -> None:
    async with connect(
        f"ws://{front.address}/connection/websocket",
        subprotocols=[websockets.Subprotocol("centrifuge-json")],
        proxy=None,
    ) as connection:
        assert connection.subprotocol == "centrifuge-json"


async def test_a_disconnect_is_a_close_frame_with_code_and_words(front: Front) -> None:
    async with front.connect() as connection:
        await connection.send("nonsense")
        assert await close_of(connection) == (3501, "bad request")


async def test_a_binary_frame_is_no_json(front: Front) -> None:
    async with front.connect() as connection:
        await connection.send(b"\x00")
        assert (await close_of(connection))[0] == 3501


@pytest.mark.parametrize("size", [2049, 1_000_000])
async def test_a_message_over_the_limit_closes_with_1009(front: Front, size: int) -> None:
    async with front.connect() as connection:
        await connection.send("x" * size)
        assert (await close_of(connection))[0] == 1009


async def test_a_close_is_answered_with_its_code(front: Front) -> None:
    async with front.connect() as connection:
        await connection.send('{"id":1,"connect":{}}')
        await read(connection, 1)
        await connection.close(4321, "bye")
        assert connection.close_code == 4321


async def test_pings_are_answered(front: Front) -> None:
    async with front.connect() as connection, asyncio.timeout(5):
        await (await connection.ping(b"x"))


async def test_websocket_pings_can_be_asked_for(front: Front) -> None:
    async with front.connect("?cf_ws_frame_ping_pong=true") as connection:
        await connection.send('{"id":1,"connect":{}}')
        (reply,) = await read(connection, 1)
        assert "ping" not in reply["connect"]


async def test_one_session_too_many_is_turned_away() -> None:
    config = open_config(client={"connection_limit": 1}, front={"drain_seconds": 0})
    async with listening_front(config) as front, front.connect():
        with pytest.raises(InvalidStatus) as refusal:
            await front.connect()
        assert refusal.value.response.status_code == 503


async def test_a_connection_cut_off_leaves_no_session(front: Front) -> None:
    async with front.connect() as connection:
        await connection.send('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}')
        await read(connection, 2)
        connection.transport.abort()
    report: dict[str, Any] = {"sessions": 1}
    async with asyncio.timeout(5):
        while report["sessions"]:
            report = json.loads((await front.get("/health"))[1])
    assert report["channels"] == 0


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Leave it to the last reference to free things."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("end", ["cut", "close", "disconnect"])
@pytest.mark.usefixtures("no_collector")
async def test_a_connection_that_ended_leaves_nothing_to_the_collector(
    front: Front, end: str
) -> None:
    async with front.connect() as connection:
        await connection.send('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}')
        await read(connection, 2)
        if end == "cut":
            connection.transport.abort()
        elif end == "close":
            await connection.close()
        else:
            await connection.send("nonsense")
            await close_of(connection)
    async with asyncio.timeout(5):
        while any(isinstance(each, web.WebSocketResponse) for each in gc.get_objects()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_health_tells_what_there_is_to_know(front: Front) -> None:
    assert (await front.get("/health/live"))[0] == 200
    status, body = await front.get("/health")
    report = json.loads(body)
    assert status == 200
    assert report["publishing"] == "open"
    assert report["ready"] is True
    assert report["partitions"]["main.0"]["caught_up"] is True


async def test_a_shutdown_sends_sessions_elsewhere(front: Front) -> None:
    connections = [await front.connect() for _ in range(4)]
    for connection in connections:
        await connection.send('{"id":1,"connect":{}}')
        await read(connection, 1)
    front.stop.set()
    assert {await close_of(connection) for connection in connections} == {(3001, "shutdown")}
    with pytest.raises(OSError, match="Connect"):
        await front.connect()
