"""The streamed transports and emulation over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from services.wire.client_pb2 import Command, ConnectRequest, EmulationRequest, Reply
from tests.unit.front.stage import OPEN_CHANNELS, open_config
from tests.unit.front.stream_client import (
    HTTP_STREAM,
    SSE,
    listening_fronts,
    raw,
    request,
    streaming,
    until_settled,
)
from tests.unit.front.test_websocket import Front, read

JSON = {"Content-Type": "application/json"}
ORIGIN = "https://example.org"
SEEN = {
    "presence": True,
    "join_leave": True,
    "allow_presence_for_client": True,
    "allow_presence_for_anonymous": True,
    **OPEN_CHANNELS,
}
CONFIG = open_config(
    client={
        "allowed_origins": [ORIGIN],
        "message_size_limit": 4096,
        "queue_max_size": 65536,
        "stale_close_delay": 1,
    },
    front={"drain_seconds": 0.2},
)
CONFIG = CONFIG.model_copy(
    update={
        "namespace": (
            *CONFIG.namespace,
            CONFIG.namespace[0].model_copy(update={"name": "room", **SEEN}),
        )
    }
)

HASTY = CONFIG.model_copy(
    update={"client": CONFIG.client.model_copy(update={"ping_interval": 1.0, "pong_timeout": 0.5})}
)

both = pytest.mark.parametrize("path", [HTTP_STREAM, SSE])


@pytest_asyncio.fixture
async def fronts() -> AsyncIterator[list[Front]]:
    async with listening_fronts(CONFIG) as fronts:
        yield fronts


def publication_of(push: Any) -> Any:
    return push["push"]["pub"]["data"]


@both
async def test_commands_come_by_requests_and_replies_by_the_stream(
    path: str, fronts: list[Front]
) -> None:
    async with streaming(fronts[0], path) as client:
        assert {"client", "session", "node", "ping", "pong"} <= client.connected.keys()
        subscribe = {"id": 2, "subscribe": {"channel": "a"}}
        publish = {"id": 3, "publish": {"channel": "a", "data": "hi"}}
        assert await client.send(fronts[0], subscribe, publish) == 204
        assert (await client.next())["id"] == 2
        told = [await client.next(), await client.next()]
        assert {"id": 3, "publish": {}} in told
        assert [publication_of(each) for each in told if "push" in each] == ["hi"]


@both
async def test_a_request_may_reach_another_front(path: str, fronts: list[Front]) -> None:
    async with streaming(fronts[0], path) as client:
        for number in range(20):
            command = {"id": number + 2, "unsubscribe": {"channel": f"c{number}"}}
            assert await client.send(fronts[1], command) == 204
        answered = [(await client.next())["id"] for _ in range(20)]
        assert answered == list(range(2, 22))


async def test_requests_that_reach_a_front_in_an_order_are_carried_out_in_it(
    fronts: list[Front],
) -> None:
    async with streaming(fronts[0]) as client:
        channel = {"channel": "a"}
        commands = [
            {"id": number, ("subscribe" if number % 2 else "unsubscribe"): channel}
            for number in range(3, 43)
        ]
        # On one connection, none awaiting the answer to the one before.
        async with raw(fronts[1]) as (_, writer):
            for command in commands:
                envelope = {
                    "session": client.connected["session"],
                    "node": client.connected["node"],
                    "data": json.dumps(command),
                }
                writer.write(request("/emulation", json.dumps(envelope).encode()))
            replies = [await client.next() for _ in commands]
        assert [reply["id"] for reply in replies] == list(range(3, 43))
        assert not [reply for reply in replies if "error" in reply]


@both
async def test_a_client_that_goes_is_gone_at_once(path: str, fronts: list[Front]) -> None:
    async with fronts[1].connect() as watcher:
        await watcher.send(
            '{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"room:1","join_leave":true}}'
        )
        await read(watcher, 3)
        async with streaming(fronts[0], path) as client:
            await client.send(fronts[0], {"id": 2, "subscribe": {"channel": "room:1"}})
            assert "join" in (await read(watcher, 1))[0]["push"]
            client.leave()
            # Long before a ping is due, or would be missed.
            async with asyncio.timeout(0.5):
                left = (await read(watcher, 1))[0]["push"]["leave"]["info"]["client"]
            assert left == client.connected["client"]


@both
async def test_the_server_says_why_it_ends_a_stream_and_ends_it(
    path: str, fronts: list[Front]
) -> None:
    async with streaming(fronts[0], path) as client:
        await client.send(fronts[0], {"id": 2, "connect": {}})
        told = await client.next()
        assert told == {
            "push": {"disconnect": {"code": 3501, "reason": "bad request", "reconnect": False}}
        }
        assert await client.next() is None


@both
async def test_a_client_that_answers_pings_lives_and_another_does_not(path: str) -> None:
    async with listening_fronts(HASTY) as fronts, streaming(fronts[0], path) as client:
        assert await client.next() == {}
        assert await client.send(fronts[1], {}) == 204
        assert await client.next() == {}
        told = await client.next()
        assert told["push"]["disconnect"]["code"] == 3012


async def test_an_sse_client_may_post_its_first_frame(fronts: list[Front]) -> None:
    async with aiohttp.ClientSession() as http:
        url = f"http://{fronts[0].address}{SSE}"
        async with http.post(url, data='{"id":1,"connect":{}}') as response:
            assert response.content_type == "text/event-stream"
            assert await response.content.readline() == b"\r\n"
            assert (await response.content.readline()).startswith(b'data: {"id":1,"connect":')
            assert await response.content.readline() == b"\n"


async def test_http_1_0_gets_the_same_without_chunks(fronts: list[Front]) -> None:
    async with raw(fronts[0]) as (reader, writer):
        writer.write(request(HTTP_STREAM, b'{"id":1,"connect":{}}\nnonsense', version="1.0"))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    replies = [json.loads(line) for line in body.splitlines()]
    assert "connect" in replies[0]
    assert replies[1]["push"]["disconnect"]["code"] == 3501


async def test_a_connection_that_says_nothing_more_is_not_in_the_way(fronts: list[Front]) -> None:
    async with streaming(fronts[0], HTTP_STREAM, {"id": 1, "subscribe": {"channel": "a"}}) as one:
        assert one.connected == {}
        assert await one.next() is None


async def test_a_slow_client_is_let_go(fronts: list[Front]) -> None:
    connect = b'{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"plain:a"}}'
    async with raw(fronts[0], limit=1024) as (reader, writer), fronts[1].connect() as other:
        writer.write(request(HTTP_STREAM, connect))
        await reader.readuntil(b'"subscribe"')
        await other.send('{"id":1,"connect":{}}')
        await read(other, 1)
        publish = {"publish": {"channel": "plain:a", "data": "x" * 4000}}
        for number in range(2, 402):
            await other.send(json.dumps({"id": number, **publish}))
            await read(other, 1)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await read_for_ever(reader)


async def read_for_ever(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(5):
        while True:
            await reader.readexactly(100_000)


# ---- what is no welcome request


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"session": "nobody"}, 204),
        ({"node": "nowhere"}, 404),
        ({"node": "n" * 101}, 400),
        ({"data": "x" * 4097}, 413),
        ({"data": '"' * 3000}, 204),
        ({"data": "x" * 20_000}, 413),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_what_cannot_be_brought_to_its_session_is_answered(
    changes: dict[str, str], status: int, fronts: list[Front]
) -> None:
    async with streaming(fronts[0]) as client:
        await until_settled(fronts)
        assert await client.send(fronts[1], {}, **changes) == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"session":1,"node":"a","data":""}',
        b'{"session":"a"}',
        b"\xff",
        b"[" * 9000,
    ],
)
async def test_what_is_no_emulation_request_is_a_bad_request(
    body: bytes, fronts: list[Front]
) -> None:
    async with aiohttp.ClientSession() as http:
        url = f"http://{fronts[0].address}/emulation"
        async with http.post(url, data=body, headers={"Origin": ORIGIN, **JSON}) as response:
            assert response.status == 400
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


async def test_protobuf_is_spoken_by_the_content_type(fronts: list[Front]) -> None:
    binary = {"Content-Type": "application/octet-stream"}
    async with aiohttp.ClientSession(headers=binary) as http:
        connect = Command(id=1, connect=ConnectRequest()).SerializeToString()
        url = f"http://{fronts[0].address}"
        async with http.post(f"{url}{HTTP_STREAM}", data=delimited(connect)) as response:
            assert response.content_type == "application/octet-stream"
            connected = (await next_message(response)).connect
            commands = delimited(b"\x08\x02\x2a\x03\x0a\x01a")  # id 2, subscribe to "a"
            emulated = EmulationRequest(
                session=connected.session, node=connected.node, data=commands
            ).SerializeToString()
            async with http.post(f"http://{fronts[1].address}/emulation", data=emulated) as answer:
                assert answer.status == 204
            assert (await next_message(response)).id == 2
        for body in (b"\xff", b"\x0a\x05a", b'{"session":"a","node":"b","data":""}'):
            async with http.post(f"{url}/emulation", data=body) as answer:
                assert answer.status == 400


def delimited(message: bytes) -> bytes:
    return bytes((len(message),)) + message


async def next_message(response: aiohttp.ClientResponse) -> Reply:
    size = shift = 0
    while True:
        (byte,) = await response.content.readexactly(1)
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return Reply.FromString(await response.content.readexactly(size))


async def test_a_front_that_has_gone_is_no_longer_known(fronts: list[Front]) -> None:
    async with streaming(fronts[0]) as client:
        await until_settled(fronts)
        fronts[0].stop.set()
        told = await client.next()
        assert told["push"]["disconnect"]["code"] == 3001
        assert await client.next() is None
        async with asyncio.timeout(5):
            while await client.send(fronts[1], {}) != 404:
                pass


async def test_a_flood_of_requests_is_answered_that_too_much_waits(fronts: list[Front]) -> None:
    async with streaming(fronts[0]) as client:
        # Each waits for others' answer, so that those after it wait for their turn.
        commands = [{"id": 2 + n, "presence": {"channel": f"room:{n}"}} for n in range(40)]
        asked = [client.send(fronts[0], *commands, {"send": {"x": "x" * 1000}}) for _ in range(90)]
        statuses = set(await asyncio.gather(*asked))
        assert statuses == {204, 503}


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        (HTTP_STREAM, "POST, OPTIONS"),
        (SSE, "GET, POST, OPTIONS"),
        ("/emulation", "POST, OPTIONS"),
    ],
)
async def test_a_preflight_is_answered_to_allowed_origins_alone(
    path: str, methods: str, fronts: list[Front]
) -> None:
    url = f"http://{fronts[0].address}{path}"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-a, x-b"}
    async with aiohttp.ClientSession() as http:
        async with http.options(url, headers={"Origin": ORIGIN, **asked}) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert response.headers["Access-Control-Allow-Headers"] == "x-a, x-b"
            assert response.headers["Access-Control-Allow-Methods"] == methods
            assert response.headers["Access-Control-Allow-Credentials"] == "true"
            assert response.headers["Access-Control-Max-Age"] == "300"
        evil = {"Origin": "https://evil.example", **asked}
        for method in ("OPTIONS", "POST"):
            async with http.request(method, url, headers=evil) as response:
                assert response.status == 403
                assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", HTTP_STREAM, 405),
        ("PUT", HTTP_STREAM, 405),
        ("HEAD", SSE, 405),
        ("DELETE", SSE, 405),
        ("GET", SSE, 400),
        ("GET", "/emulation", 405),
    ],
)
async def test_other_methods_are_not_allowed(
    method: str, path: str, status: int, fronts: list[Front]
) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"http://{fronts[0].address}{path}") as response,
    ):
        assert response.status == status


async def test_a_body_over_the_limit_is_refused_however_it_is_sent(fronts: list[Front]) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 1000

    url = f"http://{fronts[0].address}{HTTP_STREAM}"
    async with aiohttp.ClientSession() as http:
        for body in (b"x" * 4097, pieces()):
            async with http.post(url, data=body, headers=JSON) as response:
                assert response.status == 413


async def test_a_body_that_does_not_come_is_not_waited_for(fronts: list[Front]) -> None:
    async with raw(fronts[0]) as (reader, writer), asyncio.timeout(5):
        writer.write(
            b"POST /connection/http_stream HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx"
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")


async def test_a_stream_is_not_kept_by_what_stands_in_between(fronts: list[Front]) -> None:
    async with streaming(fronts[0]) as client:
        headers = client.response.headers
        assert headers["X-Accel-Buffering"] == "no"
        assert "no-store" in headers["Cache-Control"]
        assert headers["Vary"] == "Origin"


async def test_sessions_of_one_client_are_each_their_own(fronts: list[Front]) -> None:
    async with streaming(fronts[0]) as one, streaming(fronts[0]) as other:
        assert one.connected["session"] != other.connected["session"]
        await one.send(fronts[1], {"id": 2, "subscribe": {"channel": "a"}})
        assert (await one.next())["id"] == 2
        await other.send(fronts[1], {"id": 3, "subscribe": {"channel": "a"}})
        assert (await other.next())["id"] == 3
