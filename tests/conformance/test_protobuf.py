"""The vectors once more, said in Protobuf; and frames that are odd in ways only Protobuf has."""

import pytest

from services.wire.command import Command, Payload, PublishRequest, SubscribeRequest
from services.wire.errors import ProtocolError
from tests.conformance.client import BINARY, CLOSE, TEXT, frame, raw_client_of, request_of
from tests.conformance.conftest import Server
from tests.conformance.protobuf import (
    PATH,
    ProtobufClient,
    delimited,
    encode_commands,
    translate,
)
from tests.conformance.test_vectors import EVERYTHING, holds, is_alive, named
from tests.conformance.vector import Vector


def can_be_said(vector: Vector) -> bool:
    try:
        for turn in vector.turns:
            translate(turn.send)
    except (ProtocolError, ValueError):
        return False
    return True


SAID = [pair for pair in EVERYTHING if can_be_said(pair[1])]

SUBSCRIBE = encode_commands([Command(2, SubscribeRequest("room"))])
PUBLISH = encode_commands([Command(2, PublishRequest("room", Payload(b"1")))])
CONNECT = b"\x04\x08\x01\x22\x00"


@pytest.mark.parametrize("pair", SAID, ids=named)
async def test_a_client_gets_what_the_protocol_names(
    pair: tuple[str, Vector], second_server: Server
) -> None:
    await holds(pair[1], ProtobufClient, second_server)


def test_most_vectors_can_be_said() -> None:
    # The rest are frames that are odd or broken in ways that only JSON has.
    assert len(SAID) > len(EVERYTHING) / 2


@pytest.mark.parametrize(
    ("path", "offer", "answer", "opcode"),
    [
        ("", None, None, TEXT),
        ("", "centrifuge-json", "centrifuge-json", TEXT),
        ("", "centrifuge-protobuf", "centrifuge-protobuf", BINARY),
        ("", "another, centrifuge-protobuf", "centrifuge-protobuf", BINARY),
        ("", "centrifuge-json, centrifuge-protobuf", "centrifuge-json", TEXT),
        ("?format=protobuf", None, None, BINARY),
        ("?cf_protocol=protobuf", None, None, BINARY),
        ("?format=json", None, None, TEXT),
        ("?format=protobuf", "centrifuge-json", "centrifuge-json", TEXT),
    ],
)
async def test_what_is_spoken_is_what_the_handshake_says(
    path: str, offer: str | None, answer: str | None, opcode: int, server: Server
) -> None:
    async with raw_client_of(ProtobufClient, server.port) as client:
        asked = request_of({"Sec-WebSocket-Protocol": offer}, path="/connection/websocket" + path)
        status, headers = await client.ask(asked)
        assert (status, headers.get("sec-websocket-protocol")) == (101, answer)
        content = b'{"id":1,"connect":{}}' if opcode == TEXT else CONNECT
        client.send(frame(content, opcode))
        assert (await client.frame()).opcode == opcode


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xff\xff\xff\xff\x0f" + PUBLISH,
        b"\x7f" + PUBLISH,
        PUBLISH[:-1],
        delimited(b"\x08\x02"),
        delimited(b"\x08\x02\x38\x01"),
        delimited(b"\x08\x02\x2a\x03\x0a\x01\xff"),
        delimited(b"\x08\x02\x2a\x00\x3a\x00"),
        delimited(b"\x1b" * 60_000),
        b"\x00" * 60_000,
        b'{"id":2,"subscribe":{"channel":"room"}}',
    ],
    ids=[
        "nothing",
        "half a length",
        "a length that goes on",
        "a length beyond all frames",
        "a length beyond the frame",
        "a message cut off",
        "an id alone",
        "a method that is a number",
        "a channel that is not UTF-8",
        "two methods",
        "groups within groups",
        "a flood of pongs",
        "JSON",
    ],
)
@pytest.mark.usefixtures("undisturbed")
async def test_what_is_no_protobuf_ends_the_session(content: bytes, server: Server) -> None:
    async with raw_client_of(ProtobufClient, server.port) as client:
        await client.begin()
        client.send(frame(content, BINARY))
        assert await client.closed() == 3501


async def test_what_comes_before_a_lie_is_carried_out(server: Server) -> None:
    async with raw_client_of(ProtobufClient, server.port) as client:
        await client.begin()
        client.send(frame(SUBSCRIBE + b"\x7f", BINARY))
        assert "subscribe" in await client.line()
        assert await client.closed() == 3501


async def test_unknown_fields_are_passed_over(server: Server) -> None:
    async with raw_client_of(ProtobufClient, server.port) as client:
        await client.begin()
        unknown = b"\xa2\x06\x03abc\xa8\x06\x01"
        client.send(frame(delimited(PUBLISH[1:] + unknown), BINARY))
        assert await client.line() == {"id": 2, "publish": {}}
        await is_alive(client)


async def test_a_payload_that_is_no_json_is_refused_and_the_session_lives(server: Server) -> None:
    async with raw_client_of(ProtobufClient, server.port) as client:
        await client.begin()
        for payload in (b"\x00\xff", b"", b"{", b'"a\nb"', b"1e999"):
            command = Command(2, PublishRequest("room", Payload(payload)))
            client.send(frame(encode_commands([command]), BINARY))
            assert (await client.line())["error"]["code"] == 107
        await is_alive(client)


@pytest.mark.parametrize(
    ("path", "opcode"), [(PATH, TEXT), ("/connection/websocket", BINARY)], ids=["text", "binary"]
)
async def test_a_frame_of_the_other_encoding_ends_the_session(
    path: str, opcode: int, server: Server
) -> None:
    async with raw_client_of(ProtobufClient, server.port) as client:
        await client.upgrade(path)
        client.send(frame(CONNECT if opcode == BINARY else b'{"id":1,"connect":{}}', opcode))
        got = await client.frame()
        assert (got.opcode, got.code) == (CLOSE, 3501)
