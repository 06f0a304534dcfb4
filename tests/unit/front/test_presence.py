"""Who is in a channel, asked of two fronts over the embedded broker."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from services.auth import make_token
from services.front import presence as presence_module
from services.front import presence_answers, presence_question
from services.front.bus_messages import PresenceAnswer
from services.front.presence import ANSWER_SECONDS, REUSE_SECONDS
from services.settings import TokenConfig
from tests.unit.front.stage import SECRET, Client
from tests.unit.front.two_fronts import ROOM, TwoFronts, seen_config, turns, two_fronts

ASK = {"id": 9, "presence": {"channel": ROOM}}
ASK_HOW_MANY = {"id": 9, "presence_stats": {"channel": ROOM}}

PROMISED_SECONDS = 0.2
"""Within which presence is right, once somebody has subscribed anywhere."""


@pytest_asyncio.fixture
async def fronts() -> AsyncIterator[TwoFronts]:
    async with two_fronts() as fronts:
        yield fronts


async def who(client: Client, channel: str = ROOM) -> set[str]:
    """The ids that a client is told."""
    (reply,) = await client.ask({"id": 9, "presence": {"channel": channel}})
    return set(reply["presence"]["presence"])


def ids(*clients: Client) -> set[str]:
    return {client.session.id for client in clients}


async def code_of(client: Client, command: dict[str, Any]) -> int:
    (reply,) = await client.ask(command)
    return int(reply["error"]["code"])


class Spy:
    """Hears what is broadcast."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["kind"] == kind]


@pytest_asyncio.fixture
async def spy(fronts: TwoFronts) -> AsyncIterator[Spy]:
    spy = Spy()

    async def listen() -> None:
        async with access.bus.listen() as bodies:
            async for body in bodies:
                spy.heard.append(json.loads(body))

    async with fronts.broker.open("spy") as access:
        listening = asyncio.create_task(listen())
        await turns()
        yield spy
        listening.cancel()
        await asyncio.wait([listening])


async def test_a_client_sees_who_is_there_on_both_fronts(fronts: TwoFronts) -> None:
    here, there = await fronts.subscriber(0), await fronts.subscriber(1)
    assert await who(here) == await who(there) == ids(here, there)


async def test_presence_tells_what_is_known_of_a_client() -> None:
    tokens = TokenConfig(hmac_secret_key=SECRET)
    config = seen_config(token={"hmac_secret_key": SECRET})
    async with two_fronts(config) as fronts:
        here, there = await fronts.client(0), Client(fronts.parts[1])
        await there.connect(token=make_token(tokens, "ann", info={"name": "Ann"}))
        token = make_token(tokens, "ann", channel=ROOM, info={"role": "guest"})
        await there.ask({"id": 2, "subscribe": {"channel": ROOM, "token": token}})
        (reply,) = await here.ask(ASK)
        assert reply["presence"]["presence"] == {
            there.session.id: {
                "user": "ann",
                "client": there.session.id,
                "conn_info": {"name": "Ann"},
                "chan_info": {"role": "guest"},
            }
        }


async def test_an_empty_channel_has_an_empty_presence(fronts: TwoFronts) -> None:
    client = await fronts.client()
    assert await client.ask(ASK) == [{"id": 9, "presence": {"presence": {}}}]
    (reply,) = await client.ask(ASK_HOW_MANY)
    assert reply == {"id": 9, "presence_stats": {"num_clients": 0, "num_users": 0}}


async def test_users_count_once_however_many_clients_they_have() -> None:
    tokens = TokenConfig(hmac_secret_key=SECRET)
    config = seen_config(token={"hmac_secret_key": SECRET})
    async with two_fronts(config) as fronts:
        for front, user in ((0, "ann"), (0, "ann"), (1, "ann"), (1, "bob"), (1, "")):
            client = Client(fronts.parts[front])
            await client.connect(token=make_token(tokens, user))
            await client.ask({"id": 2, "subscribe": {"channel": ROOM}})
        (reply,) = await (await fronts.client()).ask(ASK_HOW_MANY)
        assert reply["presence_stats"] == {"num_clients": 5, "num_users": 3}


@pytest.mark.parametrize(
    ("channel", "code"), [("dark:1", 108), ("members:1", 103), ("nowhere:1", 102), ("", 107)]
)
async def test_presence_is_refused_where_it_is_not_allowed(
    fronts: TwoFronts, channel: str, code: int
) -> None:
    client = await fronts.client()
    for method in ("presence", "presence_stats"):
        assert await code_of(client, {"id": 9, method: {"channel": channel}}) == code


async def test_own_sessions_count_as_they_are_now(fronts: TwoFronts) -> None:
    first, other = await fronts.subscriber(0), await fronts.subscriber(1)
    assert await who(first) == ids(first, other)
    second = await fronts.subscriber(0)
    assert await who(first) == ids(first, second, other)
    second.session.leave()
    assert await who(first) == ids(first, other)


