"""Joins and leaves, told on two fronts over the embedded broker."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from services.front import movements
from services.settings import ChannelOptions
from services.wire.errors import Unsubscribed
from tests.unit.front.stage import Client
from tests.unit.front.two_fronts import ROOM, TwoFronts, turns, two_fronts


@pytest_asyncio.fixture
async def fronts() -> AsyncIterator[TwoFronts]:
    async with two_fronts() as fronts:
        yield fronts


async def heard(client: Client) -> list[tuple[str, str]]:
    """What a client was told since the last time: who came, who left."""
    await turns()
    pushes = [line["push"] for line in client.news() if "push" in line]
    return [
        (kind, push[kind]["info"]["client"])
        for push in pushes
        for kind in ("join", "leave")
        if kind in push
    ]


async def test_who_asks_for_it_is_told_who_joins_and_leaves_on_either_front(
    fronts: TwoFronts,
) -> None:
    watcher = await fronts.subscriber(0, join_leave=True)
    for front in (0, 1):
        client = await fronts.subscriber(front)
        assert await heard(watcher) == [("join", client.session.id)]
        await client.ask({"id": 3, "unsubscribe": {"channel": ROOM}})
        assert await heard(watcher) == [("leave", client.session.id)]
        await client.ask({"id": 4, "subscribe": {"channel": ROOM}})
        client.session.leave()
        assert await heard(watcher) == [
            ("join", client.session.id),
            ("leave", client.session.id),
        ]


async def test_a_join_says_who_it_is(fronts: TwoFronts) -> None:
    watcher = await fronts.subscriber(0, join_leave=True)
    client = await fronts.subscriber(1)
    await turns()
    (line,) = watcher.news()
    info = {"user": "", "client": client.session.id}
    assert line == {"push": {"channel": ROOM, "join": {"info": info}}}


async def test_a_subscriber_hears_of_its_own_join_after_the_reply_but_not_of_its_leave(
    fronts: TwoFronts,
) -> None:
    client = await fronts.client()
    await client.send({"id": 2, "subscribe": {"channel": ROOM, "join_leave": True}})
    await turns()
    reply, push = client.news()
    assert reply["id"] == 2
    assert push["push"]["join"]["info"]["client"] == client.session.id
    await client.send({"id": 3, "unsubscribe": {"channel": ROOM}})
    await turns()
    assert client.news() == [{"id": 3, "unsubscribe": {}}]


async def test_who_subscribes_and_leaves_in_one_turn_hears_nothing_more(fronts: TwoFronts) -> None:
    client = await fronts.client()
    lines = await client.ask(
        {"id": 2, "subscribe": {"channel": ROOM, "join_leave": True}},
        {"id": 3, "unsubscribe": {"channel": ROOM}},
    )
    assert [line["id"] for line in lines] == [2, 3]
    assert await heard(client) == []


async def test_who_does_not_ask_is_told_nothing(fronts: TwoFronts) -> None:
    client = await fronts.subscriber(0)
    await fronts.subscriber(0)
    assert await heard(client) == []


async def test_where_it_is_forced_everybody_is_told(fronts: TwoFronts) -> None:
    client = await fronts.subscriber(0, "lobby:1")
    other = await fronts.subscriber(1, "lobby:1")
    assert await heard(client) == [("join", other.session.id)]


async def test_where_it_is_off_nobody_is_told(fronts: TwoFronts) -> None:
    client = await fronts.subscriber(0, "dark:1", join_leave=True)
    await fronts.subscriber(0, "dark:1")
    await fronts.subscriber(1, "dark:1")
    assert await heard(client) == []


async def test_a_client_that_the_server_takes_out_has_left(fronts: TwoFronts) -> None:
    watcher, client = await fronts.subscriber(0, join_leave=True), await fronts.subscriber(1)
    await heard(watcher)
    subscription = client.session.subscription(ROOM)
    assert subscription is not None
    client.session.end_subscription(subscription, Unsubscribed.BY_SERVER)
    assert await heard(watcher) == [("leave", client.session.id)]


async def test_those_who_end_together_are_told_of_in_few_writes(fronts: TwoFronts) -> None:
    watcher = await fronts.subscriber(0, join_leave=True)
    others = [await fronts.subscriber(1) for _ in range(50)]
    await heard(watcher)
    before = len(watcher.wire.writes)
    for other in others:
        other.session.leave()
    assert await heard(watcher) == [("leave", other.session.id) for other in others]
    assert len(watcher.wire.writes) == before + 1


async def test_listeners_beyond_a_slice_are_told_too(
    fronts: TwoFronts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(movements, "SLICE_SESSIONS", 3)
    watchers = [await fronts.subscriber(0, join_leave=True) for _ in range(10)]
    for watcher in watchers:
        await heard(watcher)
    client = await fronts.subscriber(1)
    for watcher in watchers:
        assert await heard(watcher) == [("join", client.session.id)]


async def test_who_leaves_before_its_slice_is_told_nothing(
    fronts: TwoFronts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(movements, "SLICE_SESSIONS", 1)
    watchers = [await fronts.subscriber(0, join_leave=True) for _ in range(5)]
    for watcher in watchers:
        await heard(watcher)
    newcomer = await fronts.client(0)
    await newcomer.send({"id": 2, "subscribe": {"channel": ROOM}})
    told: list[Client] = []
    while not told:
        await asyncio.sleep(0)
        told = [watcher for watcher in watchers if watcher.news()]
    for watcher in watchers:
        watcher.session.part(ROOM)
    assert [await heard(watcher) for watcher in watchers if watcher not in told] == [[]] * 4


async def test_a_listener_that_is_too_slow_is_let_go(fronts: TwoFronts) -> None:
    watcher = await fronts.subscriber(0, join_leave=True)
    watcher.wire.unsent_bytes = fronts.parts[0].config.client.queue_max_size
    await fronts.subscriber(1)
    await turns()
    assert watcher.closed == 3008


@pytest.mark.parametrize("limit", ["NOTED_BYTES_AT_MOST", "WAITING_BYTES_AT_MOST"])
async def test_what_there_is_no_room_for_is_counted(
    fronts: TwoFronts, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    watcher = await fronts.subscriber(0, join_leave=True)
    monkeypatch.setattr(movements, limit, 10)
    await fronts.subscriber(0)
    assert await heard(watcher) == []
    assert fronts.parts[0].measures.lost_movements.value == 1


async def test_a_front_that_ends_says_who_left_before_it_goes() -> None:
    async with two_fronts() as fronts:
        watcher, client = await fronts.subscriber(0, join_leave=True), await fronts.subscriber(1)
        await heard(watcher)
        client.session.leave()
        await fronts.parts[1].neighbours.leave()
        assert await heard(watcher) == [("leave", client.session.id)]
        assert fronts.parts[0].neighbours.fronts() == set()


@pytest.mark.parametrize("options", [{"force_push_join_leave": True}, {"join_leave": "perhaps"}])
def test_options_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="join_leave"):
        ChannelOptions.model_validate(options)
