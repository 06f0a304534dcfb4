"""Clients that send one connect request and are told of everything by bare pushes."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.config import load_config
from services.front.encodings.one_way import ONE_WAY_FRAMES
from services.front.one_way import receive
from services.front.parts import Parts
from services.view.history import Publication
from services.wire.errors import Unsubscribed
from tests.conformance.tokens import token as any_token
from tests.unit.front.stage import OPEN, SECRET, Client, FakeClock, Stage, frames, staging

NOW = 1_000_000
POSITIONED = {"recoverable": True, "positioned": True}
ROOM = {
    "name": "room",
    "join_leave": True,
    "allow_subscribe_for_client": True,
    "allow_subscribe_for_anonymous": True,
    "allow_presence_for_client": True,
    "allow_presence_for_anonymous": True,
    "history_size": 10,
    "history_ttl": "1m",
    "allow_recovery": True,
    "allow_positioning": True,
}


class Listener(Client):
    """A client of `uni_websocket`."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts, encoding=ONE_WAY_FRAMES)

    async def send(self, *commands: object) -> None:
        """Send each as a message of its own: in JSON, or bytes as they are."""
        for each in commands:
            message = each if isinstance(each, bytes) else json.dumps(each).encode()
            await receive(self.session, message)

    async def connect(self, **request: object) -> Any:
        """Connect, and give what the push says."""
        (push,) = await self.ask(request)
        return push["connect"]


def token(user: str = "alice", **claims: Any) -> str:
    return any_token(user, key=SECRET, **claims)


@asynccontextmanager
async def front(clock: FakeClock | None = None, **client: Any) -> AsyncIterator[Stage]:
    """A front with secrets, and with rooms where a client gets what it asks for."""
    config = load_config(
        environ={},
        defaults={
            **OPEN,
            "client": {**OPEN["client"], "token": {"hmac_secret_key": SECRET}, **client},  # type: ignore[dict-item]
            "namespace": [*OPEN["namespace"], ROOM],  # type: ignore[misc]
        },
    )
    async with staging(config, clock=clock, wall_clock=lambda: float(NOW)) as stage:
        yield stage


async def publish(stage: Stage, channel: str, *payloads: object) -> None:
    publisher = await stage.client()
    for number, payload in enumerate(payloads, 2):
        await publisher.send({"id": number, "publish": {"channel": channel, "data": payload}})
    await publisher.next(len(payloads))


async def test_a_client_is_let_in_by_a_push_that_says_what_it_follows() -> None:
    async with front() as stage:
        client = Listener(stage.parts)
        connect = await client.connect(token=token(channels=["a"]), subs={"b": {}})
        assert {"client", "version", "ping", "expires", "ttl", "subs"} == connect.keys()
        assert {name: {**sub, "epoch": ""} for name, sub in connect["subs"].items()} == {
            "a": {**POSITIONED, "epoch": ""},
            "b": {**POSITIONED, "epoch": ""},
        }


async def test_publications_come_bare_and_each_in_a_frame_of_its_own() -> None:
    async with front() as stage:
        client = Listener(stage.parts)
        connect = await client.connect(subs={"a": {}})
        subscriber = await stage.client()
        await subscriber.ask({"id": 2, "subscribe": {"channel": "a"}})
        await publish(stage, "a", {"n": 1}, 2)
        told = await client.next(2)
        # The same as everybody gets, but for what stands around it.
        assert told == [each["push"] for each in await subscriber.next(2)]
        assert [each["pub"]["offset"] for each in told] == [1, 2]
        assert told[0]["pub"]["epoch"] == connect["subs"]["a"]["epoch"]
        contents = [content for head, content in frames(client.wire.writes) if head == 0x81]
        assert len(contents) == 3
        assert contents[1].startswith(b'{"channel":"a","pub":{"data":{"n": 1},')


async def test_many_publications_of_one_record_are_many_frames() -> None:
    publications = [Publication(n, b"%d" % n, b"null", 0) for n in range(3)]
    (frame,) = ONE_WAY_FRAMES.encode("a", publications, 1, "epoch")
    assert [json.loads(content)["pub"]["data"] for _, content in frames([frame.content])] == [
        0,
        1,
        2,
    ]