async def test_those_who_ask_at_once_share_one_question(fronts: TwoFronts, spy: Spy) -> None:
    clients = [await fronts.client(0) for _ in range(5)]
    await asyncio.gather(*(client.send(ASK) for client in clients))
    await turns()
    assert len(spy.of_kind("presence_question")) == 1
    assert all(len(client.news()) == 1 for client in clients)


async def test_questions_of_one_turn_travel_in_one_message(fronts: TwoFronts, spy: Spy) -> None:
    clients = [await fronts.client(0) for _ in range(5)]
    commands = [
        {"id": 9, "presence": {"channel": f"room:{number}"}} for number in range(len(clients))
    ]
    await asyncio.gather(*(c.send(command) for c, command in zip(clients, commands, strict=True)))
    await turns()
    (question,) = spy.of_kind("presence_question")
    assert len(question["subjects"]) == len(clients)


async def test_an_answer_is_reused_for_a_while(fronts: TwoFronts, spy: Spy) -> None:
    client = await fronts.client(0)
    await client.ask(ASK)
    fronts.clock.turn(REUSE_SECONDS / 2)
    await client.ask(ASK)
    assert len(spy.of_kind("presence_question")) == 1
    fronts.clock.turn(REUSE_SECONDS / 2)
    await client.ask(ASK)
    await turns()
    assert len(spy.of_kind("presence_question")) == 2


async def test_who_subscribes_elsewhere_is_counted_soon(fronts: TwoFronts) -> None:
    client = await fronts.client(0)
    await client.ask(ASK_HOW_MANY)
    await fronts.subscriber(1)
    fronts.clock.turn(PROMISED_SECONDS)
    (reply,) = await client.ask(ASK_HOW_MANY)
    assert reply["presence_stats"]["num_clients"] == 1


async def test_joins_and_leaves_that_are_heard_are_put_into_an_answer(
    fronts: TwoFronts, spy: Spy
) -> None:
    client, first = await fronts.client(0), await fronts.subscriber(1)
    assert await who(client) == ids(first)
    second = await fronts.subscriber(1)
    assert await who(client) == ids(first, second)
    first.session.leave()
    await turns()
    assert await who(client) == ids(second)
    assert len(spy.of_kind("presence_question")) == 1


async def test_a_presence_in_flight_is_not_older_than_a_push_before_it(fronts: TwoFronts) -> None:
    watcher, there = await fronts.subscriber(0, join_leave=True), await fronts.subscriber(1)
    async with fronts.mute_front():
        await fronts.forget_answers()
        watcher.news()
        asking = asyncio.create_task(watcher.send(ASK))
        await turns()  # one front has answered
        there.session.leave()
        came = await fronts.subscriber(1)
        left, joined = watcher.news()
        assert "leave" in left["push"]
        assert "join" in joined["push"]
    await fronts.pass_time(ANSWER_SECONDS)
    await asking
    (reply,) = watcher.news()
    assert set(reply["presence"]["presence"]) == ids(watcher, came)


