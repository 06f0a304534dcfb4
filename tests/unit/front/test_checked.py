"""What the worker checks by the settings alone, as clients see it: schemas and rates."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.config import load_config
from tests.unit.front.stage import OPEN, OPEN_CHANNELS, Client, ProtobufClient, Stage, staging

SCHEMA = """{
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string", "maxLength": 500}}
}"""
TOO_LONG = {"text": "x" * 501}
REFUSED = {"code": 401, "message": "invalid data: /text: longer than 500 characters"}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    (tmp_path / "chat.json").write_text(SCHEMA)
    checked = {**OPEN_CHANNELS, "schema": str(tmp_path / "chat.json")}
    namespaces = [
        {"name": "chat", "history_size": 10, "history_ttl": "1m", **checked},
        {"name": "queued", "reply": "queued", **checked},
        {"name": "slow", "rate": "2/h", **OPEN_CHANNELS},
        {"name": "burst", "reply": "queued", "user_rate": "2/h", **OPEN_CHANNELS},
    ]
    async with staging(load_config(environ={}, defaults={**OPEN, "namespace": namespaces})) as made:
        yield made


def publish(command_id: int, channel: str, data: object) -> dict[str, object]:
    return {"id": command_id, "publish": {"channel": channel, "data": data}}


async def test_who_publishes_what_does_not_fit_is_told_where_and_nobody_gets_it(
    stage: Stage,
) -> None:
    sender, reader = await stage.client(), await stage.client()
    await reader.ask({"id": 2, "subscribe": {"channel": "chat:1"}})
    await sender.send(publish(2, "chat:1", TOO_LONG))
    assert await sender.next(1) == [{"id": 2, "error": REFUSED}]
    await sender.send(publish(3, "chat:1", {"text": "hello"}))
    assert await sender.next(1) == [{"id": 3, "publish": {}}]
    (push,) = await reader.next(1)
    assert push["push"]["pub"]["data"] == {"text": "hello"}
    assert push["push"]["pub"]["offset"] == 1


async def test_a_client_in_protobuf_is_told_the_same(stage: Stage) -> None:
    client = ProtobufClient(stage.parts)
    await client.connect()
    await client.send(publish(2, "chat:1", TOO_LONG))
    assert await client.next(1) == [{"id": 2, "error": REFUSED}]


async def test_in_a_queued_namespace_it_is_told_later_and_kept(stage: Stage) -> None:
    client = await stage.client()
    await client.send(publish(2, "queued:1", TOO_LONG))
    reply, message = await client.next(2)
    assert reply == {"id": 2, "publish": {}}
    assert message["push"]["message"]["data"]["refused"]["error"] == REFUSED
    await stage.until(lambda: len(stage.broker.dead_letters()) == 1)


async def answers(client: Client, channel: str, count: int) -> list[object]:
    await client.send(*(publish(number, channel, number) for number in range(2, 2 + count)))
    return [reply.get("error", {}).get("code") for reply in await client.next(count)]


async def test_publications_over_a_channels_rate_are_refused_for_the_moment(stage: Stage) -> None:
    client, other = await stage.client(), await stage.client()
    assert await answers(client, "slow:1", 3) == [None, None, 111]
    assert await answers(other, "slow:1", 1) == [111]
    assert await answers(other, "slow:2", 1) == [None]
    await client.send(publish(9, "slow:1", 1))
    (reply,) = await client.next(1)
    assert reply["error"] == {
        "code": 111,
        "message": "too many requests: over 2/h in this channel (rate)",
        "temporary": True,
    }


async def test_a_flood_over_a_rate_is_told_late_and_not_kept_in_a_queued_namespace(
    stage: Stage,
) -> None:
    client = await stage.client()
    await client.send(*(publish(number, "burst:1", number) for number in range(2, 12)))
    news = await client.next(18)
    late = [each["push"]["message"]["data"]["refused"] for each in news if "push" in each]
    assert [each["error"]["code"] for each in late] == [111] * 8
    # What comes after it is kept, and is alone.
    await client.send(publish(20, "queued:1", TOO_LONG))
    await stage.until(lambda: bool(stage.broker.dead_letters()))
    (letter,) = stage.broker.dead_letters()
    assert letter.explanation.startswith("401 ")
