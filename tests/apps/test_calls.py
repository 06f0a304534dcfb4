"""Calls, messages, orders and the news of who has left, as clients of two fronts see them."""

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.apps.site import Site, fresh
from tests.system.client import Client, client_of
from tests.system.token import make_token

pytestmark = pytest.mark.timeout(60)


def new_user() -> str:
    return f"user{uuid.uuid4().hex[:8]}"


async def call(client: Client, method: str, data: object = None) -> Any:
    reply = await client.ask(rpc={"method": method, "data": data})
    return reply["rpc"]["data"] if "rpc" in reply else reply["error"]


async def order(client: Client, what: str, user: str, **rest: object) -> None:
    assert await call(client, "order", {"what": what, "user": user, **rest}) is None


@asynccontextmanager
async def both_of(site: Site, user: str) -> AsyncIterator[tuple[Client, Client]]:
    """A user's sessions, one at each front."""
    token = make_token(user)
    async with (
        client_of(site.here, token=token) as here,
        client_of(site.there, token=token) as there,
    ):
        yield here, there


async def test_a_call_is_answered_by_its_handler_who_knows_who_asks(site: Site) -> None:
    async with client_of(site.here, token=make_token("ada")) as client:
        assert await call(client, "double", 21) == 42
        known = await call(client, "whoami")

        assert known == {
            "user": "ada",
            "client": client.welcome["client"],
            "info": {"name": "ada"},
        }


@pytest.mark.parametrize(
    ("method", "data", "error"),
    [
        ("refuse", None, {"code": 777, "message": "not today"}),
        ("nobody", None, {"code": 108, "message": "not available"}),
        ("raise", None, {"code": 100, "message": "internal server error", "temporary": True}),
    ],
)
async def test_a_call_that_is_not_answered_says_why(
    method: str, data: object, error: dict[str, Any], site: Site
) -> None:
    async with client_of(site.here) as client:
        assert await call(client, method, data) == error


async def test_a_call_whose_data_does_not_fit_is_refused(site: Site) -> None:
    async with client_of(site.here) as client:
        error = await call(client, "double", "two")

        assert error["code"] == 401


async def test_what_a_client_sends_reaches_the_handler_in_order(site: Site) -> None:
    channel = fresh("said")
    async with (
        client_of(site.here, token=make_token("ada")) as sender,
        client_of(site.there) as subscriber,
    ):
        await subscriber.subscribe(channel)
        for number in range(5):
            await sender.tell({"channel": channel, "said": number})
        heard = [(await subscriber.until_pushed(channel, "pub"))["data"] for _ in range(5)]

        assert heard == [{"from": "ada", "said": number} for number in range(5)]


async def test_a_message_to_a_user_reaches_its_sessions_at_all_fronts_and_nobody_else(
    site: Site,
) -> None:
    user = new_user()
    async with both_of(site, user) as (here, there), both_of(site, new_user()) as others:
        await order(others[0], "send", user, data={"hello": 1})
        await order(others[0], "send", user, data={"hello": 2})

        for client in (here, there):
            assert (await client.until_pushed("", "message"))["data"] == {"hello": 1}
            assert (await client.until_pushed("", "message"))["data"] == {"hello": 2}
        for client in others:
            assert await call(client, "double", 1) == 2
            assert client.pushes == []


async def test_a_user_is_disconnected_everywhere_with_the_code_that_was_ordered(
    site: Site,
) -> None:
    user = new_user()
    async with both_of(site, user) as (here, there), client_of(site.there) as other:
        await order(other, "disconnect", user, code=4501, reason="not any more")

        for client in (here, there):
            assert await client.until_lost() == (4501, "not any more")
        assert await call(other, "double", 1) == 2


async def test_a_user_is_put_into_a_channel_and_taken_out_of_it(site: Site) -> None:
    user, channel = new_user(), fresh("put", "room")
    async with both_of(site, user) as (here, there), client_of(site.there) as other:
        await other.subscribe(channel)
        await order(other, "subscribe", user, channel=channel, data={"why": "you are invited"})
        for client in (here, there):
            pushed = await client.until_pushed(channel, "subscribe")
            assert pushed["data"] == {"why": "you are invited"}
        seen = await other.ask(presence_stats={"channel": channel})
        assert seen["presence_stats"]["num_users"] == 2  # the anonymous one is one

        await order(other, "unsubscribe", user, channel=channel)
        for client in (here, there):
            assert (await client.until_pushed(channel, "unsubscribe"))["code"] == 2000
            assert await call(client, "double", 1) == 2


async def test_orders_after_each_other_are_carried_out_in_their_order(site: Site) -> None:
    user, channel = new_user(), fresh("there-and-back")
    async with both_of(site, user) as (here, there), client_of(site.here) as other:
        for number in range(5):
            await order(other, "subscribe", user, channel=channel)
            await order(other, "unsubscribe", user, channel=channel)
            await order(other, "send", user, data=number)

        for client in (here, there):
            kinds = [await client.next_push() for _ in range(15)]
            told = [next(iter(kind.keys() - {"channel"})) for kind in kinds]
            assert told == ["subscribe", "unsubscribe", "message"] * 5


async def test_a_session_is_told_when_it_expires_and_ended_when_it_has(site: Site) -> None:
    user = new_user()
    async with both_of(site, user) as (here, there), client_of(site.here) as other:
        await order(other, "refresh", user, expire_at=time.time() + 600)
        for client in (here, there):
            pushed = await client.until_pushed("", "refresh")
            assert pushed["expires"] is True
            assert 590 < pushed["ttl"] <= 600

        await order(other, "expire", user)
        for client in (here, there):
            assert await client.until_lost() == (3005, "connection expired")


async def test_the_handlers_are_told_who_has_left_and_why(site: Site) -> None:
    user = new_user()
    channel = f"open:left-{user}"
    async with client_of(site.there) as other:
        await other.subscribe(channel)
        async with client_of(site.here, token=make_token(user)):
            pass
        gone = (await other.until_pushed(channel, "pub"))["data"]
        async with client_of(site.here, token=make_token(user)) as client:
            await order(other, "disconnect", user, code=4501, reason="not any more")
            await client.until_lost()
        sent_away = (await other.until_pushed(channel, "pub"))["data"]

        assert gone == {"n": 1000, "why": ""}  # it went by itself
        assert sent_away == {"n": 4501, "why": "not any more"}
