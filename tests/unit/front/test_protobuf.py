"""Sessions in Protobuf beside sessions in JSON, and channels whose data is any bytes."""

from collections.abc import AsyncIterator

import jwt
import pytest
import pytest_asyncio

from services.front.encoding import FRAME_BYTES_AT_MOST
from services.front.encodings.websocket_protobuf import WEBSOCKET_PROTOBUF
from services.view.history import Publication
from services.wire.command import Command, Payload, PublishRequest
from tests.conformance.protobuf import encode_commands, read_replies
from tests.unit.front.stage import (
    SECRET,
    Client,
    ProtobufClient,
    Stage,
    frames,
    open_config,
    staging,
)

BYTES = b"\x00\xff\n\r{"


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staging(open_config(client={"token": {"hmac_secret_key": SECRET}})) as stage:
        yield stage


async def protobuf_client(stage: Stage, **request: object) -> ProtobufClient:
    client = ProtobufClient(stage.parts)
    await client.connect(**request)
    return client


async def subscribe(client: Client, channel: str) -> None:
    (reply,) = await client.ask({"id": 2, "subscribe": {"channel": channel}})
    assert "subscribe" in reply, reply


def publish_bytes(channel: str, payload: bytes) -> bytes:
    return encode_commands([Command(3, PublishRequest(channel, Payload(payload)))])


def error_of(reply: dict[str, dict[str, int]]) -> int:
    return reply["error"]["code"]


async def test_a_session_in_protobuf_is_told_what_one_in_json_is(stage: Stage) -> None:
    in_json, in_protobuf = await stage.client(), await protobuf_client(stage)
    told = []
    for client in (in_json, in_protobuf):
        await subscribe(client, "a")
    await in_json.send({"id": 3, "publish": {"channel": "a", "data": {"n": 1}}})
    await in_protobuf.send({"id": 3, "publish": {"channel": "a", "data": {"n": 2}}})
    for client in (in_json, in_protobuf):
        news = await client.next(3)
        told.append([each["push"] for each in news if "push" in each])
        (history,) = await client.ask({"id": 4, "history": {"channel": "a", "limit": 9}})
        assert [p["data"] for p in history["history"]["publications"]] == [{"n": 1}, {"n": 2}]
    assert told[0] == told[1]
    senders = [push["pub"]["info"]["client"] for push in told[0]]
    assert senders == [in_json.session.id, in_protobuf.session.id]


async def test_what_arrives_together_is_told_in_one_frame(stage: Stage) -> None:
    publications = [Publication(n, b"%d" % n, b"null", 0) for n in (1, 2, 3)]
    [told] = WEBSOCKET_PROTOBUF.encode("a", publications, 7, "epoch")
    [(head, content)] = frames([told.content])
    assert (head, told.publications) == (0x82, 3)
    assert [reply["push"]["pub"] for reply in read_replies(content)] == [
        {"data": 1, "offset": 1, "epoch": "epoch"},
        {"data": 2, "offset": 2},
        {"data": 3, "offset": 3},
    ]


async def test_what_is_large_together_is_told_in_several_frames(stage: Stage) -> None:
    large = b'"%b"' % (b"x" * (FRAME_BYTES_AT_MOST // 2))
    publications = [Publication(n, large, b"null", 0) for n in (2, 3, 4)]
    told = WEBSOCKET_PROTOBUF.encode("a", publications, 7, "epoch")
    assert [frame.publications for frame in told] == [1, 1, 1]


async def test_what_a_client_missed_is_recovered_in_protobuf(stage: Stage) -> None:
    client = await protobuf_client(stage)
    for number in (1, 2, 3):
        await client.send({"id": 3, "publish": {"channel": "a", "data": number}})
    await client.next(3)
    (history,) = await client.ask({"id": 4, "history": {"channel": "a"}})
    request = {"channel": "a", "recover": True, "offset": 1, "epoch": history["history"]["epoch"]}
    (reply,) = await client.ask({"id": 5, "subscribe": request})
    assert reply["subscribe"]["recovered"]
    assert [p["data"] for p in reply["subscribe"]["publications"]] == [2, 3]


async def test_a_frame_that_is_no_protobuf_ends_the_session(stage: Stage) -> None:
    client = await protobuf_client(stage)
    await client.send(b"\x7f")
    assert client.closed == 3501


async def test_the_ping_is_answered_with_an_empty_command(stage: Stage) -> None:
    client = await protobuf_client(stage)
    client.session.say(client.session.encoding.ping)
    assert client.news() == [{}]
    await client.send(b"\x00")
    assert client.closed is None


@pytest.mark.parametrize(
    "payload", [BYTES, b"", b"{", b'"a\nb"', b"1e999", b'"\xff"', b'"\\ud800"', b"1 2", b"{}\n{}"]
)
async def test_what_is_no_json_is_refused_where_data_is_json(stage: Stage, payload: bytes) -> None:
    client = await protobuf_client(stage)
    [reply] = await client.ask(publish_bytes("a", payload))
    assert error_of(reply) == 107
    assert client.closed is None


async def test_json_of_a_protobuf_client_reaches_json_clients_on_one_line(stage: Stage) -> None:
    reader, writer = await stage.client(), await protobuf_client(stage)
    await subscribe(reader, "a")
    await writer.send(publish_bytes("a", b'{\n"a":\r\n"b\\n"}\n'))
    [push] = await reader.next(1)
    assert push["push"]["pub"]["data"] == {"a": "b\n"}


async def test_any_bytes_pass_where_data_is_binary(stage: Stage) -> None:
    one, two = await protobuf_client(stage), await protobuf_client(stage)
    await subscribe(two, "bytes:a")
    for payload in (BYTES, b'{"a": 1}'):
        await one.send(publish_bytes("bytes:a", payload))
        await one.next(1)
    pushes = [push["push"]["pub"] for push in await two.next(2)]
    assert [(push["data"], push["offset"]) for push in pushes] == [(BYTES, 1), ({"a": 1}, 2)]
    (history,) = await two.ask({"id": 4, "history": {"channel": "bytes:a", "limit": 9}})
    assert [p["data"] for p in history["history"]["publications"]] == [BYTES, {"a": 1}]


@pytest.mark.parametrize(
    "command",
    [
        {"subscribe": {"channel": "bytes:a"}},
        {"publish": {"channel": "bytes:a", "data": 1}},
        {"history": {"channel": "bytes:a", "limit": 1}},
    ],
    ids=lambda command: next(iter(command)),
)
async def test_a_json_session_is_kept_out_where_data_is_binary(
    stage: Stage, command: dict[str, object]
) -> None:
    client = await stage.client()
    (reply,) = await client.ask({"id": 2, **command})
    assert error_of(reply) == 108
    assert "Protobuf" in reply["error"]["message"]
    assert len(stage.parts.hub) == 0


async def test_a_token_puts_no_json_session_where_data_is_binary(stage: Stage) -> None:
    token = jwt.encode({"sub": "ada", "channels": ["bytes:a"]}, SECRET, algorithm="HS256")
    client = stage.stranger()
    (reply,) = await client.ask({"id": 1, "connect": {"token": token}})
    assert error_of(reply) == 108
    connected = await ProtobufClient(stage.parts).connect(token=token)
    assert list(connected["subs"]) == ["bytes:a"]
