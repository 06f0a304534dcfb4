"""Without echo a client is not told what it published itself, whatever it is told in."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from services.config import load_config
from services.front import fanout as fanout_module
from services.front.encoding import Language
from services.front.encodings import http_json, http_protobuf
from services.front.encodings.one_way import ONE_WAY_LINES
from services.front.encodings.others import client_of
from services.front.encodings.websocket_json import WEBSOCKET_JSON
from services.front.encodings.websocket_protobuf import WEBSOCKET_PROTOBUF
from services.view.history import Publication
from tests.unit.front.stage import OPEN, OPEN_CHANNELS, Client, ProtobufClient, Stage, staging
from tests.unit.front.test_deltas import Reader, publication, pushed, subscribe

HISTORY = {"history_size": 50, "history_ttl": "1m", "force_recovery": True, **OPEN_CHANNELS}
NAMESPACES: list[dict[str, Any]] = [
    {"name": "silent", "echo": False, **HISTORY},
    {"name": "delta", "echo": False, "delta_publish": True, **HISTORY},
    {"name": "brief", "echo": False, **OPEN_CHANNELS},
]
LANGUAGES = {
    "WebSocket, JSON": WEBSOCKET_JSON,
    "WebSocket, Protobuf": WEBSOCKET_PROTOBUF,
    "http_stream": http_json.CHUNKED_LINES,
    "SSE": http_json.CHUNKED_BLOCKS,
    "SSE over HTTP/1.0": http_json.BLOCKS,
    "poll": http_json.POLLED_LINES,
    "http_stream, Protobuf": http_protobuf.CHUNKED_MESSAGES,
}


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    """A front with channels without echo."""
    config = load_config(environ={}, defaults={**OPEN, "namespace": NAMESPACES})
    async with staging(config) as stage:
        yield stage


async def follow(client: Client, channel: str = "silent:a", **request: object) -> Any:
    (reply,) = await client.ask({"id": 2, "subscribe": {"channel": channel, **request}})
    return reply["subscribe"]


async def publish(client: Client, *data: object, channel: str = "silent:a") -> None:
    """Publish, and wait for the answers; they come after what is pushed."""
    for each in data:
        await client.send({"id": 7, "publish": {"channel": channel, "data": each}})
    assert client.session.unanswered == len(data)
    await until_answered(client)


async def until_answered(client: Client) -> None:
    async with asyncio.timeout(5):
        while client.session.unanswered:  # noqa: ASYNC110  (answers tell nobody else)
            await asyncio.sleep(0.001)


def told(client: Client) -> list[Any]:
    return [each["data"] for each in pushed(client.news())]


def made_by(client: Client, offset: int, version: int | None = None) -> Publication:
    return publication(offset, version)._replace(sender=client.session.info(b""))


@pytest.mark.parametrize("kind", [Client, ProtobufClient])
async def test_a_client_is_told_what_others_publish_and_not_its_own(
    stage: Stage, kind: type[Client]
) -> None:
    client, other = kind(stage.parts), await stage.client()
    await client.connect()
    for each in (client, other):
        await follow(each)
    await publish(client, "mine")
    await publish(other, "the other's")
    assert told(client) == ["the other's"]
    assert told(other) == ["mine"]


async def test_by_default_a_client_is_told_its_own(stage: Stage) -> None:
    client = await stage.client()
    await follow(client, "a")
    await publish(client, "mine", channel="a")
    assert told(client) == ["mine"]


async def test_another_client_of_the_same_user_is_told(stage: Stage) -> None:
    tab, another = await stage.client(), await stage.client()
    assert tab.session.user == another.session.user
    await follow(tab, "brief:a")
    await follow(another, "brief:a")
    await publish(tab, "from this tab", channel="brief:a")
    assert told(tab) == []
    assert told(another) == ["from this tab"]


async def test_what_a_token_says_of_a_client_does_not_make_it_another(stage: Stage) -> None:
    client = await stage.client()
    await follow(client)
    subscription = client.session.subscription("silent:a")
    assert subscription is not None
    subscription.chan_info = b'{"seat":3}'
    await publish(client, "mine")
    assert told(client) == []


async def test_a_history_and_what_is_recovered_have_ones_own(stage: Stage) -> None:
    client = await stage.client()
    await follow(client)
    await publish(client, "one", "two")
    (reply,) = [
        each
        for each in await client.ask({"id": 9, "history": {"channel": "silent:a", "limit": 9}})
        if "history" in each
    ]
    assert [each["data"] for each in reply["history"]["publications"]] == ["one", "two"]
    back = await stage.client()
    result = await follow(back, recover=True, offset=1)
    assert [each["data"] for each in result["publications"]] == ["two"]


async def test_every_numbered_publication_tells_the_epoch(stage: Stage) -> None:
    client, other = await stage.client(), await stage.client()
    epoch = (await follow(client))["epoch"]
    await publish(client, "the first of all")
    await publish(other, "the second")
    (second,) = pushed(client.news())
    assert (second["offset"], second["epoch"]) == (2, epoch)
    await follow(client, "brief:a")
    await publish(other, "without a number", channel="brief:a")
    (unnumbered,) = pushed(client.news())
    assert "epoch" not in unnumbered


@pytest.mark.parametrize("slice_sessions", [1, 1000])
async def test_who_published_parts_of_a_record_is_told_the_rest(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, slice_sessions: int
) -> None:
    monkeypatch.setattr(fanout_module, "SLICE_SESSIONS", slice_sessions)
    clients = [await stage.client() for _ in range(4)]
    for client in clients:
        await follow(client)
    first, second, third, _ = clients
    record = [made_by(first, 1), made_by(second, 2), made_by(first, 3), publication(4)]
    stage.fanout.publish("silent:a", record, stage.parts.view.sequence + 1, "an epoch")
    stage.fanout.publish("silent:a", [made_by(third, 5)], stage.parts.view.sequence + 2, "")
    await stage.until(lambda: stage.fanout.waiting_bytes == 0)
    versions = [[each["version"] for each in told(client)] for client in clients]
    assert versions == [[2, 4, 5], [1, 3, 4, 5], [1, 2, 3, 4], [1, 2, 3, 4, 5]]


async def test_everybody_else_gets_the_same_bytes(stage: Stage) -> None:
    maker, *others = [await stage.client() for _ in range(4)]
    for client in (maker, *others):
        await follow(client)
        client.news()
    stage.fanout.publish("silent:a", [made_by(maker, 1)], stage.parts.view.sequence + 1)
    stage.parts.flusher.flush()
    assert len({id(client.wire.writes[-1]) for client in others}) == 1
    assert maker.news() == []


@pytest.mark.parametrize("slice_sessions", [1, 1000])
async def test_with_deltas_what_follows_ones_own_is_whole_and_the_rest_changes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, slice_sessions: int
) -> None:
    monkeypatch.setattr(fanout_module, "SLICE_SESSIONS", slice_sessions)
    client, other = await stage.client(), await stage.client()
    readers = {client: Reader(), other: Reader()}
    for each in readers:
        await subscribe(each)
    made = [
        [publication(1)],
        [made_by(client, 2), publication(3), publication(4)],
        [made_by(client, 5)],
        [made_by(client, 6), made_by(other, 7)],
        [publication(8)],
    ]
    before = None
    for number, record in enumerate(made, stage.parts.view.sequence + 1):
        stage.fanout.publish("delta:a", record, number, "an epoch", before)
        before = record[-1]
    await stage.until(lambda: stage.fanout.waiting_bytes == 0)
    whole = {client: [1, 3, 7], other: [1, 8]}
    for each, own in ((client, {2, 5, 6}), (other, {7})):
        heard = pushed(each.news())
        versions = [readers[each].read(one)["version"] for one in heard]
        assert versions == [offset for offset in range(1, 9) if offset not in own]
        assert [one["offset"] for one in heard if not one.get("delta")] == whole[each]


async def test_who_joins_in_the_middle_of_a_slice_is_told_others_alone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout_module, "SLICE_SESSIONS", 2)
    clients = [await stage.client() for _ in range(9)]
    for client in clients[:8]:
        await follow(client)
    number = stage.parts.view.sequence
    stage.fanout.publish("silent:a", [publication(1)], number + 1)
    late = clients[8]
    stage.parts.view.sequence = number + 1
    await follow(late)
    for offset in (2, 3):
        stage.fanout.publish("silent:a", [made_by(late, offset)], number + offset)
    stage.fanout.publish("silent:a", [publication(4)], number + 4)
    await stage.until(lambda: stage.fanout.waiting_bytes == 0)
    assert [each["version"] for each in told(late)] == [4]
    assert [each["version"] for each in told(clients[0])] == [1, 2, 3, 4]


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES.keys())
def test_in_every_encoding_a_client_is_sent_what_the_others_are_but_for_its_own(
    language: Language,
) -> None:
    one = b'{"user":"u","client":"one"}'
    two = b'{"user":"u","client":"two","conn_info":{"client":"one"}}'
    record = [
        publication(1)._replace(sender=one),
        publication(2)._replace(sender=two),
        publication(3),
    ]
    [frame] = language.others.encode("a", record, 7, "epoch")
    assert (frame.sequence, frame.publications, frame.clients) == (7, 3, {"one", "two"})
    alone = [language.others.encode("a", [each], 7, "epoch")[0].content for each in record]
    assert frame.without("one", 0) == (alone[1] + alone[2], 2, 0)
    assert frame.without("two", 0) == (alone[0] + alone[2], 2, 0)
    assert frame.without("three", 0)[:2] == (b"".join(alone), 3)


def test_a_one_way_client_publishes_nothing_and_is_told_all() -> None:
    assert ONE_WAY_LINES.others is ONE_WAY_LINES


def test_large_publications_share_no_frame() -> None:
    large = [publication(n)._replace(data=b'"' + b"x" * 40_000 + b'"') for n in (1, 2, 3)]
    assert len(WEBSOCKET_JSON.others.encode("a", large, 1, "")) == 3


@pytest.mark.parametrize("sender", [b"null", b"", b"{", b'"text"', b"[]", b'{"client":5}', b"\xff"])
def test_what_names_no_client_is_nobodys_own(sender: bytes) -> None:
    assert client_of(sender) == ""
