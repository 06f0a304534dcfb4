"""Deltas: who asked for it is told what changed, against what it was told before."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from services.config import load_config
from services.front import fanout as fanout_module
from services.front.encoding import FRAME_BYTES_AT_MOST
from services.front.encodings.websocket_json import WEBSOCKET_JSON
from services.front.hub import Subscription
from services.view.history import Publication
from services.wire import client_pb2
from tests.conformance.protobuf import cut
from tests.unit.fossil_reader import decode_delta
from tests.unit.front.stage import (
    OPEN,
    OPEN_CHANNELS,
    Client,
    ProtobufClient,
    Stage,
    frames,
    staging,
)

STATE = {"name": "a document", "tags": ["one", "two", "three"] * 10, "version": 0}
HISTORY = {"history_size": 5, "history_ttl": "1m", **OPEN_CHANNELS}
NAMESPACES: list[dict[str, Any]] = [
    {"name": "delta", "delta_publish": True, "force_recovery": True, **HISTORY},
    {"name": "asked", "delta_publish": True, "allow_positioning": True, **HISTORY},
    {"name": "whole", "force_recovery": True, **HISTORY},
    {
        "name": "none",
        "delta_publish": True,
        "allowed_delta_types": [],
        "force_recovery": True,
        **HISTORY,
    },
]


@pytest_asyncio.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """A front whose slices are small."""
    monkeypatch.setattr(fanout_module, "SLICE_SESSIONS", 10)
    config = load_config(environ={}, defaults={**OPEN, "namespace": NAMESPACES})
    async with staging(config) as stage:
        yield stage


class Reader:
    """What a client with deltas makes of what it is told, as the SDKs do it."""

    def __init__(self) -> None:
        self.known = b""
        self.deltas = 0

    def read(self, publication: dict[str, Any]) -> Any:
        told = publication["data"].encode()
        if publication.get("delta"):
            self.deltas += 1
            told = decode_delta(self.known, told)
        self.known = told
        return json.loads(told)


async def subscribe(client: Client, channel: str = "delta:a", **request: object) -> Any:
    (reply,) = await client.ask(
        {"id": 99, "subscribe": {"channel": channel, "delta": "fossil", **request}}
    )
    return reply["subscribe"]


async def publish(client: Client, *versions: int, channel: str = "delta:a") -> None:
    """Publish states, as a client that follows nothing."""
    for version in versions:
        data = {**STATE, "version": version}
        await client.send({"id": 7, "publish": {"channel": channel, "data": data}})
        await client.next(1)


def pushed(news: list[Any]) -> list[dict[str, Any]]:
    return [each["push"]["pub"] for each in news if "push" in each]


def publication(offset: int, version: int | None = None) -> Publication:
    data = json.dumps({**STATE, "version": offset if version is None else version}).encode()
    return Publication(offset, data, b"null", 0)


async def test_the_first_is_whole_and_later_ones_are_what_changed(stage: Stage) -> None:
    client, other, reader = await stage.client(), await stage.client(), Reader()
    result = await subscribe(client)
    assert result["delta"] is True
    await publish(other, 1, 2, 3)

    told = pushed(client.news())
    assert [each.get("delta", False) for each in told] == [False, True, True]
    assert [reader.read(each)["version"] for each in told] == [1, 2, 3]
    assert len(told[1]["data"]) < len(told[0]["data"]) // 4
    assert told[1]["info"]["client"] == other.session.id


@pytest.mark.parametrize(
    ("channel", "request_of_it"),
    [
        ("delta:a", {"delta": ""}),
        ("delta:a", {"delta": "gzip"}),
        ("whole:a", {}),
        ("none:a", {}),
        ("asked:a", {}),
    ],
)
async def test_others_are_told_the_whole_as_it_is(
    stage: Stage, channel: str, request_of_it: dict[str, object]
) -> None:
    client, other = await stage.client(), await stage.client()
    assert "delta" not in await subscribe(client, channel, **request_of_it)
    await publish(other, 1, 2, channel=channel)
    assert [each["data"]["version"] for each in pushed(client.news())] == [1, 2]


async def test_deltas_are_there_for_whom_asks_for_positions_too(stage: Stage) -> None:
    client = await stage.client()
    assert (await subscribe(client, "asked:a", positioned=True))["delta"] is True


async def test_in_protobuf_they_are_bytes(stage: Stage) -> None:
    client, other = ProtobufClient(stage.parts), await stage.client()
    await client.connect()
    await client.send({"id": 3, "subscribe": {"channel": "delta:a", "delta": "fossil"}})
    await publish(other, 1, 2)
    stage.parts.flusher.flush()

    messages = [m for _, content in frames(client.wire.writes) for m in cut(content)]
    replies = [client_pb2.Reply.FromString(message) for message in messages]
    assert [reply.subscribe.delta for reply in replies if reply.HasField("subscribe")] == [True]
    whole, changed = [reply.push.pub for reply in replies if reply.HasField("push")]
    assert (whole.delta, changed.delta) == (False, True)
    assert json.loads(whole.data)["version"] == 1
    assert json.loads(decode_delta(whole.data, changed.data))["version"] == 2
    assert changed.info.client == other.session.id


async def test_who_comes_back_is_told_what_changed_after_the_first(stage: Stage) -> None:
    client, other, reader = await stage.client(), await stage.client(), Reader()
    await publish(other, 1, 2, 3, 4)
    result = await subscribe(client, recover=True, offset=1)
    assert result["recovered"] is True
    assert [each.get("delta", False) for each in result["publications"]] == [False, True, True]
    assert [reader.read(each)["version"] for each in result["publications"]] == [2, 3, 4]

    await publish(other, 5)
    (told,) = pushed(client.news())
    assert told["delta"] is True
    assert reader.read(told)["version"] == 5


async def test_who_comes_back_and_missed_nothing_is_told_the_next_whole(stage: Stage) -> None:
    client, other = await stage.client(), await stage.client()
    await publish(other, 1)
    result = await subscribe(client, recover=True, offset=1)
    assert result["recovered"] is True
    await publish(other, 2)
    (told,) = pushed(client.news())
    assert "delta" not in told


async def test_a_history_has_no_deltas(stage: Stage) -> None:
    client, other = await stage.client(), await stage.client()
    await subscribe(client)
    await publish(other, 1, 2)
    client.news()
    (reply,) = await client.ask({"id": 3, "history": {"channel": "delta:a", "limit": 9}})
    publications = reply["history"]["publications"]
    assert [each["data"]["version"] for each in publications] == [1, 2]


async def test_who_joins_gets_the_first_whole_while_others_get_what_changed(stage: Stage) -> None:
    early, late, other = [await stage.client() for _ in range(3)]
    readers = {early: Reader(), late: Reader()}
    await subscribe(early)
    await publish(other, 1)
    await subscribe(late)
    await publish(other, 2, 3)
    first, second = pushed(early.news()), pushed(late.news())
    assert [each.get("delta", False) for each in first] == [False, True, True]
    assert [each.get("delta", False) for each in second] == [False, True]
    assert [readers[early].read(each)["version"] for each in first] == [1, 2, 3]
    assert [readers[late].read(each)["version"] for each in second] == [2, 3]
    assert second[1] == first[2]


async def join(stage: Stage, count: int, joined_at: int = 0) -> list[Client]:
    deltas = WEBSOCKET_JSON.deltas
    assert deltas is not None
    clients = [await stage.client() for _ in range(count)]
    for client in clients:
        client.news()
        subscription = Subscription(client.session, "huge", joined_at, is_positioned=True)
        subscription.tell_in(deltas)
        client.session.join(subscription)
    return clients


async def test_all_of_a_channel_share_the_same_bytes(stage: Stage) -> None:
    clients = await join(stage, 3)
    for number in (1, 2):
        before = publication(number - 1) if number > 1 else None
        stage.fanout.publish("huge", [publication(number)], number, "", before)
        stage.parts.flusher.flush()
        assert len({id(client.wire.writes[-1]) for client in clients}) == 1


@pytest.mark.parametrize("size", [5, 35])
async def test_a_huge_channel_is_told_the_same_in_slices(stage: Stage, size: int) -> None:
    clients = await join(stage, size)
    readers = [Reader() for _ in clients]
    for record in range(1, 30, 2):
        before = publication(record - 1) if record > 1 else None
        stage.fanout.publish(
            "huge", [publication(record), publication(record + 1)], record, "", before
        )
        if record % 5 == 0:
            clients += await join(stage, 2, joined_at=record)
            readers += [Reader(), Reader()]
        await asyncio.sleep(0)
    await stage.until(lambda: stage.fanout.waiting_bytes == 0)
    for number, (client, reader) in enumerate(zip(clients, readers, strict=True)):
        told = pushed(client.news())
        offsets = [each["offset"] for each in told]
        assert offsets == list(range(offsets[0], 31))
        assert [reader.read(each)["version"] for each in told] == offsets
        assert reader.deltas == len(told) - 1
        assert offsets[0] == 1 or number >= size


async def test_a_publication_that_nothing_is_known_before_is_whole_for_all(stage: Stage) -> None:
    (client,) = await join(stage, 1)
    stage.fanout.publish("huge", [publication(1)], 1)
    stage.fanout.publish("huge", [publication(4)], 3)
    assert [each.get("delta", False) for each in pushed(client.news())] == [False] * 2


async def test_where_not_all_are_told_a_change_is_told_since_the_last_that_was(
    stage: Stage,
) -> None:
    (client,) = await join(stage, 1)
    reader = Reader()
    stage.fanout.publish("huge", [publication(1)], 1)
    stage.fanout.publish("huge", [publication(4)], 2, "", publication(1))
    stage.fanout.publish("huge", [publication(9)], 3, "", publication(5))
    told = pushed(client.news())
    assert [each.get("delta", False) for each in told] == [False, True, False]
    assert [reader.read(each)["version"] for each in told] == [1, 4, 9]


async def test_what_is_not_numbered_breaks_the_chain(stage: Stage) -> None:
    (client,) = await join(stage, 1)
    reader = Reader()
    stage.fanout.publish("huge", [publication(1)], 1)
    stage.fanout.publish("huge", [publication(0, 9)], 2, "", publication(1))
    stage.fanout.publish("huge", [publication(2)], 3, "", publication(1))
    stage.fanout.publish("huge", [publication(3)], 4, "", publication(2))
    told = pushed(client.news())
    assert [each.get("delta", False) for each in told] == [False, False, False, True]
    assert [reader.read(each)["version"] for each in told] == [1, 9, 2, 3]


async def test_what_is_large_together_is_told_in_several_frames_of_one_chain(stage: Stage) -> None:
    clients = await join(stage, 1)
    reader = Reader()
    stage.fanout.publish("huge", [large(1, "x")], 1)
    half = FRAME_BYTES_AT_MOST // 2
    assert len(large(1, "x").data) > half
    stage.fanout.publish(
        "huge", [large(2, "y"), large(3, "y"), large(4, "z"), large(5, "z")], 2, "", large(1, "x")
    )
    told = pushed(clients[0].news())
    assert [each.get("delta", False) for each in told] == [False, False, True, False, True]
    assert [reader.read(each)[:2] for each in told] == ["1x", "2y", "3y", "4z", "5z"]


def large(offset: int, letter: str) -> Publication:
    data = b'"%d%b"' % (offset, letter.encode() * 40_000)
    return Publication(offset, data, b"null", 0)


async def test_a_payload_of_no_likeness_is_whole(stage: Stage) -> None:
    (client,) = await join(stage, 1)
    stage.fanout.publish("huge", [Publication(1, b'"abc"', b"null", 0)], 1)
    stage.fanout.publish(
        "huge", [Publication(2, b'"abd"', b"null", 0)], 2, "", Publication(1, b'"abc"', b"null", 0)
    )
    assert [each["data"] for each in pushed(client.news())] == ['"abc"', '"abd"']
