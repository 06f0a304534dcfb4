"""Subscribing: positions, recovery, permissions, and the end of a subscription."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from broker.partition import Partition
from services.auth import make_token
from services.settings import TokenConfig
from services.wire.errors import Unsubscribed
from tests.unit.front.stage import NODE, SECRET, Client, FakeClock, Stage, open_config, staging

TOKENS = TokenConfig(hmac_secret_key=SECRET)
NOW = 1_000_000.0


async def subscribe(client: Client, channel: str = "a", /, **request: object) -> Any:
    (reply,) = await client.ask({"id": 99, "subscribe": {"channel": channel, **request}})
    return reply.get("subscribe") or reply.get("error")


async def publish(client: Client, count: int, channel: str = "a", data: object = "x") -> None:
    await client.send(
        *({"id": 100 + n, "publish": {"channel": channel, "data": data}} for n in range(count))
    )
    await client.next(count)


async def test_a_first_subscribe_tells_the_position(stage: Stage) -> None:
    client, other = await stage.client(), await stage.client()
    await publish(client, 3)
    result = await subscribe(other)
    assert result == {
        "recoverable": True,
        "positioned": True,
        "offset": 3,
        "epoch": result["epoch"],
    }
    assert result["epoch"]


async def test_a_channel_without_history_has_no_position(stage: Stage) -> None:
    client = await stage.client()
    (reply,) = await client.ask({"id": 2, "subscribe": {"channel": "plain:a"}})
    assert reply == {"id": 2, "subscribe": {}}
    await client.send({"id": 3, "publish": {"channel": "plain:a", "data": 1}})
    (push,) = [news["push"] for news in await client.next(2) if "push" in news]
    assert "offset" not in push["pub"]


@pytest.mark.parametrize(
    ("channel", "code"),
    [("", 107), ("ü", 107), ("a" * 256, 107), ("nowhere:a", 102), ("closed:a", 103), ("$a", 103)],
)
async def test_what_may_not_be_followed_is_refused(stage: Stage, channel: str, code: int) -> None:
    client = await stage.client()
    assert (await subscribe(client, channel))["code"] == code
    assert len(stage.parts.hub) == 0


async def test_a_second_subscribe_is_refused_until_the_first_has_ended(stage: Stage) -> None:
    client = await stage.client()
    replies = await client.ask(
        {"id": 2, "subscribe": {"channel": "a"}},
        {"id": 3, "subscribe": {"channel": "a"}},
        {"id": 4, "unsubscribe": {"channel": "a"}},
        {"id": 5, "subscribe": {"channel": "a"}},
    )
    assert [reply.get("error", {}).get("code") for reply in replies] == [None, 105, None, None]
    assert stage.parts.hub.subscriptions == 1


async def test_a_session_follows_no_more_channels_than_allowed() -> None:
    async with staging(open_config(client={"channel_limit": 2})) as stage:
        client = await stage.client()
        codes = [(await subscribe(client, channel)).get("code") for channel in "abc"]
        assert codes == [None, None, 106]


async def test_other_kinds_of_subscription_are_not_available(stage: Stage) -> None:
    client = await stage.client()
    assert (await subscribe(client, type=1))["code"] == 108


async def test_a_client_that_comes_back_gets_what_it_missed(stage: Stage) -> None:
    client, other = await stage.client(), await stage.client()
    await publish(client, 2)
    epoch = (await subscribe(other))["epoch"]
    await other.ask({"id": 3, "unsubscribe": {"channel": "a"}})
    await publish(client, 3, data={"later": True})
    result = await subscribe(other, recover=True, epoch=epoch, offset=2)
    publications = result.pop("publications")
    assert result == {
        "recoverable": True,
        "positioned": True,
        "epoch": epoch,
        "offset": 2,
        "recovered": True,
        "was_recovering": True,
    }
    assert [p["offset"] for p in publications] == [3, 4, 5]
    assert publications[0]["data"] == {"later": True}


async def test_a_client_that_missed_nothing_is_recovered(stage: Stage) -> None:
    client = await stage.client()
    await publish(client, 2)
    result = await subscribe(client, recover=True, offset=2)
    assert result["recovered"] is True
    assert result["offset"] == 2
    assert "publications" not in result


@pytest.mark.parametrize("position", [{"epoch": "_", "offset": 2}, {"offset": 7}])
async def test_a_position_that_is_not_known_is_not_recovered(
    stage: Stage, position: dict[str, object]
) -> None:
    client = await stage.client()
    await publish(client, 3)
    result = await subscribe(client, recover=True, **position)
    assert "recovered" not in result
    assert result["was_recovering"] is True
    assert result["offset"] == 3
    assert "publications" not in result


async def test_a_client_can_ask_to_be_refused_rather_than_left_with_a_gap(stage: Stage) -> None:
    client = await stage.client()
    await publish(client, 3)
    error = await subscribe(client, recover=True, epoch="_", offset=2, flag=3)
    assert error == {"code": 112, "message": "unrecoverable position"}
    assert len(stage.parts.hub) == 0


async def test_more_than_is_recovered_at_once_is_not_recovered() -> None:
    async with staging(open_config(client={"recovery_max_publication_limit": 5})) as stage:
        client = await stage.client()
        await publish(client, 6)
        assert "recovered" not in await subscribe(client, recover=True, offset=0)
        await client.ask({"id": 3, "unsubscribe": {"channel": "a"}})
        assert (await subscribe(client, recover=True, offset=1))["recovered"] is True


async def test_what_would_make_a_client_too_slow_is_not_recovered() -> None:
    async with staging(
        open_config(client={"queue_max_size": 65536, "message_size_limit": 32768})
    ) as stage:
        client = await stage.client()
        await publish(client, 4, data="x" * 10_000)
        result = await subscribe(client, recover=True, offset=0)
        assert "recovered" not in result
        assert client.closed is None


async def test_recovery_and_live_delivery_are_one_sequence(stage: Stage) -> None:
    client, other = await stage.client(), await stage.client()
    seen: list[int] = []
    for round_ in range(5):
        # Some while it is away, and some of which nobody knows on which side they will be.
        await publish(client, 3)
        await client.send(
            *({"id": n, "publish": {"channel": "a", "data": n}} for n in range(10, 14))
        )
        for _ in range(round_):
            await asyncio.sleep(0)
        await other.send(
            {"id": 2, "subscribe": {"channel": "a", "recover": True, "offset": len(seen)}}
        )
        await client.next(4)
        for news in other.news():
            if "push" in news:
                seen.append(news["push"]["pub"]["offset"])
            elif "subscribe" in news:
                assert news["subscribe"]["recovered"] is True
                seen += [p["offset"] for p in news["subscribe"].get("publications", [])]
        await other.send({"id": 3, "unsubscribe": {"channel": "a"}})
    assert seen == list(range(1, 36))


async def test_a_client_that_comes_from_a_front_a_moment_ahead_is_recovered(stage: Stage) -> None:
    client, other = await stage.client(), await stage.client()
    await publish(client, 1)
    epoch = (await subscribe(client))["epoch"]
    subscribing = asyncio.create_task(
        subscribe(other, recover=True, epoch=epoch, offset=3)  # which it had from there
    )
    await asyncio.sleep(0)
    await client.send(*({"id": n, "publish": {"channel": "a", "data": n}} for n in range(2, 6)))
    result = await subscribing
    seen = [p["offset"] for p in result.get("publications", [])]
    await client.next(8)
    seen += [news["push"]["pub"]["offset"] for news in other.news()]
    assert result["recovered"] is True
    assert seen == [4, 5]


async def test_a_client_that_is_ahead_of_a_front_cut_off_from_the_log_is_to_try_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.front.view_partition._REACH_SECONDS", 0.05)
    client, other = await stage.client(), await stage.client()
    await publish(client, 1)
    epoch = (await subscribe(client))["epoch"]
    stage.broker.disconnect(NODE)
    refused = await subscribe(other, recover=True, epoch=epoch, offset=3)
    assert (refused["code"], refused["temporary"]) == (100, True)

    stage.broker.reconnect(NODE)
    await stage.until(lambda: stage.parts.view.is_caught_up)
    result = await subscribe(other, recover=True, epoch=epoch, offset=1)
    assert result["recovered"] is True


async def test_an_offset_that_a_log_read_to_its_end_does_not_have_is_not_recovered(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.front.view_partition._REACH_SECONDS", 0.05)
    client, other = await stage.client(), await stage.client()
    await publish(client, 1)
    known = await subscribe(client)
    result = await subscribe(other, recover=True, epoch=known["epoch"], offset=3)
    assert "recovered" not in result
    assert position(result) == position(known)


async def test_lost_continuity_sends_clients_back_to_recover(stage: Stage) -> None:
    client = await stage.client()
    await client.ask(
        {"id": 2, "subscribe": {"channel": "a"}}, {"id": 3, "subscribe": {"channel": "plain:a"}}
    )
    assert stage.parts.hub.lose_continuity() == 1
    assert client.news() == [
        {
            "push": {
                "channel": "a",
                "unsubscribe": {"code": 2500, "reason": "insufficient state"},
            }
        }
    ]
    assert stage.parts.hub.is_subscribed("plain:a")
    assert "code" not in await subscribe(client)


async def test_nothing_is_recovered_of_an_epoch_that_lost_a_part_until_another_begins(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RESUME_SECONDS", "LAGGING_SECONDS"):
        monkeypatch.setattr(f"broker.follow.{name}", 0.1)
    client, other = await stage.client(), await stage.client()
    await publish(client, 2)
    known = await subscribe(other)
    await publish(client, 1)
    (reader,) = stage.parts.view.readers
    stage.broker.lose_tail(Partition("main", 0), 1)
    await stage.until(lambda: reader.epoch_to_end is not None and reader.is_caught_up.is_set())
    back = await subscribe(await stage.client(), recover=True, **position(known))
    assert "recovered" not in back
    assert position(back) == position(known)

    stage.parts.view.sweep()
    await stage.until(lambda: reader.epoch_to_end is None)
    there = await subscribe(await stage.client())
    assert there["epoch"] != known["epoch"]
    again = await subscribe(await stage.client(), recover=True, **position(there))
    assert again["recovered"] is True


def position(result: Any) -> dict[str, Any]:
    return {"epoch": result["epoch"], "offset": result.get("offset", 0)}


async def test_a_subscription_that_was_replaced_is_not_ended(stage: Stage) -> None:
    client = await stage.client()
    await subscribe(client)
    earlier = client.session.subscription("a")
    assert earlier is not None
    await client.ask({"id": 3, "unsubscribe": {"channel": "a"}})
    await subscribe(client)
    client.session.end_subscription(earlier, Unsubscribed.BY_SERVER)
    assert client.news() == []
    assert stage.parts.hub.is_subscribed("a")


async def test_a_partition_that_is_not_caught_up_asks_to_try_again(stage: Stage) -> None:
    client = await stage.client()
    for reader in stage.parts.view.readers:
        reader.is_caught_up.clear()
    error = await subscribe(client)
    assert (error["code"], error["temporary"]) == (100, True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def tokens(clock: FakeClock) -> AsyncIterator[Stage]:
    """A front that verifies tokens, and its clock."""
    config = open_config(client={"token": {"hmac_secret_key": SECRET}})
    async with staging(config, clock=clock, wall_clock=lambda: NOW + clock.now - 1000) as stage:
        yield stage


async def test_a_token_opens_a_private_channel(tokens: Stage) -> None:
    client = await tokens.client(token=make_token(TOKENS, "ann", info={"name": "Ann"}))
    token = make_token(TOKENS, "ann", channel="$a", info={"role": "host"})
    assert "code" not in await subscribe(client, "$a", token=token)
    await client.send({"id": 3, "publish": {"channel": "$a", "data": 1}})
    pushes = [news["push"]["pub"] for news in await client.next(2) if "push" in news]
    assert pushes[0]["info"] == {
        "user": "ann",
        "client": client.session.id,
        "conn_info": {"name": "Ann"},
        "chan_info": {"role": "host"},
    }


@pytest.mark.parametrize(
    ("token", "error", "closed"),
    [
        ("nonsense", 103, None),
        (make_token(TOKENS, "ann", channel="$a", expire_at=NOW - 1), 109, None),
        (make_token(TOKENS, "bob", channel="$a"), None, 3500),
        (make_token(TOKENS, "ann", channel="$b"), None, 3500),
    ],
)
async def test_a_bad_subscription_token(
    tokens: Stage, token: str, error: int | None, closed: int | None
) -> None:
    client = await tokens.client(token=make_token(TOKENS, "ann"))
    replies = await client.ask({"id": 2, "subscribe": {"channel": "$a", "token": token}})
    assert [reply["error"]["code"] for reply in replies] == ([error] if error else [])
    assert client.closed == closed


async def test_a_subscription_expires_unless_it_is_refreshed(
    tokens: Stage, clock: FakeClock
) -> None:
    client = await tokens.client(token=make_token(TOKENS, "ann"))
    for channel in ("$a", "$b"):
        token = make_token(TOKENS, "ann", channel=channel, expire_at=NOW + 10)
        assert (await subscribe(client, channel, token=token))["ttl"] == 10
    token = make_token(TOKENS, "ann", channel="$b", expire_at=NOW + 600)
    (reply,) = await client.ask({"id": 3, "sub_refresh": {"channel": "$b", "token": token}})
    assert reply["sub_refresh"] == {"expires": True, "ttl": 600}
    for _ in range(2):
        clock.turn(18)
        tokens.parts.wheel.turn()
        client.session.take_pong()
    pushes = [news["push"] for news in client.news() if "push" in news]
    assert pushes == [
        {"channel": "$a", "unsubscribe": {"code": 2501, "reason": "subscription expired"}}
    ]
    assert list(tokens.parts.hub.channels()) == ["$b"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"channel": "$a"}, 107),
        ({"channel": "$a", "token": "nonsense"}, 103),
        ({"token": make_token(TOKENS, "ann", channel="$a")}, 103),
    ],
)
async def test_a_subscription_refresh_that_makes_no_sense_is_refused(
    tokens: Stage, request_: dict[str, object], code: int
) -> None:
    client = await tokens.client(token=make_token(TOKENS, "ann"))
    (reply,) = await client.ask({"id": 2, "sub_refresh": request_})
    assert reply["error"]["code"] == code
