"""One connection a user, over two fronts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from services.front import single
from services.front.single import BACK_SECONDS
from tests.conformance.tokens import token
from tests.unit.front.stage import SECRET, Client
from tests.unit.front.two_fronts import TwoFronts, seen_config, turns, two_fronts

LIMIT = 3504
SINGLE = {"enabled": True, "single_connection": True}


@asynccontextmanager
async def serving(personal: dict[str, Any]) -> AsyncIterator[TwoFronts]:
    config = seen_config(
        token={"hmac_secret_key": SECRET}, subscribe_to_user_personal_channel=personal
    )
    async with two_fronts(config) as fronts:
        yield fronts


@pytest_asyncio.fixture
async def fronts() -> AsyncIterator[TwoFronts]:
    async with serving(SINGLE) as fronts:
        yield fronts


async def connect(fronts: TwoFronts, front: int, user: str = "alice") -> Client:
    client = Client(fronts.parts[front])
    await client.connect(token=token(user, key=SECRET) if user else "")
    return client


@pytest.mark.parametrize("front", [0, 1])
async def test_who_connects_ends_the_users_older_connection(fronts: TwoFronts, front: int) -> None:
    older = await connect(fronts, 0)
    await turns()
    newer = await connect(fronts, front)
    await turns()
    assert (older.closed, newer.closed) == (LIMIT, None)
    newest = await connect(fronts, 1 - front)
    await turns()
    assert (newer.closed, newest.closed) == (LIMIT, None)


async def test_other_users_and_those_without_one_stay(fronts: TwoFronts) -> None:
    others = [await connect(fronts, *who) for who in ((0, ""), (1, ""), (1, "bob"))]
    await turns()
    newer = await connect(fronts, 0)
    nobody = await connect(fronts, 1, "")
    await turns()
    assert [client.closed for client in (*others, newer, nobody)] == [None] * 5


async def test_connections_stay_where_they_need_not_be_single() -> None:
    async with serving({"enabled": True}) as fronts:
        clients = [await connect(fronts, front) for front in (0, 0, 1)]
        await turns()
        assert [client.closed for client in clients] == [None] * 3


async def test_of_two_that_connect_at_once_at_two_fronts_one_stays(fronts: TwoFronts) -> None:
    clients = await asyncio.gather(connect(fronts, 0), connect(fronts, 1))
    await turns()
    assert sorted(str(client.closed) for client in clients) == [str(LIMIT), "None"]


async def test_those_who_connect_in_one_turn_are_told_of_in_one_message(
    fronts: TwoFronts,
) -> None:
    users = [f"user{number}" for number in range(50)]
    older = [await connect(fronts, 0, user) for user in users]
    await turns()
    told: list[bytes] = []
    async with fronts.broker.open("listener") as access, access.bus.listen() as heard:
        newer = [await connect(fronts, 1, user) for user in users]
        async with asyncio.timeout(5):
            while not told:
                body = await anext(heard)
                told += [body] if b"newer_connections" in body else []
    await turns()
    assert [client.closed for client in older] == [LIMIT] * len(users)
    assert [client.closed for client in newer] == [None] * len(users)
    assert all(user.encode() in told[0] for user in users)


async def test_a_connection_that_the_bus_lost_is_an_older_one_later(fronts: TwoFronts) -> None:
    fronts.broker.disconnect("a")
    lost = await connect(fronts, 0)
    await turns()
    fronts.broker.reconnect("a")
    await fronts.pass_time(BACK_SECONDS)
    newer = await connect(fronts, 1)
    await turns()
    assert (lost.closed, newer.closed) == (LIMIT, None)


async def test_of_too_many_that_connect_at_once_the_first_count_as_older(
    fronts: TwoFronts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single, "CLIENTS_AT_MOST", 1)
    fronts.broker.disconnect("a")
    first, second = await connect(fronts, 0), await connect(fronts, 0, "bob")
    await turns()
    fronts.broker.reconnect("a")
    await fronts.pass_time(BACK_SECONDS / 2)
    newer = [await connect(fronts, 1), await connect(fronts, 1, "bob")]
    await turns()
    assert (first.closed, second.closed) == (LIMIT, None)
    assert [client.closed for client in newer] == [None, None]
