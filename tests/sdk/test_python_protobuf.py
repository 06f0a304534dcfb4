"""The Python SDK in Protobuf, beside one in JSON: its payloads are bytes."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from functools import partial

import pytest
from centrifuge import ClientState, Publication, ReplyError, StreamPosition, UnsubscribedContext

from tests.sdk.python_client import (
    SubscriptionEvents,
    follow,
    next_of,
    python_client,
)
from tests.system.balancer import balancing
from tests.system.token import make_token

pytestmark = [pytest.mark.sdk, pytest.mark.timeout(60)]

# Long enough to publish in before a cut client is back.
PAUSE_SECONDS = 0.5

protobuf_client = partial(python_client, use_protobuf=True)


@pytest.fixture(autouse=True)
async def _closed_sockets() -> AsyncIterator[None]:
    """Let the SDK finish: it closes its sockets in tasks that nothing waits for."""
    yield
    running = asyncio.all_tasks() - {asyncio.current_task()}
    if running:
        await asyncio.wait(running, timeout=5)


def fresh_channel(namespace: str = "open") -> str:
    return f"{namespace}:{uuid.uuid4()}"


def data_of(publications: list[Publication]) -> list[object]:
    return [publication.data for publication in publications]


def offsets_of(publications: list[Publication]) -> list[int]:
    return [publication.offset for publication in publications]


async def test_a_client_with_a_token_publishes_in_its_users_name(fronts: list[str]) -> None:
    async with protobuf_client(fronts[0], token=make_token("ada")) as (client, _):
        followed = await follow(client, fresh_channel("members"))
        await followed.subscription.publish(b'{"hello": "world"}')
        [publication] = await followed.events.take(1)

    assert publication.data == b'{"hello": "world"}'
    assert publication.info is not None
    assert publication.info.user == "ada"
    assert publication.info.conn_info == b'{"name":"ada"}'


async def test_a_client_with_a_forged_token_is_disconnected_for_good(fronts: list[str]) -> None:
    forged = make_token("ada", secret="not the secret of these tests at all")
    async with protobuf_client(fronts[0], token=forged) as (client, events):
        assert (await next_of(events.disconnected)).code == 3500
        assert client.state is ClientState.DISCONNECTED


async def test_clients_in_json_and_in_protobuf_get_the_same_of_one_channel(
    fronts: list[str],
) -> None:
    channel = fresh_channel()
    async with (
        protobuf_client(fronts[0]) as (in_protobuf, _),
        python_client(fronts[1]) as (in_json, _),
    ):
        first, second = await follow(in_protobuf, channel), await follow(in_json, channel)
        await first.subscription.publish(b'{"n": 1}')
        await second.subscription.publish({"n": 2})
        from_protobuf, from_json = await first.events.take(2), await second.events.take(2)

    assert data_of(from_protobuf) == [b'{"n": 1}', b'{"n": 2}']
    assert data_of(from_json) == [{"n": 1}, {"n": 2}]
    assert offsets_of(from_protobuf) == offsets_of(from_json) == [1, 2]


async def test_history_is_limited_paged_and_reversed(fronts: list[str]) -> None:
    async with protobuf_client(fronts[0]) as (client, _):
        followed = await follow(client, fresh_channel())
        history = followed.subscription.history
        for number in (1, 2, 3):
            await followed.subscription.publish(b"%d" % number)

        position = await history(limit=0)
        assert (position.publications, position.offset) == ([], 3)
        first = await history(limit=2)
        assert data_of(first.publications) == [b"1", b"2"]
        assert offsets_of(first.publications) == [1, 2]
        since = StreamPosition(offset=2, epoch=position.epoch)
        assert data_of((await history(limit=9, since=since)).publications) == [b"3"]
        assert data_of((await history(limit=2, reverse=True)).publications) == [b"3", b"2"]
        with pytest.raises(ReplyError) as refused:
            await history(limit=1, since=StreamPosition(0, "another"))
        assert refused.value.code == 112


async def test_presence_joins_and_leaves_are_seen_across_fronts(fronts: list[str]) -> None:
    channel = fresh_channel("room")
    async with protobuf_client(fronts[0], token=make_token("ada")) as (here, here_events):
        own = (await next_of(here_events.connected)).client
        watching = await follow(here, channel, join_leave=True)
        assert await next_of(watching.events.movements) == ("join", own)
        async with protobuf_client(fronts[1], token=make_token("bob")) as (there, there_events):
            other = (await next_of(there_events.connected)).client
            await follow(there, channel)
            assert await next_of(watching.events.movements) == ("join", other)
            presence = await watching.subscription.presence()
            infos = {(info.user, info.conn_info) for info in presence.clients.values()}
            assert infos == {("ada", b'{"name":"ada"}'), ("bob", b'{"name":"bob"}')}
            stats = await there.presence_stats(channel)
            assert (stats.num_clients, stats.num_users) == (2, 2)
        assert await next_of(watching.events.movements) == ("leave", other)


async def test_a_client_that_comes_back_to_another_front_recovers_what_it_missed(
    fronts: list[str],
) -> None:
    channel = fresh_channel()
    async with (
        balancing(fronts[0]) as balancer,
        protobuf_client(balancer.url, shortest_pause_seconds=PAUSE_SECONDS) as (client, events),
        protobuf_client(fronts[0]) as (other, _),
    ):
        followed = await follow(client, channel)
        await next_of(events.connecting)
        await other.publish(channel, b"1")
        await followed.events.take(1)

        balancer.move_to(fronts[1])
        await next_of(events.connecting)
        await other.publish(channel, b"2")
        resumed = await next_of(followed.events.subscribed)
        await followed.subscription.publish(b"3")

        assert (resumed.was_recovering, resumed.recovered) == (True, True)
        publications = await followed.events.take(2)
        assert data_of(publications) == [b"2", b"3"]
        assert offsets_of(publications) == [2, 3]


async def test_any_bytes_pass_where_data_is_binary(fronts: list[str]) -> None:
    channel, payload = fresh_channel("bytes"), bytes(range(256))
    async with (
        protobuf_client(fronts[0]) as (here, _),
        protobuf_client(fronts[1]) as (there, _),
    ):
        mine, theirs = await follow(here, channel), await follow(there, channel)
        await mine.subscription.publish(payload)
        assert data_of(await theirs.events.take(1)) == [payload]
        kept = await theirs.subscription.history(limit=1)
        assert data_of(kept.publications) == [payload]


async def test_what_is_not_for_a_client_is_refused_and_it_stays(fronts: list[str]) -> None:
    async with (
        protobuf_client(fronts[0]) as (in_protobuf, _),
        python_client(fronts[0]) as (in_json, _),
    ):
        for channel, code in [("nowhere", 102), ("members", 103)]:
            with pytest.raises(ReplyError) as refused:
                await in_protobuf.publish(fresh_channel(channel), b"1")
            assert refused.value.code == code
        with pytest.raises(ReplyError) as no_json:
            await in_protobuf.publish(fresh_channel(), b"\x00\xff")
        assert no_json.value.code == 107
        events = SubscriptionEvents()
        await in_json.new_subscription(fresh_channel("bytes"), events=events).subscribe()
        context: UnsubscribedContext = await next_of(events.unsubscribed)
        assert context.code == 108
        assert in_protobuf.state is in_json.state is ClientState.CONNECTED
