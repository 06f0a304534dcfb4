"""The one-way transports over real sockets: with an SSE reader, lines, and a bare WebSocket."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.settings import Config
from tests.unit.front.stage import OPEN_CHANNELS, open_config
from tests.unit.front.stream_client import WAIT_SECONDS, listening_fronts, raw, request, streaming
from tests.unit.front.test_streams import read_for_ever
from tests.unit.front.test_websocket import Front, close_of, listening_front, read

ORIGIN = "https://example.org"
UNI_WEBSOCKET = "/connection/uni_websocket"
UNI_SSE = "/connection/uni_sse"
UNI_HTTP_STREAM = "/connection/uni_http_stream"
STREAMS = (UNI_SSE, UNI_HTTP_STREAM)
NAMES = ("uni_websocket", "uni_sse", "uni_http_stream")
ROOM = {"presence": True, "join_leave": True, "force_push_join_leave": True, **OPEN_CHANNELS}


def config(enabled: tuple[str, ...] = NAMES, **client: Any) -> Config:
    """Everything open to everybody, one-way transports too."""
    made = open_config(
        client={
            "allowed_origins": [ORIGIN],
            "message_size_limit": 4096,
            "queue_max_size": 65536,
            "stale_close_delay": 1,
            **client,
        },
        front={"drain_seconds": 0.2},
        **{name: {"enabled": True} for name in enabled},
    )
    room = made.namespace[0].model_copy(update={"name": "room", **ROOM})
    return made.model_copy(update={"namespace": (*made.namespace, room)})


class Event(NamedTuple):
    """A push, as it came."""

    push: Any
    raw: bytes


class Stream:
    """What a response tells, push by push."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def event(self) -> Event | None:
        """The next push; None at the end."""
        async with asyncio.timeout(WAIT_SECONDS):
            while line := await self.response.content.readline():
                text = line.removeprefix(b"data: ").strip()
                if text:
                    return Event(json.loads(text), line)
        return None

    async def next(self) -> Any:
        """The next push, as a value."""
        event = await self.event()
        return event.push if event is not None else None


@asynccontextmanager
async def listening(front: Front, path: str, **wanted: Any) -> AsyncIterator[Stream]:
    """A client of a streamed transport with its connect request."""
    url = f"http://{front.address}{path}"
    body = json.dumps(wanted)
    async with aiohttp.ClientSession() as http:
        asking = (
            http.get(url, params={"cf_connect": body})
            if path == UNI_SSE
            else http.post(url, data=body)
        )
        async with asking as response:
            assert response.status == 200
            yield Stream(response)


def websocket(front: Front, query: str = "", **options: Any) -> connect:
    return connect(
        f"ws://{front.address}{UNI_WEBSOCKET}{query}",
        compression=None,
        ping_interval=None,
        proxy=None,
        **options,
    )


async def next_of(client: ClientConnection) -> Any:
    async with asyncio.timeout(WAIT_SECONDS):
        return json.loads(await client.recv())


@pytest_asyncio.fixture
async def fronts() -> AsyncIterator[list[Front]]:
    async with listening_fronts(config()) as fronts:
        yield fronts


@asynccontextmanager
async def publishing(front: Front) -> AsyncIterator[ClientConnection]:
    """A client that publishes."""
    async with front.connect() as client:
        await client.send('{"id":1,"connect":{}}')
        await read(client, 1)
        yield client


async def publish(client: ClientConnection, channel: str, payload: object) -> None:
    await client.send(json.dumps({"id": 2, "publish": {"channel": channel, "data": payload}}))
    (reply,) = await read(client, 1)
    assert "publish" in reply


# ---- what is told


@pytest.mark.parametrize("path", STREAMS)
async def test_a_stream_tells_of_the_connection_and_then_of_publications(
    path: str, fronts: list[Front]
) -> None:
    async with listening(fronts[0], path, subs={"a": {}}) as stream:
        connected = (await stream.next())["connect"]
        assert connected["client"]
        assert connected["session"]
        assert connected["subs"]["a"]["recoverable"] is True
        assert not {"pong", "node"} & connected.keys()
        async with publishing(fronts[1]) as publisher:
            await publish(publisher, "a", "hi")
        told = await stream.next()
        assert (told["channel"], told["pub"]["data"], told["pub"]["offset"]) == ("a", "hi", 1)


async def test_server_sent_events_are_what_a_reader_of_events_expects(fronts: list[Front]) -> None:
    async with listening(fronts[0], UNI_SSE, subs={"a": {}}) as stream:
        assert stream.response.content_type == "text/event-stream"
        assert await stream.response.content.readline() == b"\r\n"
        event = await stream.event()
        assert event is not None
        assert event.raw.startswith(b'data: {"connect":')
        assert await stream.response.content.readline() == b"\n"


async def test_a_line_is_a_push(fronts: list[Front]) -> None:
    async with listening(fronts[0], UNI_HTTP_STREAM, subs={"a": {}}) as stream:
        assert stream.response.content_type == "application/json"
        event = await stream.event()
        assert event is not None
        assert event.raw.startswith(b'{"connect":')
        assert event.raw.endswith(b"}\n")


