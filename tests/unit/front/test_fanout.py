"""Fan-out: once encoded, in order, in slices where a channel is huge."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from services.front import fanout as fanout_module
from services.front.hub import Subscription
from services.view.history import Publication
from tests.unit.front.stage import Client, Stage, open_config, staging

SLICE = 10


@pytest_asyncio.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """A front whose slices are small."""
    monkeypatch.setattr(fanout_module, "SLICE_SESSIONS", SLICE)
    async with staging(has_worker=False) as stage:
        yield stage


def publication(offset: int, content: bytes = b'"x"') -> Publication:
    return Publication(offset, content, b"null", 0)


def join(stage: Stage, client: Client, joined_at: int = 0, channel: str = "huge") -> Subscription:
    subscription = Subscription(client.session, channel, joined_at, is_positioned=True)
    client.session.join(subscription)
    return subscription


async def crowd(stage: Stage, size: int) -> list[Client]:
    clients = [await stage.client() for _ in range(size)]
    for client in clients:
        join(stage, client)
        client.news()
    return clients


def offsets(news: list[Any]) -> list[int]:
    return [each["push"]["pub"]["offset"] for each in news]


async def settle(stage: Stage) -> None:
    await stage.until(lambda: stage.fanout.waiting_bytes == 0)


async def test_everybody_gets_the_same_bytes(stage: Stage) -> None:
    clients = await crowd(stage, 3)
    stage.fanout.publish("huge", [publication(1), publication(2)], 1, "an epoch")
    for client in clients:
        assert offsets(client.news()) == [1, 2]
    frames = {id(client.wire.writes[-1]) for client in clients}
    assert len(frames) == 1


async def test_the_first_publication_tells_the_epoch(stage: Stage) -> None:
    (client,) = await crowd(stage, 1)
    stage.fanout.publish("huge", [publication(1), publication(2)], 1, "an epoch")
    first, second = client.news()
    assert first["push"]["pub"]["epoch"] == "an epoch"
    assert "epoch" not in second["push"]["pub"]


async def test_large_publications_share_no_frame(stage: Stage) -> None:
    (client,) = await crowd(stage, 1)
    large = b'"' + b"x" * 40_000 + b'"'
    stage.fanout.publish("huge", [publication(n, large) for n in (1, 2, 3)], 1)
    stage.parts.flusher.flush()
    assert client.wire.writes[-1].count(b"\x81\x7e") == 3
    assert offsets(client.news()) == [1, 2, 3]


async def test_a_channel_nobody_follows_costs_nothing(stage: Stage) -> None:
    stage.fanout.publish("nobody", [publication(1)], 1)
    assert stage.parts.measures.publications.value == 0


async def test_a_huge_channel_is_served_a_slice_a_turn(stage: Stage) -> None:
    clients = await crowd(stage, 3 * SLICE)
    stage.fanout.publish("huge", [publication(1)], 1)
    assert sum(bool(client.news()) for client in clients) == 0
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    served = sum(bool(client.news()) for client in clients)
    assert 0 < served < len(clients)
    await settle(stage)
    assert stage.parts.measures.deliveries.value == len(clients)


async def test_other_channels_are_served_meanwhile(stage: Stage) -> None:
    await crowd(stage, 3 * SLICE)
    small = await stage.client()
    small.news()
    join(stage, small, channel="small")
    stage.fanout.publish("huge", [publication(1)], 1)
    stage.fanout.publish("small", [publication(1)], 1)
    assert offsets(small.news()) == [1]
    await settle(stage)


async def test_what_is_published_meanwhile_waits_its_turn(stage: Stage) -> None:
    clients = await crowd(stage, 3 * SLICE)
    for offset in range(1, 6):
        stage.fanout.publish("huge", [publication(offset)], offset)
        await asyncio.sleep(0)
    await settle(stage)
    assert all(offsets(client.news()) == [1, 2, 3, 4, 5] for client in clients)


async def test_a_channel_that_shrinks_meanwhile_keeps_its_order(stage: Stage) -> None:
    clients = await crowd(stage, 3 * SLICE)
    stage.fanout.publish("huge", [publication(1)], 1)
    for client in clients[1:]:
        client.session.part("huge")
    stage.fanout.publish("huge", [publication(2)], 2)
    await settle(stage)
    assert offsets(clients[0].news()) == [1, 2]


async def test_who_joins_meanwhile_gets_only_what_comes_after(stage: Stage) -> None:
    await crowd(stage, 3 * SLICE)
    stage.fanout.publish("huge", [publication(1)], 1)
    stage.fanout.publish("huge", [publication(2)], 2)
    late = await stage.client()
    late.news()
    join(stage, late, joined_at=2)
    stage.fanout.publish("huge", [publication(3)], 3)
    await settle(stage)
    assert offsets(late.news()) == [3]


async def test_who_leaves_meanwhile_gets_nothing_more(stage: Stage) -> None:
    clients = await crowd(stage, 3 * SLICE)
    stage.fanout.publish("huge", [publication(1)], 1)
    for client in clients[::2]:
        client.session.part("huge")
    back = clients[0]
    join(stage, back, joined_at=1)
    await settle(stage)
    assert [offsets(client.news()) for client in clients[:4]] == [[], [1], [], [1]]


async def test_slow_clients_are_disconnected_and_nobody_else(stage: Stage) -> None:
    for size in (SLICE // 2, 3 * SLICE):
        clients = await crowd(stage, size)
        slow = clients[1]
        slow.wire.unsent_bytes = stage.parts.config.client.queue_max_size
        stage.fanout.publish("huge", [publication(1)], 1)
        await settle(stage)
        assert [client.closed for client in clients if client.closed] == [3008]
        assert all(offsets(client.news()) == [1] for client in clients if client is not slow)
        for client in clients:
            client.session.leave()


async def test_the_reader_waits_when_too_much_waits(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout_module, "WAITING_BYTES_AT_MOST", 1000)
    clients = await crowd(stage, 3 * SLICE)
    content = b'"' + b"x" * 400 + b'"'
    for offset in range(1, 21):
        await stage.fanout.ready()
        stage.fanout.publish("huge", [publication(offset, content)], offset)
        assert stage.fanout.waiting_bytes < 2000
    await settle(stage)
    assert offsets(clients[-1].news()) == list(range(1, 21))


async def test_a_burst_makes_nobody_slow_who_could_not_be_written_to_yet() -> None:
    async with staging(open_config(client={"queue_max_size": 400_000}), has_worker=False) as stage:
        (client,) = await crowd(stage, 1)
        content = b'"' + b"x" * 60_000 + b'"'
        for offset in range(1, 31):
            await stage.fanout.ready()
            stage.fanout.publish("huge", [publication(offset, content)], offset)
        assert client.closed is None
        assert offsets(client.news()) == list(range(1, 31))


async def test_a_record_larger_than_an_outbox_makes_nobody_slow_who_reads() -> None:
    async with staging(open_config(client={"queue_max_size": 400_000}), has_worker=False) as stage:
        (client,) = await crowd(stage, 1)
        content = b'"' + b"x" * 20_000 + b'"'
        record = [publication(offset, content) for offset in range(1, 31)]
        stage.fanout.publish("huge", record, 1)
        await settle(stage)
        assert client.closed is None
        assert offsets(client.news()) == list(range(1, 31))
