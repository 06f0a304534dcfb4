"""Server-side subscriptions: what a client follows from its connect on, without asking."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.auth import OVERRIDABLE
from services.config import ConfigError
from services.wire.errors import Unsubscribed
from tests.conformance.tokens import token as any_token
from tests.unit.front.stage import NODE, SECRET, Client, Stage, open_config, staging
from tests.unit.front.two_fronts import ROOM, seen_config, turns, two_fronts

POSITION = {"recoverable": True, "positioned": True}


def token(user: str = "alice", **claims: Any) -> str:
    return any_token(user, key=SECRET, **claims)


@asynccontextmanager
async def front(**sections: dict[str, Any]) -> AsyncIterator[Stage]:
    client = {"token": {"hmac_secret_key": SECRET}, **sections.pop("client", {})}
    async with staging(open_config(client=client, **sections)) as stage:
        yield stage


async def publish(stage: Stage, channel: str, *payloads: object) -> None:
    publisher = await stage.client()
    await publisher.send(
        *(
            {"id": number, "publish": {"channel": channel, "data": payload}}
            for number, payload in enumerate(payloads, 2)
        )
    )
    await publisher.next(len(payloads))


def pushes(news: list[Any]) -> list[Any]:
    return [each["push"] for each in news if "push" in each]


async def test_a_tokens_channels_are_followed_from_the_connect_on() -> None:
    async with front() as stage:
        client = stage.stranger()
        result = await client.connect(token=token(channels=["a", "closed:b"]))
        assert result["subs"]["a"] == {**POSITION, "epoch": result["subs"]["a"]["epoch"]}
        assert result["subs"]["closed:b"] == {}
        await publish(stage, "a", 1)
        (push,) = pushes(await client.next(1))
        assert (push["channel"], push["pub"]["data"]) == ("a", 1)


async def test_a_client_without_server_side_subscriptions_is_told_of_none() -> None:
    async with front() as stage:
        assert "subs" not in await stage.stranger().connect(token=token())


async def test_a_tokens_subs_win_over_its_channels_and_bring_info_and_data() -> None:
    async with front() as stage:
        client = stage.stranger()
        subs = {"a": {"info": {"role": "owner"}, "data": [1]}}
        result = await client.connect(token=token(channels=["a"], subs=subs))
        assert result["subs"]["a"]["data"] == [1]
        await client.send({"id": 2, "publish": {"channel": "a", "data": 1}})
        (push,) = pushes(await client.next(2))
        assert push["pub"]["info"]["chan_info"] == {"role": "owner"}


async def test_a_client_that_comes_back_gets_what_it_missed_with_the_connect_reply() -> None:
    async with front() as stage:
        before = await stage.stranger().connect(token=token(channels=["a"]))
        await publish(stage, "a", 1, 2)
        known = {"recover": True, "epoch": before["subs"]["a"]["epoch"], "offset": 0}
        after = await stage.stranger().connect(token=token(channels=["a"]), subs={"a": known})
        told = after["subs"]["a"]
        assert (told["recovered"], told["was_recovering"]) == (True, True)
        assert "offset" not in told, "the SDK goes on from 0, where it was"
        assert [each["data"] for each in told["publications"]] == [1, 2]


async def test_the_newest_comes_with_the_connect_reply_where_that_is_automatic() -> None:
    newest = {"force_recovery_mode": "cache", "auto_cache_recover": True}
    async with front(without_namespace=newest) as stage:
        await publish(stage, "a", 1, 2, 3)
        result = (await stage.stranger().connect(token=token(channels=["a"])))["subs"]["a"]
        assert result["recovered"] is True
        assert [each["data"] for each in result["publications"]] == [3]


async def test_a_client_from_another_epoch_is_told_that_it_cannot_recover() -> None:
    async with front() as stage:
        await publish(stage, "a", 1)
        known = {"recover": True, "epoch": "elsewhere", "offset": 0}
        result = await stage.stranger().connect(token=token(channels=["a"]), subs={"a": known})
        assert "recovered" not in result["subs"]["a"]
        assert result["subs"]["a"]["was_recovering"]
        assert result["subs"]["a"]["offset"] == 1


async def test_a_client_cannot_enroll_itself_by_telling_a_position() -> None:
    async with front() as stage:
        known = {"recover": True, "epoch": "", "offset": 0}
        result = await stage.stranger().connect(
            token=token(channels=["a"]), subs={"a": known, "closed:b": known}
        )
        assert result["subs"].keys() == {"a"}


async def test_channels_in_which_a_front_is_behind_are_waited_for_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.front.view_partition._REACH_SECONDS", 0.05)
    async with front() as stage:
        first = await stage.stranger().connect(token=token(channels=list("abcd")))
        ahead = {
            channel: {"recover": True, "epoch": result["epoch"], "offset": 3}
            for channel, result in first["subs"].items()
        }
        many, one = stage.stranger(), await stage.client()
        connect = {"token": token(channels=list(ahead)), "subs": ahead}
        async with asyncio.TaskGroup() as tasks:
            connecting = tasks.create_task(many.send({"id": 1, "connect": connect}))
            await asyncio.sleep(0)
            for number in (2, 3):
                channel = {"channel": f"other{number}", **ahead["a"]}
                await one.send({"id": number, "subscribe": channel})
            # Two waits, one after the other, are longer than four together.
            assert connecting.done()
        (reply,) = many.news()
        assert reply["connect"]["subs"].keys() == ahead.keys()
        assert not any("recovered" in result for result in reply["connect"]["subs"].values())


async def test_a_client_ahead_of_a_front_that_cannot_read_on_in_a_channel_is_to_try_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.front.view_partition._REACH_SECONDS", 0.05)
    async with front() as stage:
        first = await stage.stranger().connect(token=token(channels=list("ab")))
        ahead = {"recover": True, "epoch": first["subs"]["a"]["epoch"], "offset": 3}
        stage.broker.disconnect(NODE)
        connect = {"token": token(channels=list("ab")), "subs": {"a": ahead, "b": ahead}}
        (reply,) = await stage.stranger().ask({"id": 1, "connect": connect})
        assert (reply["error"]["code"], reply["error"]["temporary"]) == (100, True)


async def test_what_is_recovered_over_all_channels_fits_the_outbox() -> None:
    async with front(client={"queue_max_size": "128KiB"}) as stage:
        for channel in "ab":
            await publish(stage, channel, "x" * 40_000)
        known = {"recover": True, "epoch": "", "offset": 0}
        client = stage.stranger()
        result = await client.connect(
            token=token(channels=["a", "b"]), subs={"a": known, "b": known}
        )
        assert [result["subs"][channel].get("recovered") for channel in "ab"] == [True, None]
        assert client.closed is None


async def test_more_channels_than_a_session_may_have_end_it() -> None:
    async with front(client={"channel_limit": 2}) as stage:
        client = stage.stranger()
        await client.send({"id": 1, "connect": {"token": token(channels=["a", "b", "c"])}})
        assert client.closed == 3505


async def test_server_side_subscriptions_are_part_of_the_limit() -> None:
    async with front(client={"channel_limit": 2}) as stage:
        client = stage.stranger()
        await client.connect(token=token(channels=["a", "b"]))
        (reply,) = await client.ask({"id": 2, "subscribe": {"channel": "c"}})
        assert reply["error"]["code"] == 106
        (reply,) = await client.ask({"id": 3, "subscribe": {"channel": "a"}})
        assert reply["error"]["code"] == 105


@pytest.mark.parametrize(("channel", "code"), [("nowhere:a", 102), ("", 107), ("ü", 107)])
async def test_a_token_with_a_channel_that_cannot_be_is_refused(channel: str, code: int) -> None:
    async with front() as stage:
        client = stage.stranger()
        (reply,) = await client.ask({"id": 1, "connect": {"token": token(channels=[channel])}})
        assert reply["error"]["code"] == code
        assert len(stage.parts.hub) == 0


async def test_a_client_that_lost_a_server_side_subscription_connects_again() -> None:
    async with front() as stage:
        client = stage.stranger()
        await client.connect(token=token(channels=["a"]))
        stage.parts.hub.lose_continuity(["a"])
        assert client.closed == 3010


async def test_a_server_side_subscription_that_ends_for_another_reason_is_pushed() -> None:
    async with front() as stage:
        client = stage.stranger()
        await client.connect(token=token(channels=["a"]))
        subscription = client.session.subscription("a")
        assert subscription is not None
        client.session.end_subscription(subscription, Unsubscribed.BY_SERVER)
        (push,) = pushes(client.news())
        assert push["unsubscribe"]["code"] == 2000
        assert client.closed is None


async def test_a_client_may_leave_a_server_side_subscription() -> None:
    async with front() as stage:
        client = stage.stranger()
        await client.connect(token=token(channels=["a"]))
        assert await client.ask({"id": 2, "unsubscribe": {"channel": "a"}}) == [
            {"id": 2, "unsubscribe": {}}
        ]
        assert len(stage.parts.hub) == 0


async def test_a_refresh_with_the_same_channels_goes_on() -> None:
    async with front() as stage:
        client = stage.stranger()
        await client.connect(token=token(channels=["a", "b"]))
        (reply,) = await client.ask({"id": 2, "refresh": {"token": token(channels=["b", "a"])}})
        assert "refresh" in reply


async def test_a_refresh_with_other_channels_has_the_client_connect_again() -> None:
    async with front() as stage:
        client = stage.stranger()
        await client.connect(token=token(channels=["a"]))
        await client.send({"id": 2, "refresh": {"token": token(channels=["a", "b"])}})
        assert client.closed == 3010


# ---- personal channels

PERSONAL = {"subscribe_to_user_personal_channel": {"enabled": True}}


async def test_a_users_clients_follow_its_personal_channel() -> None:
    async with front(client=PERSONAL) as stage:
        result = await stage.stranger().connect(token=token("alice", channels=["a"]))
        assert result["subs"].keys() == {"#alice", "a"}


async def test_a_personal_channel_can_have_a_namespace() -> None:
    personal = {"enabled": True, "personal_channel_namespace": "plain"}
    async with front(client={"subscribe_to_user_personal_channel": personal}) as stage:
        result = await stage.stranger().connect(token=token("alice"))
        assert result["subs"].keys() == {"plain:#alice"}


async def test_an_anonymous_client_has_no_personal_channel() -> None:
    async with front(client=PERSONAL) as stage:
        assert "subs" not in await stage.stranger().connect()


def test_a_namespace_of_personal_channels_must_be_there() -> None:
    with pytest.raises(ConfigError, match="there is no namespace"):
        open_config(
            client={"subscribe_to_user_personal_channel": {"personal_channel_namespace": "no"}}
        )


def test_single_connections_need_the_channels_to_be_there() -> None:
    with pytest.raises(ConfigError, match="single_connection needs enabled"):
        open_config(client={"subscribe_to_user_personal_channel": {"single_connection": True}})


# ---- what a token overrides


def overriding(**options: bool) -> dict[str, Any]:
    return {name: {"value": value} for name, value in options.items()}


async def test_a_token_overrides_what_a_subscription_keeps_track_of() -> None:
    async with front() as stage:
        override = overriding(force_recovery=False)
        result = await stage.stranger().connect(token=token(subs={"a": {"override": override}}))
        assert result["subs"]["a"] == {}
        override = overriding(force_positioning=True)
        result = await stage.stranger().connect(
            token=token(subs={"plain:a": {"override": override}})
        )
        assert result["subs"]["plain:a"]["positioned"]


async def test_a_subscription_token_overrides_too() -> None:
    async with front() as stage:
        client = stage.stranger()
        await client.connect(token=token("alice"))
        override = overriding(force_recovery=False)
        given = token("alice", channel="a", override=override)
        (reply,) = await client.ask({"id": 2, "subscribe": {"channel": "a", "token": given}})
        assert "recoverable" not in reply["subscribe"]


async def test_a_client_hears_of_its_own_join_after_the_connect_reply() -> None:
    async with two_fronts(seen_config(token={"hmac_secret_key": SECRET})) as fronts:
        client = Client(fronts.parts[0])
        await client.send({"id": 1, "connect": {"token": token(channels=["lobby:1"])}})
        await turns()
        reply, push = client.news()
        assert "connect" in reply
        assert push["push"]["join"]["info"]["user"] == "alice"


async def test_a_token_can_keep_its_client_out_of_presence_and_movements() -> None:
    async with two_fronts(seen_config(token={"hmac_secret_key": SECRET})) as fronts:
        watcher = await fronts.subscriber(front=1, join_leave=True)
        override = overriding(presence=False, join_leave=False)
        spy, bob = Client(fronts.parts[0]), Client(fronts.parts[0])
        await spy.connect(token=token("spy", subs={ROOM: {"override": override}}))
        await bob.connect(token=token("bob", channels=[ROOM]))
        await turns()
        assert [push["join"]["info"]["user"] for push in pushes(watcher.news())] == ["bob"]
        asking = asyncio.ensure_future(watcher.ask({"id": 9, "presence": {"channel": ROOM}}))
        await turns()
        (reply,) = await asking
        seen = {info["user"] for info in reply["presence"]["presence"].values()}
        assert seen == {"", "bob"}


def test_nothing_but_what_is_listed_can_be_overridden() -> None:
    assert "history_size" not in OVERRIDABLE
