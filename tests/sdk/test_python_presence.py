"""Presence, joins and leaves, as the Python SDK sees them across two fronts."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from centrifuge import Client, ReplyError

from tests.sdk.python_client import follow, next_of, python_client
from tests.system.token import make_token

pytestmark = [pytest.mark.sdk, pytest.mark.timeout(60)]

# Within this a subscribe anywhere is seen everywhere.
SEEN_SECONDS = 1.0


@pytest.fixture(autouse=True)
async def _closed_sockets() -> AsyncIterator[None]:
    """Let the SDK finish: it closes its sockets in tasks that nothing waits for."""
    yield
    running = asyncio.all_tasks() - {asyncio.current_task()}
    if running:
        await asyncio.wait(running, timeout=5)


def fresh_room() -> str:
    return f"room:{uuid.uuid4()}"


async def sees(client: Client, channel: str, expected: set[str]) -> None:
    """Wait until a client's presence is these clients, and no others."""
    seen: set[str] = set()
    try:
        async with asyncio.timeout(SEEN_SECONDS):
            while seen != expected:
                seen = set((await client.presence(channel)).clients)
    except TimeoutError:
        raise AssertionError(f"saw {seen} and not {expected}") from None


async def test_clients_of_two_fronts_see_each_other(fronts: list[str]) -> None:
    channel = fresh_room()
    async with (
        python_client(fronts[0], token=make_token("ada")) as (here, here_events),
        python_client(fronts[1], token=make_token("bob")) as (there, there_events),
    ):
        ids = {
            (await next_of(here_events.connected)).client,
            (await next_of(there_events.connected)).client,
        }
        await follow(here, channel)
        followed = await follow(there, channel)
        for client in (here, there):
            await sees(client, channel, ids)
        presence = await followed.subscription.presence()
        assert {info.user for info in presence.clients.values()} == {"ada", "bob"}
        assert [info.conn_info for info in presence.clients.values() if info.user == "ada"] == [
            {"name": "ada"}
        ]
        stats = await here.presence_stats(channel)
        assert (stats.num_clients, stats.num_users) == (2, 2)


async def test_presence_is_the_clients_own_list_after_they_came_and_went(
    fronts: list[str],
) -> None:
    channel = fresh_room()
    async with (
        python_client(fronts[0]) as (one, one_events),
        python_client(fronts[1]) as (two, two_events),
        python_client(fronts[1]) as (three, three_events),
    ):
        clients = [one, two, three]
        ids = [
            (await next_of(events.connected)).client
            for events in (one_events, two_events, three_events)
        ]
        followed = [await follow(client, channel) for client in clients]
        await sees(one, channel, set(ids))
        for round_number in range(6):
            leaver = round_number % 3
            await followed[leaver].subscription.unsubscribe()
            await next_of(followed[leaver].events.unsubscribed)
            await sees(clients[leaver], channel, set(ids) - {ids[leaver]})
            await followed[leaver].subscription.subscribe()
            await next_of(followed[leaver].events.subscribed)
        for client in clients:
            await sees(client, channel, set(ids))
        await three.disconnect()
        await sees(one, channel, set(ids[:2]))


async def test_a_subscriber_is_told_who_joins_and_leaves_on_the_other_front(
    fronts: list[str],
) -> None:
    channel = fresh_room()
    async with python_client(fronts[0]) as (here, here_events):
        own = (await next_of(here_events.connected)).client
        watching = await follow(here, channel, join_leave=True)
        assert await next_of(watching.events.movements) == ("join", own)
        async with python_client(fronts[1]) as (there, there_events):
            other = (await next_of(there_events.connected)).client
            followed = await follow(there, channel)
            assert await next_of(watching.events.movements) == ("join", other)
            await followed.subscription.unsubscribe()
            assert await next_of(watching.events.movements) == ("leave", other)
            await followed.subscription.subscribe()
            assert await next_of(watching.events.movements) == ("join", other)
        assert await next_of(watching.events.movements) == ("leave", other)


async def test_where_there_is_no_presence_the_client_is_told_so(fronts: list[str]) -> None:
    async with python_client(fronts[0]) as (client, _):
        for ask in (client.presence, client.presence_stats):
            with pytest.raises(ReplyError) as refusal:
                await ask(f"open:{uuid.uuid4()}")
            assert refusal.value.code == 108