async def test_too_many_joins_while_it_is_asked_cut_an_answer(
    fronts: TwoFronts, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await fronts.client(0)
    assert await who(client) == set()
    monkeypatch.setattr(presence_question, "SUBJECT_BYTES_AT_MOST", 300)
    for _ in range(5):
        await fronts.subscriber(1)
    assert await code_of(client, ASK) == 106


async def test_a_front_that_is_silent_fails_the_question(fronts: TwoFronts) -> None:
    client = await fronts.client(0)
    async with fronts.mute_front():
        await fronts.forget_answers()
        asking = asyncio.create_task(client.send(ASK))
        await turns()
        await fronts.pass_time(ANSWER_SECONDS * 0.9)
        assert client.news() == []
        await fronts.pass_time(ANSWER_SECONDS * 0.1)
        await asking
        (reply,) = client.news()
        assert (reply["error"]["code"], reply["error"]["temporary"]) == (100, True)
        assert fronts.parts[0].measures.presence_unanswered.value == 1
    await turns()
    assert await who(client) == set()


async def test_an_answer_whose_parts_did_not_all_arrive_is_none(fronts: TwoFronts) -> None:
    client = await fronts.client(0)
    async with fronts.mute_front() as mute:
        asking = asyncio.create_task(client.send(ASK))
        await turns()
        second = PresenceAnswer(mute, number=1, part=1, is_last=True, listings=[])
        fronts.parts[1].neighbours.send("a", second)
        await fronts.pass_time(ANSWER_SECONDS)
        await asking
        (reply,) = client.news()
        assert reply["error"]["code"] == 100


async def test_a_front_that_leaves_while_it_is_asked_is_not_missed(fronts: TwoFronts) -> None:
    client, other = await fronts.client(0), await fronts.subscriber(1)
    async with fronts.mute_front():
        await fronts.forget_answers()
        asking = asyncio.create_task(client.send(ASK))
        await turns()
    await turns()
    await fronts.pass_time(ANSWER_SECONDS)
    await asking
    (reply,) = client.news()
    assert set(reply["presence"]["presence"]) == ids(other)


async def test_a_front_without_others_asks_nobody(fronts: TwoFronts) -> None:
    client, gone = await fronts.subscriber(0), await fronts.subscriber(1)
    await fronts.parts[1].neighbours.leave()
    await turns()
    assert await who(client) == ids(client)
    assert await who(gone) == ids(client, gone)
    assert fronts.parts[0].measures.presence_questions.value == 0


async def test_a_front_that_just_started_waits_for_those_it_does_not_know() -> None:
    async with two_fronts(settles=False) as fronts:
        other = await fronts.subscriber(1)
        client = await fronts.client(0)
        asking = asyncio.create_task(client.send(ASK))
        await turns()
        assert client.news() == []
        await fronts.pass_time(ANSWER_SECONDS)
        await asking
        (reply,) = client.news()
        assert set(reply["presence"]["presence"]) == ids(other)


async def test_presence_fails_while_the_bus_is_away(fronts: TwoFronts) -> None:
    client = await fronts.client(0)
    fronts.broker.disconnect("a")
    asking = asyncio.create_task(client.send(ASK))
    await turns()
    await fronts.pass_time(ANSWER_SECONDS)
    await asking
    (reply,) = client.news()
    assert reply["error"]["code"] == 100


async def test_a_presence_in_many_parts_is_whole(
    fronts: TwoFronts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence_answers, "PART_BYTES", 100)
    others = [await fronts.subscriber(1) for _ in range(20)]
    client = await fronts.client(0)
    await fronts.forget_answers()
    assert await who(client) == ids(*others)


@pytest.mark.parametrize(
    ("limit", "front"),
    [
        ((presence_answers, "LISTED_BYTES_AT_MOST"), 0),
        ((presence_answers, "LISTED_BYTES_AT_MOST"), 1),
        ((presence_question, "SUBJECT_BYTES_AT_MOST"), 1),
    ],
)
async def test_more_than_is_listed_is_refused(
    fronts: TwoFronts, monkeypatch: pytest.MonkeyPatch, limit: tuple[Any, str], front: int
) -> None:
    monkeypatch.setattr(*limit, 300)
    for _ in range(5):
        await fronts.subscriber(front)
    client = await fronts.client(0)
    await fronts.forget_answers()
    assert await code_of(client, ASK) == 106
    (reply,) = await client.ask(ASK_HOW_MANY)
    assert reply["presence_stats"] == {"num_clients": 5, "num_users": 1}


async def test_a_presence_without_room_for_it_is_refused(fronts: TwoFronts) -> None:
    client = await fronts.subscriber(0)
    client.wire.unsent_bytes = fronts.parts[0].config.client.queue_max_size - 150
    await client.send(ASK)
    client.wire.unsent_bytes = 0  # what is little is told when the client has read
    (reply,) = await client.next(1)
    assert reply["error"]["code"] == 106
    assert client.closed is None


async def test_too_much_presence_at_a_time_is_refused(
    fronts: TwoFronts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence_module, "ALL_BYTES_AT_MOST", 50)
    await fronts.subscriber(1)
    client = await fronts.client(0)
    assert len(await who(client)) == 1
    assert await code_of(client, {"id": 9, "presence": {"channel": "room:2"}}) == 111
    await fronts.pass_time(ANSWER_SECONDS)
    assert await who(client, "room:2") == set()


async def test_nothing_is_kept_of_what_was_asked(fronts: TwoFronts) -> None:
    await fronts.subscriber(1)
    client = await fronts.client(0)
    for number in range(5):
        await client.ask({"id": 9, "presence": {"channel": f"room:{number}"}})
    presence = fronts.parts[0].presence
    assert presence.held_bytes > 0
    await fronts.pass_time(ANSWER_SECONDS)
    assert presence.held_bytes == 0


STEPS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(("subscribe", "unsubscribe", "disconnect"))),
    max_size=25,
)


@given(STEPS)
@settings(max_examples=30, deadline=None)
def test_presence_is_the_clients_own_list(steps: list[tuple[int, str]]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[int, str]]) -> None:
    """Clients come and go; others hear of it; in the end all lists are the same."""
    async with two_fronts() as fronts:
        watchers = [await fronts.subscriber(front, join_leave=True) for front in (0, 1)]
        lists = [ids(*watchers), ids(*watchers)]
        for watcher in watchers:
            watcher.news()
        clients = [await fronts.client(number % 2) for number in range(6)]
        inside: set[str] = set()
        for number, action in steps:
            client = clients[number]
            if action == "disconnect":
                client.session.leave()
                inside -= ids(client)
                clients[number] = await fronts.client(number % 2)
            else:
                await client.ask({"id": 3, action: {"channel": ROOM}})
                inside = inside | ids(client) if action == "subscribe" else inside - ids(client)
        await turns()
        await fronts.forget_answers()
        for watcher, seen in zip(watchers, lists, strict=True):
            for line in watcher.news():
                for kind, change in (("join", seen.add), ("leave", seen.discard)):
                    if kind in line.get("push", {}):
                        change(line["push"][kind]["info"]["client"])
            assert seen == await who(watcher) == inside | ids(*watchers)
