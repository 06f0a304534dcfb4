"""The Python SDK, unmodified, against two fronts, a worker and RabbitMQ."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
from centrifuge import (
    ClientState,
    Publication,
    ReplyError,
    StreamPosition,
    UnsubscribedContext,
)

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


async def test_a_client_without_a_token_connects_as_anonymous(fronts: list[str]) -> None:
    async with python_client(fronts[0]) as (_, events):
        context = await next_of(events.connected)

    assert str(uuid.UUID(context.client)) == context.client


async def test_a_client_with_a_token_publishes_in_its_users_name(fronts: list[str]) -> None:
    async with python_client(fronts[0], token=make_token("ada")) as (client, _):
        followed = await follow(client, fresh_channel("members"))
        await followed.subscription.publish({"hello": "world"})
        [publication] = await followed.events.take(1)

    assert publication.data == {"hello": "world"}
    assert publication.info is not None
    assert publication.info.user == "ada"
    assert publication.info.conn_info == {"name": "ada"}


async def test_a_client_with_a_forged_token_is_disconnected_for_good(fronts: list[str]) -> None:
    forged = make_token("ada", secret="not the secret of these tests at all")
    async with python_client(fronts[0], token=forged) as (client, events):
        context = await next_of(events.disconnected)

        assert context.code == 3500
        assert client.state is ClientState.DISCONNECTED


async def test_a_client_with_an_expired_token_connects_with_the_next_one(
    fronts: list[str],
) -> None:
    async def next_token() -> str:
        return make_token("ada")

    expired = make_token("ada", expires_in_seconds=-60)
    async with python_client(fronts[0], token=expired, get_token=next_token) as (_, events):
        assert await next_of(events.connected)


async def test_a_subscriber_receives_its_own_publications_and_another_fronts_in_order(
    fronts: list[str],
) -> None:
    channel = fresh_channel()
    async with python_client(fronts[0]) as (here, _), python_client(fronts[1]) as (there, _):
        mine, theirs = await follow(here, channel), await follow(there, channel)
        await mine.subscription.publish(1)
        await theirs.subscription.publish(2)
        await mine.subscription.publish(3)

        for followed in (mine, theirs):
            publications = await followed.events.take(3)
            assert data_of(publications) == [1, 2, 3]
            assert offsets_of(publications) == [1, 2, 3]


async def test_publishes_that_do_not_wait_for_each_other_keep_their_order(
    fronts: list[str],
) -> None:
    numbers = list(range(50))
    async with python_client(fronts[0]) as (client, _):
        followed = await follow(client, fresh_channel())
        await asyncio.gather(*(followed.subscription.publish(number) for number in numbers))

        assert data_of(await followed.events.take(50)) == numbers


async def test_who_unsubscribes_receives_nothing_until_it_subscribes_again(
    fronts: list[str],
) -> None:
    channel = fresh_channel()
    async with python_client(fronts[0]) as (client, _), python_client(fronts[1]) as (other, _):
        followed = await follow(client, channel)
        await other.publish(channel, "before")
        assert data_of(await followed.events.take(1)) == ["before"]

        await followed.subscription.unsubscribe()
        await next_of(followed.events.unsubscribed)
        await other.publish(channel, "meanwhile")
        assert followed.events.publications.empty()

        await followed.subscription.subscribe()
        assert data_of(await followed.events.take(1)) == ["meanwhile"]


async def test_history_is_limited_paged_and_reversed(fronts: list[str]) -> None:
    async with python_client(fronts[0]) as (client, _):
        followed = await follow(client, fresh_channel())
        history = followed.subscription.history
        for number in (1, 2, 3, 4, 5):
            await followed.subscription.publish(number)

        position = await history(limit=0)
        assert (position.publications, position.offset) == ([], 5)
        first = await history(limit=2)
        assert data_of(first.publications) == [1, 2]
        assert offsets_of(first.publications) == [1, 2]
        since = StreamPosition(offset=2, epoch=position.epoch)
        assert data_of((await history(limit=10, since=since)).publications) == [3, 4, 5]
        assert data_of((await history(limit=2, reverse=True)).publications) == [5, 4]
        before = await history(limit=10, since=since, reverse=True)
        assert data_of(before.publications) == [1]


async def test_history_since_a_position_of_another_epoch_is_refused(fronts: list[str]) -> None:
    async with python_client(fronts[0]) as (client, _):
        followed = await follow(client, fresh_channel())
        with pytest.raises(ReplyError) as refused:
            await followed.subscription.history(limit=1, since=StreamPosition(0, "another"))

    assert refused.value.code == 112


async def test_a_channel_without_history_says_so(fronts: list[str]) -> None:
    async with python_client(fronts[0]) as (client, _):
        followed = await follow(client, fresh_channel("fleeting"))
        with pytest.raises(ReplyError) as refused:
            await followed.subscription.history(limit=1)

    assert refused.value.code == 108


@pytest.mark.parametrize(
    ("namespace", "code"), [("nowhere", 102), ("members", 103)], ids=["unknown", "forbidden"]
)
async def test_an_anonymous_client_is_refused_a_channel_that_is_not_for_it(
    namespace: str, code: int, fronts: list[str]
) -> None:
    async with python_client(fronts[0]) as (client, _):
        channel = fresh_channel(namespace)
        events = SubscriptionEvents()
        await client.new_subscription(channel, events=events).subscribe()
        context: UnsubscribedContext = await next_of(events.unsubscribed)
        with pytest.raises(ReplyError) as refused:
            await client.publish(channel, "let me in")

        assert context.code == code
        assert refused.value.code == code
        assert client.state is ClientState.CONNECTED


async def test_a_client_whose_connection_is_dropped_recovers_what_it_missed(
    fronts: list[str],
) -> None:
    async with balancing(fronts[0]) as balancer:
        await assert_recovery_after(balancer.cut, balancer.url, fronts[1])


async def test_a_client_that_comes_back_to_another_front_recovers_what_it_missed(
    fronts: list[str],
) -> None:
    async with balancing(fronts[0]) as balancer:
        await assert_recovery_after(lambda: balancer.move_to(fronts[1]), balancer.url, fronts[0])


async def assert_recovery_after(interrupt: Callable[[], None], url: str, other_url: str) -> None:
    channel = fresh_channel()
    async with (
        python_client(url, shortest_pause_seconds=PAUSE_SECONDS) as (client, events),
        python_client(other_url) as (other, _),
    ):
        followed = await follow(client, channel)
        await next_of(events.connecting)
        await other.publish(channel, 1)
        await followed.events.take(1)

        interrupt()
        await next_of(events.connecting)
        await other.publish(channel, 2)
        await other.publish(channel, 3)
        resumed = await next_of(followed.events.subscribed)
        await followed.subscription.publish(4)

        assert followed.first.recoverable
        assert not followed.first.was_recovering
        assert (resumed.was_recovering, resumed.recovered) == (True, True)
        publications = await followed.events.take(3)
        assert data_of(publications) == [2, 3, 4]
        assert offsets_of(publications) == [2, 3, 4]


async def test_a_client_that_missed_more_than_is_kept_is_told_so(fronts: list[str]) -> None:
    channel, token = fresh_channel("members"), make_token("ada")  # keeps five
    async with (
        balancing(fronts[0]) as balancer,
        python_client(balancer.url, token=token, shortest_pause_seconds=PAUSE_SECONDS) as (
            client,
            events,
        ),
        python_client(fronts[1], token=token) as (other, _),
    ):
        followed, publishing = await follow(client, channel), await follow(other, channel)
        await next_of(events.connecting)

        balancer.cut()
        await next_of(events.connecting)
        await asyncio.gather(*map(publishing.subscription.publish, range(10)))
        resumed = await next_of(followed.events.subscribed)
        await publishing.subscription.publish("afterwards")

        assert (resumed.was_recovering, resumed.recovered) == (True, False)
        assert resumed.stream_position == StreamPosition(10, followed.first.stream_position.epoch)
        assert data_of(await followed.events.take(1)) == ["afterwards"]