async def test_a_client_that_comes_back_gets_what_it_missed() -> None:
    async with front() as stage:
        before = await Listener(stage.parts).connect(subs={"a": {}, "b": {}})
        await publish(stage, "a", 1, 2, 3)
        epoch = before["subs"]["a"]["epoch"]
        position = {"recover": True, "epoch": epoch, "offset": 1}
        after = await Listener(stage.parts).connect(subs={"a": position, "b": {}})
        told = after["subs"]["a"]
        assert (told["recovered"], told["was_recovering"], told["offset"]) == (True, True, 1)
        assert [each["data"] for each in told["publications"]] == [2, 3]
        assert "recovered" not in after["subs"]["b"]


async def test_a_client_is_told_that_it_missed_more_than_there_is() -> None:
    async with front() as stage:
        position = {"recover": True, "epoch": "another", "offset": 1}
        connect = await Listener(stage.parts).connect(subs={"a": position})
        assert connect["subs"]["a"]["was_recovering"] is True
        assert "recovered" not in connect["subs"]["a"]


async def test_what_is_missed_and_what_is_pushed_are_one_sequence() -> None:
    async with front() as stage:
        position: dict[str, Any] = {}
        told: list[Any] = []
        for _ in range(5):
            client = Listener(stage.parts)
            connect = await client.connect(subs={"a": position})
            sub = connect["subs"]["a"]
            told += sub.get("publications", [])
            offset = len(told)
            await publish(stage, "a", *range(offset, offset + 3))
            told += [each["pub"] for each in await client.next(3)]
            client.session.leave()
            await publish(stage, "a", *range(offset + 3, offset + 5))
            position = {"recover": True, "epoch": sub["epoch"], "offset": told[-1]["offset"]}
        assert [each["data"] for each in told] == list(range(23))
        assert [each["offset"] for each in told] == list(range(1, 24))


async def test_a_client_gets_of_its_wishes_what_the_namespace_allows() -> None:
    async with front() as stage:
        wish = {"recoverable": True, "positioned": True, "join_leave": True}
        client = Listener(stage.parts)
        connect = await client.connect(subs={"room:1": wish, "plain:1": wish, "room:2": {}})
        assert connect["subs"]["room:1"].items() >= POSITIONED.items()
        assert connect["subs"]["plain:1"] == connect["subs"]["room:2"] == {}
        subscriptions = client.session.subscriptions or {}
        hears = {name: each.hears_movements for name, each in subscriptions.items()}
        assert hears == {"room:1": True, "plain:1": False, "room:2": False}


# ---- who may not


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"token": any_token("alice", key="another secret of at least 32 bytes")}, 3500),
        ({"token": any_token("alice", key=SECRET, exp=NOW - 1)}, 3005),
        ({"token": any_token("alice", key=SECRET, nbf=NOW + 60)}, 3005),
        ({"subs": {"closed:1": {}}}, 3507),
        ({"subs": {"a": {}, "$private": {}}}, 3507),
        ({"subs": {"a#42": {}}}, 3507),
        ({"subs": {"nowhere:1": {}}}, 3004),
        ({"subs": {"": {}}}, 3004),
        ({"subs": {"bytes:1": {}}}, 3004),
        ({"subs": {str(n): {} for n in range(129)}}, 3505),
        ({"subs": {"a": {"token": "nonsense"}}}, 3507),
    ],
    ids=lambda value: str(value)[-40:],
)
async def test_what_would_be_an_error_ends_the_session(request_: Any, code: int) -> None:
    async with front() as stage:
        client = Listener(stage.parts)
        assert await client.ask(request_) == []
        assert client.closed == code
        assert len(stage.parts.hub) == 0
        assert len(stage.parts.sessions) == 0


async def test_without_a_token_only_who_may_be_anonymous_comes_in() -> None:
    async with front(allow_anonymous_connect_without_token=False) as stage:
        client = Listener(stage.parts)
        await client.send({})
        assert client.closed == 3501


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"[]",
        b"nonsense",
        b"\xff",
        b'{"subs":[]}',
        b'{"token":1}',
        b'{"id":1,"connect":{}}\n{}',
        b"[" * 20_000,
    ],
    ids=lambda message: str(message[:20]),
)
async def test_what_is_no_connect_request_is_a_bad_request(message: bytes) -> None:
    async with front() as stage:
        client = Listener(stage.parts)
        await client.send(message)
        assert client.closed == 3501


