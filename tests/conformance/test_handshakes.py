"""Handshakes: who is let in, and what others are told, before anything is upgraded."""

import re

import pytest

from tests.conformance.client import PATH, raw_client, request_of
from tests.conformance.conftest import Server

pytestmark = pytest.mark.usefixtures("undisturbed")

# RFC 6455 §1.3 gives the answer to this key.
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

WELCOME = [
    None,
    "https://example.org",
    "https://example.org:443",
    "https://example.org:8443",
    "http://localhost",
    "http://localhost:5173",
    "http://[::1]:3000",
]

UNWELCOME = [
    "null",
    "",
    "*",
    "http://example.org",
    "https://example.org:8444",
    "https://example.org.evil.example",
    "https://notexample.org",
    "https://sub.example.org",
    "https://EXAMPLE.org",
    "HTTPS://example.org",
    "https://user@example.org",
    "https://example.org@evil.example",
    "https://example.org:443@evil.example",
    "https://example.org/",
    "https://example.org.",
    "https://example.org:",
    "https://example.org:443:443",
    "https://example.org, https://evil.example",
    "https://evil.example https://example.org",
    "http://localhost.evil.example:5173",
    "http://localhost:5173.evil.example",
    "http://localhost:123456",
    "https://localhost:5173",
    "http://[::1]:3001",
    "http://[::1]3000",
    "file://",
]


@pytest.mark.parametrize("origin", WELCOME)
async def test_an_allowed_origin_comes_in(origin: str | None, server: Server) -> None:
    async with raw_client(server.port) as client:
        status, headers = await client.ask(request_of({"Origin": origin}))
        assert (status, headers["sec-websocket-accept"]) == (101, ACCEPT)
        client.say({"id": 1, "connect": {}})
        assert (await client.line())["id"] == 1


@pytest.mark.parametrize("origin", UNWELCOME)
async def test_another_origin_is_refused_with_one_line_that_names_the_setting(
    origin: str, server: Server
) -> None:
    before = len(server.process.events("connection rejected"))
    async with raw_client(server.port) as client:
        assert (await client.ask(request_of({"Origin": origin})))[0] == 403
    lines = server.process.events("connection rejected")[before:]
    assert [(line["setting"], line["reason"], line["origin"]) for line in lines] == [
        ("client.allowed_origins", "origin", origin)
    ]


async def test_two_origins_are_not_one_that_is_allowed(server: Server) -> None:
    both = (
        request_of({"Origin": "https://example.org"})[:-2] + b"Origin: https://evil.example\r\n\r\n"
    )
    async with raw_client(server.port) as client:
        assert (await client.ask(both))[0] in (400, 403)


async def test_an_origin_is_written_to_the_log_on_one_line(server: Server) -> None:
    async with raw_client(server.port) as client:
        origin = 'https://evil.example"}\t{"event":"forged'
        assert (await client.ask(request_of({"Origin": origin})))[0] in (400, 403)
    assert not server.process.events("forged")


@pytest.mark.parametrize("version", ["7", "8", "0", "12", "14", "13, 8", "x", "", None])
async def test_only_version_13_is_spoken(version: str | None, server: Server) -> None:
    async with raw_client(server.port) as client:
        status, headers = await client.ask(request_of({"Sec-WebSocket-Version": version}))
        assert (status, headers["sec-websocket-version"]) == (426, "13")


@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": None},
        {"Upgrade": "h2c"},
        {"Connection": None},
        {"Connection": "close"},
        {"Sec-WebSocket-Key": None},
        {"Sec-WebSocket-Key": "short"},
        {"Sec-WebSocket-Key": "not base64 at all!!!!!!!"},
    ],
    ids=str,
)
async def test_what_is_no_handshake_is_a_bad_request(
    headers: dict[str, str | None], server: Server
) -> None:
    async with raw_client(server.port) as client:
        assert (await client.ask(request_of(headers)))[0] == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "PATCH"])
async def test_another_method_is_not_allowed(method: str, server: Server) -> None:
    async with raw_client(server.port) as client:
        assert (await client.ask(request_of(method=method)))[0] == 405


@pytest.mark.parametrize(
    "path",
    [
        "/connection",
        "/connection/",
        "/connection/websocket/",
        "/connection/websocket/x",
        "/connection/Websocket",
        "/connection//websocket",
        "/CONNECTION/WEBSOCKET",
        "/nowhere",
        "/connection/websocket%00",
        "/connection/websocket%2f",
    ],
)
async def test_another_path_is_not_found(path: str, server: Server) -> None:
    async with raw_client(server.port) as client:
        assert (await client.ask(request_of(path=path)))[0] in (400, 404)


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        request_of({"X": "y" * 9000}),
        request_of({f"X-{number}": "y" for number in range(100)}),
        request_of(path="/" + "x" * 9000),
        request_of({"Host": "a\x00b"}),
        request_of({"Transfer-Encoding": "chunked", "Content-Length": "5"}),
    ],
    ids=range(9),
)
async def test_what_is_no_http_is_a_bad_request(raw: bytes, server: Server) -> None:
    async with raw_client(server.port) as client:
        assert (await client.ask(raw))[0] == 400


async def test_the_subprotocol_is_chosen_from_those_offered(server: Server) -> None:
    async with raw_client(server.port) as client:
        offered = {"Sec-WebSocket-Protocol": "chat, centrifuge-json"}
        status, headers = await client.ask(request_of(offered))
        assert (status, headers["sec-websocket-protocol"]) == (101, "centrifuge-json")


@pytest.mark.parametrize("offered", [None, "", "chat"])
async def test_without_a_known_subprotocol_it_is_json(offered: str | None, server: Server) -> None:
    async with raw_client(server.port) as client:
        status, headers = await client.ask(request_of({"Sec-WebSocket-Protocol": offered}))
        assert status == 101
        assert "sec-websocket-protocol" not in headers
        client.say({"id": 1, "connect": {}})
        assert (await client.line())["id"] == 1


async def test_compression_is_not_negotiated(server: Server) -> None:
    async with raw_client(server.port) as client:
        offered = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
        status, headers = await client.ask(request_of(offered))
        assert status == 101
        assert "sec-websocket-extensions" not in headers


async def test_pings_by_frame_are_what_the_query_asks_for(server: Server) -> None:
    async with raw_client(server.port) as client:
        await client.upgrade(f"{PATH}?cf_ws_frame_ping_pong=true")
        client.say({"id": 1, "connect": {}})
        assert not {"ping", "pong"} & (await client.line())["connect"].keys()


async def test_an_error_says_nothing_about_our_code(server: Server) -> None:
    status, body = server.get("/nowhere")
    assert status == 404
    assert not re.search(rb"Traceback|\.py|Python", body)
