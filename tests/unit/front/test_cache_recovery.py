"""Cache recovery: who comes back, or comes at all, gets the newest publication alone."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from services.config import load_config
from tests.unit.front.stage import OPEN, OPEN_CHANNELS, Client, Stage, staging

CACHE = {
    "history_size": 3,
    "history_ttl": "1m",
    "force_recovery_mode": "cache",
    **OPEN_CHANNELS,
}
NAMESPACES: list[dict[str, Any]] = [
    {"name": "cache", "force_recovery": True, **CACHE},
    {"name": "auto", "force_recovery": True, "auto_cache_recover": True, **CACHE},
    {"name": "asked", "allow_recovery": True, **CACHE},
    {"name": "delta", "force_recovery": True, "delta_publish": True, **CACHE},
]


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    config = load_config(environ={}, defaults={**OPEN, "namespace": NAMESPACES})
    async with staging(config) as stage:
        yield stage


async def subscribe(stage: Stage, channel: str = "cache:a", **request: object) -> Any:
    client = await stage.client()
    (reply,) = await client.ask({"id": 2, "subscribe": {"channel": channel, **request}})
    return reply.get("subscribe", reply.get("error"))


async def publish(client: Client, *values: int, channel: str = "cache:a") -> None:
    for value in values:
        await client.send({"id": 7, "publish": {"channel": channel, "data": value}})
        await client.next(1)


def told(result: Any) -> tuple[bool, list[int]]:
    """Whether it was recovered, and the data that came with it."""
    publications = result.get("publications", [])
    return result.get("recovered", False), [each["data"] for each in publications]


async def test_who_comes_back_gets_the_newest_alone(stage: Stage) -> None:
    await publish(await stage.client(), 1, 2, 3, 4, 5)
    epoch = (await subscribe(stage))["epoch"]
    result = await subscribe(stage, recover=True, epoch=epoch, offset=1)
    assert told(result) == (True, [5])
    # More is missing than is kept, and it makes no difference.
    assert (result["offset"], result["was_recovering"]) == (1, True)
    assert result["publications"][0]["offset"] == 5


async def test_who_is_there_already_gets_nothing(stage: Stage) -> None:
    await publish(await stage.client(), 1, 2)
    result = await subscribe(stage, recover=True, offset=2)
    assert told(result) == (True, [])
    assert result["offset"] == 2


async def test_who_comes_from_another_epoch_gets_the_newest_too(stage: Stage) -> None:
    await publish(await stage.client(), 1, 2)
    result = await subscribe(stage, recover=True, epoch="_", offset=2)
    assert told(result) == (True, [2])


async def test_who_asks_from_the_beginning_gets_the_newest(stage: Stage) -> None:
    await publish(await stage.client(), 1, 2)
    assert told(await subscribe(stage, recover=True)) == (True, [2])


async def test_an_empty_channel_has_nothing_to_recover(stage: Stage) -> None:
    assert told(await subscribe(stage, recover=True)) == (True, [])


async def test_who_does_not_ask_gets_nothing(stage: Stage) -> None:
    await publish(await stage.client(), 1, 2)
    result = await subscribe(stage)
    assert told(result) == (False, [])
    assert result["offset"] == 2


async def test_who_does_not_ask_gets_it_where_that_is_automatic(stage: Stage) -> None:
    await publish(await stage.client(), 1, 2, channel="auto:a")
    result = await subscribe(stage, "auto:a")
    assert told(result) == (True, [2])
    assert "was_recovering" not in result
    assert told(await subscribe(stage, "auto:empty")) == (True, [])


async def test_recovery_is_for_whom_asks_where_it_is_only_allowed(stage: Stage) -> None:
    await publish(await stage.client(), 1, 2, channel="asked:a")
    assert told(await subscribe(stage, "asked:a", recover=True)) == (False, [])
    result = await subscribe(stage, "asked:a", recover=True, recoverable=True)
    assert told(result) == (True, [2])


@pytest.mark.parametrize("channel", ["cache:a", "auto:a"])
async def test_a_newest_that_is_kept_no_longer_is_not_recovered(
    stage: Stage, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(await stage.client(), 1, 2, channel=channel)
    monkeypatch.setattr("services.front.view._now_ms", lambda: 2**62)
    result = await subscribe(stage, channel, recover=True, offset=1)
    assert told(result) == (False, [])
    assert (result["offset"], result["was_recovering"]) == (2, True)
    refused = await subscribe(stage, channel, recover=True, offset=1, flag=2)
    assert refused["code"] == 112


async def test_who_did_not_ask_is_not_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(await stage.client(), 1, channel="auto:a")
    monkeypatch.setattr("services.front.view._now_ms", lambda: 2**62)
    assert told(await subscribe(stage, "auto:a", flag=2)) == (False, [])


async def test_who_is_ahead_of_the_log_is_not_recovered(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.front.view_partition._REACH_SECONDS", 0.05)
    await publish(await stage.client(), 1)
    epoch = (await subscribe(stage))["epoch"]
    result = await subscribe(stage, recover=True, epoch=epoch, offset=3)
    assert told(result) == (False, [])


async def test_the_newest_is_whole_and_what_follows_is_what_changed(stage: Stage) -> None:
    publisher, client = await stage.client(), await stage.client()
    for number in (1, 2):
        data = {"same": "x" * 100, "n": number}
        await publisher.send({"id": 7, "publish": {"channel": "delta:a", "data": data}})
        await publisher.next(1)
    request = {"channel": "delta:a", "recover": True, "delta": "fossil"}
    (reply,) = await client.ask({"id": 2, "subscribe": request})
    [newest] = reply["subscribe"]["publications"]
    assert isinstance(newest["data"], str)
    assert "delta" not in newest

    data = {"same": "x" * 100, "n": 3}
    await publisher.send({"id": 7, "publish": {"channel": "delta:a", "data": data}})
    await publisher.next(1)
    (push,) = client.news()
    assert push["push"]["pub"]["delta"] is True