async def test_what_a_client_leaves_out_may_be_null() -> None:
    async with front() as stage:
        connect = await Listener(stage.parts).connect(token=None, data=None, subs=None, name=None)
        assert connect["client"]


async def test_what_is_sent_after_the_request_is_passed_over() -> None:
    async with front() as stage:
        client = Listener(stage.parts)
        await client.connect(subs={"a": {}})
        commands = [
            {"id": 2, "publish": {"channel": "a", "data": 1}},
            {},
            b"nonsense",
            {"subs": {}},
        ]
        assert await client.ask(*commands) == []
        assert client.closed is None


async def test_a_client_that_sends_nothing_is_stale() -> None:
    clock = FakeClock()
    async with front(clock) as stage:
        client = Listener(stage.parts)
        clock.turn(11)
        stage.parts.wheel.turn()
        assert client.closed == 3502


# ---- subscription tokens


async def test_a_subscription_token_lets_a_client_into_a_private_channel() -> None:
    async with front() as stage:
        mine = token(channel="$a", data=[1], info={"role": "owner"})
        connect = await Listener(stage.parts).connect(token=token(), subs={"$a": {"token": mine}})
        sub = connect["subs"]["$a"]
        assert sub["data"] == [1]
        assert (sub["expires"], sub["ttl"] > 0) == (True, True)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"channel": "$b"}, 3500),
        ({"channel": "$a", "sub": "bob"}, 3500),
        ({"channel": "$a", "exp": NOW - 1}, 3005),
        ({}, 3507),
    ],
    ids=str,
)
async def test_a_subscription_token_of_another_kind_does_not(
    claims: dict[str, Any], code: int
) -> None:
    async with front() as stage:
        client = Listener(stage.parts)
        await client.send({"token": token(), "subs": {"$a": {"token": token(**claims)}}})
        assert client.closed == code


async def test_a_subscription_whose_token_expires_ends_the_session() -> None:
    clock = FakeClock()
    async with front(clock) as stage:
        client = Listener(stage.parts)
        mine = token(channel="$a", exp=NOW + 10)
        await client.connect(token=token(), subs={"$a": {"token": mine}})
        clock.turn(34)
        stage.parts.wheel.turn()
        client.session.take_pong()
        assert client.closed is None
        clock.turn(2)
        stage.parts.wheel.turn()
        assert client.closed == 3006


# ---- its life


async def test_a_client_that_may_have_missed_something_comes_back() -> None:
    async with front() as stage:
        client = Listener(stage.parts)
        await client.connect(subs={"a": {}})
        stage.parts.hub.lose_continuity(["a"])
        assert client.closed == 3010


async def test_a_client_relying_on_nothing_stays() -> None:
    async with front() as stage:
        client = Listener(stage.parts)
        await client.connect(subs={"plain:a": {}})
        stage.parts.hub.lose_continuity()
        assert client.closed is None


async def test_the_end_of_a_subscription_is_pushed() -> None:
    async with front() as stage:
        client = Listener(stage.parts)
        await client.connect(subs={"a": {}})
        subscription = client.session.subscription("a")
        assert subscription is not None
        client.session.end_subscription(subscription, Unsubscribed.BY_SERVER)
        assert client.news() == [
            {"channel": "a", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}}
        ]


async def test_pings_come_both_ways_and_only_the_websockets_own_is_to_be_answered() -> None:
    clock = FakeClock()
    async with front(clock) as stage:
        client = Listener(stage.parts)
        connect = await client.connect()
        assert (connect["ping"], "pong" in connect) == (25, False)
        clock.turn(26)
        stage.parts.wheel.turn()
        assert client.news() == [{}]
        assert [head for head, _ in frames(client.wire.writes)] == [0x81, 0x81, 0x89]
        client.session.take_pong()
        clock.turn(25)
        stage.parts.wheel.turn()
        clock.turn(11)
        stage.parts.wheel.turn()
        assert client.closed == 3012


async def test_a_slow_client_is_let_go() -> None:
    async with front(queue_max_size=131_072) as stage:
        client = Listener(stage.parts)
        await client.connect(subs={"a": {}})
        client.wire.is_stalled = True
        await publish(stage, "a", *("x" * 50_000 for _ in range(4)))
        await stage.until(lambda: client.closed is not None)
        assert client.closed == 3008