async def test_an_sse_client_may_post_its_request(fronts: list[Front]) -> None:
    async with aiohttp.ClientSession() as http:
        url = f"http://{fronts[0].address}{UNI_SSE}"
        async with http.post(url, data=b'{"subs":{"a":{}}}') as response:
            assert "connect" in await Stream(response).next()


@pytest.mark.parametrize("in_url", [True, False])
async def test_a_websocket_tells_the_same(in_url: bool, fronts: list[Front]) -> None:
    query = "?cf_connect=%7B%22subs%22%3A%7B%22a%22%3A%7B%7D%7D%7D" if in_url else ""
    async with websocket(fronts[0], query) as client:
        if not in_url:
            await client.send('{"subs":{"a":{}}}')
        connected = (await next_of(client))["connect"]
        assert connected["session"]
        assert connected["subs"].keys() == {"a"}
        async with publishing(fronts[1]) as publisher:
            await publish(publisher, "a", "hi")
        assert (await next_of(client))["pub"]["data"] == "hi"
        # What comes later is passed over, whatever it is.
        for late in ('{"id":2,"publish":{"channel":"a","data":1}}', "nonsense", b"\x00", "{}"):
            await client.send(late)
        async with publishing(fronts[0]) as publisher:
            await publish(publisher, "a", "still here")
        assert (await next_of(client))["pub"]["data"] == "still here"


@pytest.mark.parametrize("path", STREAMS)
async def test_a_client_comes_back_to_another_front_with_its_positions(
    path: str, fronts: list[Front]
) -> None:
    async with publishing(fronts[0]) as publisher:
        async with listening(fronts[0], path, subs={"a": {}}) as stream:
            epoch = (await stream.next())["connect"]["subs"]["a"]["epoch"]
            await publish(publisher, "a", 1)
            offset = (await stream.next())["pub"]["offset"]
        await publish(publisher, "a", 2)
        await publish(publisher, "a", 3)
        position = {"recover": True, "epoch": epoch, "offset": offset}
        async with listening(fronts[1], path, subs={"a": position}) as stream:
            told = (await stream.next())["connect"]["subs"]["a"]
            assert told["recovered"] is True
            assert [each["data"] for each in told["publications"]] == [2, 3]
            await publish(publisher, "a", 4)
            assert (await stream.next())["pub"]["data"] == 4


@pytest.mark.parametrize("path", STREAMS)
async def test_a_client_is_among_those_present_until_it_goes(
    path: str, fronts: list[Front]
) -> None:
    async with listening(fronts[1], UNI_HTTP_STREAM, subs={"room:1": {}}) as watcher:
        await watcher.next()
        assert "join" in await watcher.next()
        async with listening(fronts[0], path, subs={"room:1": {}}) as stream:
            client = (await stream.next())["connect"]["client"]
            assert (await watcher.next())["join"]["info"]["client"] == client
            stream.response.close()
            # Long before a ping would be missed.
            assert (await watcher.next())["leave"]["info"]["client"] == client


# ---- its end


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize(
    ("wanted", "disconnect"),
    [
        (
            {"token": "nonsense"},
            {"code": 3500, "reason": "invalid token", "reconnect": False},
        ),
        (
            {"subs": {"closed:a": {}}},
            {"code": 3507, "reason": "permission denied", "reconnect": False},
        ),
        (
            {"subs": {"nowhere:a": {}}},
            {"code": 3004, "reason": "internal server error", "reconnect": True},
        ),
    ],
    ids=str,
)
async def test_who_may_not_come_in_is_told_why(
    wanted: dict[str, Any], disconnect: Mapping[str, Any], path: str, fronts: list[Front]
) -> None:
    async with listening(fronts[0], path, **wanted) as stream:
        assert await stream.next() == {"disconnect": disconnect}
        assert await stream.next() is None


async def test_over_a_websocket_the_end_is_told_by_a_push_and_a_close_frame(
    fronts: list[Front],
) -> None:
    async with websocket(fronts[0]) as client:
        await client.send('{"subs":{"closed:a":{}}}')
        told = (await next_of(client))["disconnect"]
        assert told == {"code": 3507, "reason": "permission denied", "reconnect": False}
        assert await close_of(client) == (3507, "permission denied")


async def test_a_websocket_that_says_nothing_is_let_go(fronts: list[Front]) -> None:
    async with websocket(fronts[0]) as client:
        assert (await next_of(client))["disconnect"]["code"] == 3502
        assert await close_of(client) == (3502, "stale")


async def test_a_shutdown_is_told_on_every_transport() -> None:
    async with (
        listening_front(config()) as front,
        websocket(front) as client,
        listening(front, UNI_SSE) as events,
        listening(front, UNI_HTTP_STREAM) as lines,
    ):
        await client.send("{}")
        for push in (await next_of(client), await events.next(), await lines.next()):
            assert "connect" in push
        front.stop.set()
        for stream in (events, lines):
            assert (await stream.next())["disconnect"]["code"] == 3001
            assert await stream.next() is None
        assert (await next_of(client))["disconnect"]["code"] == 3001
        assert await close_of(client) == (3001, "shutdown")


