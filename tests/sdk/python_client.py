"""Clients of the unmodified Python SDK, with events that a test can await."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from centrifuge import (
    Client,
    ClientEventHandler,
    ConnectedContext,
    ConnectingContext,
    DeltaType,
    DisconnectedContext,
    JoinContext,
    LeaveContext,
    Publication,
    PublicationContext,
    ServerPublicationContext,
    ServerSubscribedContext,
    ServerUnsubscribedContext,
    SubscribedContext,
    Subscription,
    SubscriptionEventHandler,
    UnsubscribedContext,
)

PATIENCE_SECONDS = 10.0

GetToken = Callable[[], Awaitable[str]]


async def next_of(queue: "asyncio.Queue[Any]") -> Any:
    """Wait for the next event of a kind.

    Raises:
        TimeoutError: it did not come in time.
    """
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await queue.get()


@dataclass
class ClientEvents(ClientEventHandler):  # type: ignore[misc]  # the package ships no types
    """What happened to a client, a queue for each kind."""

    connecting: asyncio.Queue[ConnectingContext] = field(default_factory=asyncio.Queue)
    connected: asyncio.Queue[ConnectedContext] = field(default_factory=asyncio.Queue)
    disconnected: asyncio.Queue[DisconnectedContext] = field(default_factory=asyncio.Queue)

    subscribed: asyncio.Queue[ServerSubscribedContext] = field(default_factory=asyncio.Queue)
    """By the server, as are these two."""
    unsubscribed: asyncio.Queue[ServerUnsubscribedContext] = field(default_factory=asyncio.Queue)
    publications: asyncio.Queue[ServerPublicationContext] = field(default_factory=asyncio.Queue)

    async def on_connecting(self, ctx: ConnectingContext) -> None:
        self.connecting.put_nowait(ctx)

    async def on_connected(self, ctx: ConnectedContext) -> None:
        self.connected.put_nowait(ctx)

    async def on_disconnected(self, ctx: DisconnectedContext) -> None:
        self.disconnected.put_nowait(ctx)

    async def on_subscribed(self, ctx: ServerSubscribedContext) -> None:
        self.subscribed.put_nowait(ctx)

    async def on_unsubscribed(self, ctx: ServerUnsubscribedContext) -> None:
        self.unsubscribed.put_nowait(ctx)

    async def on_publication(self, ctx: ServerPublicationContext) -> None:
        self.publications.put_nowait(ctx)


@dataclass
class SubscriptionEvents(SubscriptionEventHandler):  # type: ignore[misc]  # as above
    """What happened to a subscription, a queue for each kind."""

    subscribed: asyncio.Queue[SubscribedContext] = field(default_factory=asyncio.Queue)
    unsubscribed: asyncio.Queue[UnsubscribedContext] = field(default_factory=asyncio.Queue)
    publications: asyncio.Queue[Publication] = field(default_factory=asyncio.Queue)
    movements: asyncio.Queue[tuple[str, str]] = field(default_factory=asyncio.Queue)
    """Joins and leaves, each with the client's id."""

    async def on_subscribed(self, ctx: SubscribedContext) -> None:
        self.subscribed.put_nowait(ctx)

    async def on_unsubscribed(self, ctx: UnsubscribedContext) -> None:
        self.unsubscribed.put_nowait(ctx)

    async def on_publication(self, ctx: PublicationContext) -> None:
        self.publications.put_nowait(ctx.pub)

    async def on_join(self, ctx: JoinContext) -> None:
        self.movements.put_nowait(("join", ctx.info.client))

    async def on_leave(self, ctx: LeaveContext) -> None:
        self.movements.put_nowait(("leave", ctx.info.client))

    async def take(self, count: int) -> list[Publication]:
        """Wait for the next so many publications."""
        return [await next_of(self.publications) for _ in range(count)]


@dataclass
class Followed:
    """A subscription and what happens to it."""

    subscription: Subscription
    events: SubscriptionEvents
    first: SubscribedContext


@asynccontextmanager
async def python_client(
    url: str,
    *,
    token: str = "",
    get_token: GetToken | None = None,
    shortest_pause_seconds: float = 0.1,
    use_protobuf: bool = False,
    data: Any = None,
) -> AsyncIterator[tuple[Client, ClientEvents]]:
    """Make a client and let it connect; it is disconnected when the context ends."""
    events = ClientEvents()
    client = Client(
        url,
        events=events,
        token=token,
        get_token=get_token,
        proxy=None,
        use_protobuf=use_protobuf,
        data=data,
        min_reconnect_delay=shortest_pause_seconds,
        max_reconnect_delay=1.0,
    )
    await client.connect()
    try:
        yield client, events
    finally:
        await client.disconnect()


async def follow(
    client: Client, channel: str, *, join_leave: bool = False, delta: DeltaType | None = None
) -> Followed:
    """Subscribe and wait until that is done."""
    events = SubscriptionEvents()
    subscription = client.new_subscription(
        channel, events=events, join_leave=join_leave, delta=delta
    )
    await subscription.subscribe()
    return Followed(subscription, events, await next_of(events.subscribed))
