"""Members of a room, who know themselves whether they are in it; and what others must see of them.

As `members.mjs`, with the Python SDK.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from centrifuge import (
    Client,
    PublicationContext,
    ReplyError,
    Subscription,
    SubscriptionEventHandler,
    SubscriptionState,
)

from tests.sdk.python_client import PATIENCE_SECONDS, ClientEvents, python_client

LOOK_SECONDS = 0.02
INTERNAL = 100


@dataclass
class Reading(SubscriptionEventHandler):  # type: ignore[misc]  # the package ships no types
    """What was read in a channel, as values: payloads are bytes in Protobuf."""

    values: list[Any] = field(default_factory=list)

    async def on_publication(self, ctx: PublicationContext) -> None:
        data = ctx.pub.data
        self.values.append(json.loads(data) if isinstance(data, bytes) else data)


@dataclass
class Member:
    """A client that is to be in a room and to read in another channel."""

    client: Client
    events: ClientEvents
    room: Subscription
    reading: Subscription
    read: list[Any]
    _id: str = ""

    @property
    def id(self) -> str:
        """The id of its connection of the moment."""
        while not self.events.connected.empty():
            self._id = self.events.connected.get_nowait().client
        return self._id

    @property
    def is_in(self) -> bool:
        """Whether it is in the room by its own account."""
        return bool(self.room.state is SubscriptionState.SUBSCRIBED)

    async def subscribe(self) -> None:
        await self.room.subscribe()
        await self.reading.subscribe()

    async def unsubscribe(self) -> None:
        await self.room.unsubscribe()
        await self.reading.unsubscribe()

    async def ready(self) -> None:
        """Wait until it is subscribed."""
        await self.room.ready(PATIENCE_SECONDS)
        await self.reading.ready(PATIENCE_SECONDS)


@asynccontextmanager
async def member_of(
    url: str, room: str, reading: str, *, use_protobuf: bool
) -> AsyncIterator[Member]:
    """Make a member and let it connect; it is not subscribed yet."""
    async with python_client(url, use_protobuf=use_protobuf) as (client, events):
        seen = Reading()
        yield Member(
            client,
            events,
            client.new_subscription(room),
            client.new_subscription(reading, events=seen),
            seen.values,
        )


@asynccontextmanager
async def members_of(
    count: int, url: str, room: str, reading: str, *, use_protobuf: bool
) -> AsyncIterator[list[Member]]:
    """Make several."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                member_of(url, room, reading, use_protobuf=use_protobuf)
            )
            for _ in range(count)
        ]


def own_list(members: Iterable[Member]) -> set[str]:
    """The ids of those who are in the room by their own account."""
    return {member.id for member in members if member.is_in}


async def agree(client: Client, room: str, members: list[Member], within_seconds: float) -> None:
    """Wait until a room's presence, as this client is told, is the members' own list.

    Raises:
        AssertionError: it is not, in time.
    """
    seen: set[str] | None = None
    try:
        async with asyncio.timeout(within_seconds):
            while (seen := await presence_of(client, room)) != own_list(members):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise AssertionError(f"saw {seen} and not {own_list(members)}") from None


async def presence_of(client: Client, room: str) -> set[str] | None:
    """Ask who is in the room; None while a front may be dead, for half an answer would look like
    a whole one.
    """
    try:
        return set((await client.presence(room)).clients)
    except ReplyError as refusal:
        if refusal.code == INTERNAL:
            return None
        raise