@pytest.mark.parametrize("path", STREAMS)
async def test_pings_of_a_stream_want_no_answer(path: str) -> None:
    hasty = config(ping_interval=1, pong_timeout=0.5)
    async with listening_front(hasty) as front, listening(front, path) as stream:
        assert (await stream.next())["connect"]["ping"] == 1
        # The second comes long after an answer to the first would have been missed.
        assert [await stream.next() for _ in range(2)] == [{}, {}]


async def test_a_websocket_answers_pings_by_itself_and_one_that_is_dead_does_not() -> None:
    hasty = config(ping_interval=1, pong_timeout=0.5)
    async with listening_front(hasty) as front, websocket(front) as client:
        await client.send("{}")
        assert "connect" in await next_of(client)
        assert [await next_of(client) for _ in range(2)] == [{}, {}]
        async with raw(front) as (reader, writer):
            writer.write(
                f"GET {UNI_WEBSOCKET}?cf_connect=%7B%7D HTTP/1.1\r\nHost: a\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            async with asyncio.timeout(WAIT_SECONDS):
                told = await reader.read()  # it ends
        assert b'{"disconnect":{"code":3012,' in told
        assert await next_of(client) == {}


@pytest.mark.parametrize("path", STREAMS)
async def test_a_slow_client_is_let_go(path: str, fronts: list[Front]) -> None:
    async with raw(fronts[0], limit=1024) as (reader, writer), publishing(fronts[1]) as publisher:
        writer.write(request(path, b'{"subs":{"plain:a":{}}}'))
        await reader.readuntil(b'"subs"')
        for _ in range(400):
            await publish(publisher, "plain:a", "x" * 4000)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await read_for_ever(reader)


async def test_http_1_0_gets_the_same_without_chunks(fronts: list[Front]) -> None:
    async with raw(fronts[0]) as (reader, writer):
        writer.write(request(UNI_HTTP_STREAM, b'{"token":"nonsense"}', version="1.0"))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert json.loads(body)["disconnect"]["code"] == 3500


async def test_nothing_can_be_brought_to_a_client_that_says_nothing(fronts: list[Front]) -> None:
    async with listening(fronts[0], UNI_SSE, subs={"a": {}}) as stream:
        session = (await stream.next())["connect"]["session"]
        # Whoever knows the front from elsewhere.
        async with streaming(fronts[0]) as other:
            command = {"id": 1, "publish": {"channel": "a", "data": 1}}
            assert await other.send(fronts[1], command, session=session) == 204
        async with publishing(fronts[0]) as publisher:
            await publish(publisher, "a", 2)
        assert (await stream.next())["pub"]["data"] == 2


# ---- what is no welcome request


@pytest.mark.parametrize("name", NAMES)
async def test_a_transport_is_closed_unless_it_is_enabled(name: str) -> None:
    others = tuple(each for each in NAMES if each != name)
    async with listening_front(config(others)) as front:
        url = f"http://{front.address}/connection/{name}"
        method = "POST" if name == "uni_http_stream" else "GET"
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, url, params={"cf_connect": "{}"}) as response,
        ):
            assert response.status == 404
        for other in others:
            if other == "uni_websocket":
                async with websocket(front):
                    pass
            else:
                async with listening(front, f"/connection/{other}") as stream:
                    assert "connect" in await stream.next()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", UNI_HTTP_STREAM, b"", 405),
        ("HEAD", UNI_SSE, b"", 405),
        ("DELETE", UNI_SSE, b"", 405),
        ("GET", UNI_SSE, b"", 400),
        ("POST", UNI_SSE, b"x" * 4097, 413),
        ("POST", UNI_HTTP_STREAM, b"x" * 4097, 413),
        ("POST", UNI_WEBSOCKET, b"", 405),
        ("GET", UNI_WEBSOCKET, b"", 400),
    ],
)
async def test_what_is_no_request_for_it_is_answered(
    method: str, path: str, body: bytes, status: int, fronts: list[Front]
) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"http://{fronts[0].address}{path}", data=body) as response,
    ):
        assert response.status == status


@pytest.mark.parametrize("path", STREAMS)
async def test_pages_of_other_origins_are_turned_away(path: str, fronts: list[Front]) -> None:
    url = f"http://{fronts[0].address}{path}"
    asked = {"Access-Control-Request-Method": "POST"}
    async with aiohttp.ClientSession() as http:
        async with http.options(url, headers={"Origin": ORIGIN, **asked}) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        for method in ("OPTIONS", "POST"):
            evil = {"Origin": "https://evil.example", **asked}
            async with http.request(method, url, headers=evil) as response:
                assert response.status == 403
    with pytest.raises(InvalidStatus):
        async with websocket(fronts[0], origin="https://evil.example"):
            pass


async def test_too_large_a_message_closes_the_websocket(fronts: list[Front]) -> None:
    async with websocket(fronts[0]) as client:
        await client.send("x" * 5000)
        with pytest.raises(ConnectionClosed):
            await next_of(client)
        assert client.close_code == 1009
