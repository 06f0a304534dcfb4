"""The Python SDK with a state of its own elsewhere: asked for when it may have missed something."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from centrifuge import Client, StreamPosition, SubscribedContext

from tests.sdk.python_client import (
    Followed,
    SubscriptionEvents,
    follow,
    next_of,
    python_client,
)
from tests.system.balancer import balancing
from tests.system.token import make_token

pytestmark = [
    pytest.mark.sdk,
    pytest.mark.timeout(60),
    pytest.mark.parametrize("use_protobuf", [False, True], ids=["json", "protobuf"]),
]


@pytest.fixture(autouse=True)
async def _closed_sockets() -> AsyncIterator[None]:
    """Let the SDK finish: it closes its sockets in tasks that nothing waits for."""
    yield
    running = asyncio.all_tasks() - {asyncio.current_task()}
    if running:
        await asyncio.wait(running, timeout=5)


@dataclass
class Stateful:
    """A client whose state is its channel's position, and who publishes there."""

    client: Client
    events: SubscriptionEvents
    other: Followed
    asked: list[int]
    """The offsets of the states that it was given."""

    async def miss(self, count: int) -> SubscribedContext:
        """Be away while so many are published; then one more comes."""
        await self.client.disconnect()
        for number in range(count):
            await self.other.subscription.publish(number)
        await self.client.connect()
        context: SubscribedContext = await next_of(self.events.subscribed)
        await self.other.subscription.publish("afterwards")
        return context

    async def take(self, count: int) -> list[object]:
        """Wait for so many publications; payloads are bytes in Protobuf."""
        return [
            publication.data.decode().strip('"')
            if isinstance(publication.data, bytes)
            else str(publication.data)
            for publication in await self.events.take(count)
        ]


@asynccontextmanager
async def stateful(fronts: list[str], *, use_protobuf: bool) -> AsyncIterator[Stateful]:
    channel, token = f"members:{uuid.uuid4()}", make_token("ada")  # keeps five
    asked: list[int] = []
    async with (
        balancing(*fronts) as balancer,
        python_client(fronts[1], token=token) as (publisher, _),
        python_client(balancer.url, token=token, use_protobuf=use_protobuf) as (client, _),
    ):
        other = await follow(publisher, channel)
        await other.subscription.publish("before")

        async def get_state(_: str) -> StreamPosition:
            position = await other.subscription.history(limit=0)
            asked.append(position.offset)
            return StreamPosition(position.offset, position.epoch)

        events = SubscriptionEvents()
        subscription = client.new_subscription(channel, events=events, get_state=get_state)
        await subscription.subscribe()
        await next_of(events.subscribed)
        yield Stateful(client, events, other, asked)


async def test_a_client_asks_for_its_state_once_and_reads_on_from_there(
    fronts: list[str], *, use_protobuf: bool
) -> None:
    async with stateful(fronts, use_protobuf=use_protobuf) as its:
        await its.other.subscription.publish("next")

        assert await its.take(1) == ["next"]
        assert its.asked == [1]


async def test_a_client_that_missed_what_is_kept_recovers_and_needs_no_other_state(
    fronts: list[str], *, use_protobuf: bool
) -> None:
    async with stateful(fronts, use_protobuf=use_protobuf) as its:
        context = await its.miss(3)

        assert context.recovered
        assert await its.take(4) == ["0", "1", "2", "afterwards"]
        assert its.asked == [1]


async def test_a_client_that_missed_more_than_is_kept_is_told_so_and_asks_for_its_state_again(
    fronts: list[str], *, use_protobuf: bool
) -> None:
    async with stateful(fronts, use_protobuf=use_protobuf) as its:
        context = await its.miss(8)

        assert context.stream_position.offset == 9
        assert await its.take(1) == ["afterwards"]
        assert its.asked == [1, 9]
