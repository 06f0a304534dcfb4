"""Server-side subscriptions: what a client follows from its connect on, without asking.

They come from its token (`subs`, and `channels` for short) and from the settings: a user's personal
channel. The connect request tells the positions of those that the client had before, and
the reply what was missed.

Rules
- They need no permission but the token, and are part of the session's limit of channels.
- All of them are looked up and registered in one step; see `following`.
- A client that has lost one of them connects again (3010): an SDK does not subscribe to it by
  itself.

Not here: what a one-way client asks for with its connect (`one_way`).
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from services.auth import Identity, ServerSubscription
from services.front.addresses import Address
from services.front.following import describe, encoding_of, recover
from services.front.hub import Subscription
from services.front.payloads import check_readable
from services.front.session import EndSession, Session
from services.front.view import FrontView
from services.front.view_partition import ViewNotReady
from services.permissions import Tracking, Who
from services.wire.channel import NAMESPACE_BOUNDARY, USER_BOUNDARY
from services.wire.command import ConnectRequest, SubscribeRequest
from services.wire.errors import Disconnect
from services.wire.reply import SubscribeResult

_PLAIN: Final = ServerSubscription()


class Place(NamedTuple):
    """A channel that a client is put into."""

    address: Address
    granted: ServerSubscription
    request: SubscribeRequest
    """What the client says of the position it had."""
    tracking: Tracking
    has_token: bool = True
    """Whether a token puts it there; else it is only let in."""
    ttl: int = 0
    """What the client is told of when its stay expires; 0: it does not."""
    expires_seconds: float = 0.0
    """When that, and the grace after it, are over."""


async def find_places(session: Session, identity: Identity, request: ConnectRequest) -> list[Place]:
    """Say where a client belongs, before it is let in. Waits for nothing; others that do can.

    Raises:
        Refusal: a channel's name is illegal, its namespace unknown, or what is in it cannot be
            told to this client.
        EndSession: there are more than a session may have.
    """
    channels = _channels(session, identity)
    if len(channels) > session.parts.config.client.channel_limit:
        raise EndSession(Disconnect.CHANNEL_LIMIT, "its token has more than client.channel_limit")
    return [
        place_in(session, identity.user, channel, granted, request)
        for channel, granted in channels.items()
    ]


def _channels(session: Session, identity: Identity) -> Mapping[str, ServerSubscription]:
    personal = session.parts.config.client.subscribe_to_user_personal_channel
    if not personal.enabled or not identity.user:
        return identity.channels
    namespace = personal.personal_channel_namespace
    prefix = f"{namespace}{NAMESPACE_BOUNDARY}" if namespace else ""
    return {f"{prefix}{USER_BOUNDARY}{identity.user}": _PLAIN} | dict(identity.channels)


def place_in(
    session: Session,
    user: str,
    channel: str,
    granted: ServerSubscription,
    request: ConnectRequest,
) -> Place:
    """A channel that the server puts a client into.

    Raises:
        Refusal: its name is illegal, its namespace unknown, or what is in it cannot be told to this
            client.
    """
    address = session.parts.addresses.find(channel)
    check_readable(session.encoding, address.options)
    known = request.subs.get(channel)
    # Nothing else that a client says of a server-side subscription counts.
    asked = SubscribeRequest(channel)
    if known is not None:
        asked = SubscribeRequest(
            channel, recover=known.recover, offset=known.offset, epoch=known.epoch
        )
    tracking = session.parts.permissions.tracking(
        Who(user, has_token=True), address.channel, asked, granted.override
    )
    return Place(address, granted, asked, tracking)


async def reach(session: Session, places: list[Place]) -> None:
    """Wait, not for long, until this front has read as far as the client has.

    All channels of which that is not so are waited for together.

    Raises:
        ViewNotReady: a partition's log is not caught up.
    """
    view = session.parts.view
    requests = [
        place.request for place in places if place.request.recover and place.tracking.is_recoverable
    ]
    behind = [
        each for each in requests if view.state(each.channel).is_behind(each.epoch, each.offset)
    ]
    if not behind:
        return
    async with asyncio.TaskGroup() as tasks:
        waits = [tasks.create_task(_reaches(view, request)) for request in behind]
    if not all(wait.result() for wait in waits):
        raise ViewNotReady


async def _reaches(view: FrontView, request: SubscribeRequest) -> bool:
    try:
        await view.follow(request.channel, request.epoch, request.offset)
    except ViewNotReady:
        return False
    return True


def enroll(
    session: Session, user: str, places: list[Place]
) -> Iterator[tuple[str, SubscribeResult, Subscription]]:
    """Say what the client is told of each channel, with the subscription to join then.

    Raises:
        ViewNotReady: a partition's log is not caught up.
    """
    parts = session.parts
    room_bytes = session.outbox.room_bytes // 2
    for place in places:
        address, granted, request, tracking = place[:4]
        channel = request.channel
        state = parts.view.state(channel)
        recovery = recover(session, request, tracking, state, room_bytes)
        room_bytes -= recovery.size_bytes
        subscription = Subscription(
            session, channel, parts.view.sequence, is_positioned=tracking.is_positioned
        )
        subscription.tell_in(encoding_of(session, tracking))
        subscription.is_server_side = True
        subscription.chan_info = granted.info
        subscription.override = granted.override
        subscription.hears_movements = parts.permissions.hears_movements(
            Who(user, has_token=place.has_token), address.channel, request, granted.override
        )
        subscription.expires_seconds = place.expires_seconds
        result = describe(session, request, tracking, state, recovery)
        if granted.data:
            result = msgspec.structs.replace(result, data=msgspec.Raw(granted.data))
        if place.ttl:
            result = msgspec.structs.replace(result, expires=True, ttl=place.ttl)
        yield channel, result, subscription
