"""The commands `subscribe`, `unsubscribe` and `sub_refresh`.

Rules
- Nothing is awaited between the answer of `view.follow` and `session.join`; see `following`.
- Permissions are asked anew each time, when a client comes back to recover too, and so is the
  team's subscribe handler.

Not here: what the server subscribes a client to (`enrolling`).
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from services.auth import (
    SubscriptionGrant,
    TokenExpired,
    TokenInvalid,
    TokenMismatch,
    verify_subscription_token,
)
from services.front.addresses import Address
from services.front.admission import (
    NO_TERMS,
    Asking,
    Terms,
    ask_subscribe,
    hear_subscribe,
    settle_terms,
)
from services.front.connecting import end_of_term, time_to_live
from services.front.following import describe, encoding_of, recover
from services.front.hub import Subscription
from services.front.session import EndSession, Session
from services.permissions import Who
from services.wire.command import (
    SubRefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from services.wire.errors import Disconnect, ErrorCode, Refusal
from services.wire.reply import SubRefreshResult, SubscribeResult, UnsubscribeResult

_STREAM_TYPE: Final = 0


async def subscribe(session: Session, command_id: int, request: SubscribeRequest) -> None:
    """Follow a channel.

    Raises:
        Refusal: it may not, or not again.
        EndSession: the token is somebody else's, or a handler does not want the client to stay.
    """
    await _fulfil(session, command_id, _look_at(session, request))


class Foreseen(NamedTuple):
    """A subscribe that was looked at ahead of its turn, or what was wrong with it."""

    wish: "Wish | Refusal | EndSession"


def foresee(session: Session, request: SubscribeRequest) -> Foreseen:
    """Look at a subscribe whose turn is soon, so that a handler is asked about it already."""
    try:
        return Foreseen(_look_at(session, request))
    except (Refusal, EndSession) as error:
        return Foreseen(error)


async def subscribe_as_foreseen(session: Session, command_id: int, foreseen: Foreseen) -> None:
    """Follow a channel; see `subscribe`."""
    wish = foreseen.wish
    if isinstance(wish, Exception):
        raise wish
    await _fulfil(session, command_id, wish)


class Wish(NamedTuple):
    """A channel that a client asks for, and may have unless a handler says no."""

    request: SubscribeRequest
    address: Address
    who: Who
    grant: SubscriptionGrant | None
    asking: Asking


def wish_for(
    session: Session,
    user: str,
    request: SubscribeRequest,
    address: Address,
    info: Callable[[bytes], bytes],
) -> Wish:
    """Look at what a user asks for, and have a handler asked if there is one; see `ask_subscribe`.

    Raises:
        Refusal: it may not be.
        EndSession: the token is somebody else's.
    """
    grant = grant_of(session, user, request) if request.token else None
    who = Who(user, has_token=grant is not None)
    asking = ask_subscribe(session, request, who, address, info)
    return Wish(request, address, who, grant, asking)


def _look_at(session: Session, request: SubscribeRequest) -> Wish:
    address = session.parts.addresses.find(request.channel)
    _check_request(session, request)
    return wish_for(session, session.user, request, address, session.info)


async def _fulfil(session: Session, command_id: int, wish: Wish) -> None:
    request, address, who, grant, asking = wish
    terms = settle_terms(grant, await hear_subscribe(session, asking))
    override = terms.override
    tracking = session.parts.permissions.tracking(who, address.channel, request, override)
    is_recovering = request.recover and tracking.is_recoverable
    position = (request.epoch, request.offset) if is_recovering else ()
    state = await session.parts.view.follow(request.channel, *position)
    if session.is_over:
        return
    # Again: an order, or what came before it, may have put it there while it waited.
    _check_request(session, request)
    recovery = recover(session, request, tracking, state, session.outbox.room_bytes // 2)
    subscription = Subscription(
        session,
        request.channel,
        session.parts.view.sequence,
        is_positioned=tracking.is_positioned,
    )
    subscription.override = override
    subscription.tell_in(encoding_of(session, tracking), recovery.told_offset)
    subscription.hears_movements = session.parts.permissions.hears_movements(
        who, address.channel, request, override
    )
    subscription.chan_info, subscription.has_fixed_term = terms.info, terms.is_fixed
    subscription.expires_seconds = end_of_terms(session, terms)
    result = describe(session, request, tracking, state, recovery)
    session.answer(command_id, tell_terms(session, result, terms))
    session.join(subscription)


def tell_terms(session: Session, result: SubscribeResult, terms: Terms) -> SubscribeResult:
    """What the client is told of a subscription, with what its token or a handler says of it."""
    if terms is NO_TERMS:
        return result
    # Told of a term that no token can change, an SDK would ask for one, and give up without.
    told_expire_at = None if terms.is_fixed else terms.expire_at
    return msgspec.structs.replace(
        result,
        expires=told_expire_at is not None,
        ttl=time_to_live(session, told_expire_at),
        data=msgspec.Raw(terms.data) if terms.data else None,
    )


def end_of_terms(session: Session, terms: Terms) -> float:
    """When the wheel ends a subscription; 0 for never."""
    end = end_of_term if terms.is_fixed else end_of_grace
    return end(session, terms.expire_at)


def unsubscribe(session: Session, command_id: int, request: UnsubscribeRequest) -> None:
    """Follow a channel no longer; fine too if it was not followed.

    Raises:
        Refusal: there is no channel.
    """
    if not request.channel:
        raise Refusal(ErrorCode.BAD_REQUEST.explained("channel is missing"))
    session.part(request.channel)
    session.answer(command_id, UnsubscribeResult())


def refresh_subscription(session: Session, command_id: int, request: SubRefreshRequest) -> None:
    """Let a subscription last for as long as a new token says.

    Raises:
        Refusal: there is no token or no such subscription.
        EndSession: the token is somebody else's.
    """
    if not request.token:
        raise Refusal(ErrorCode.BAD_REQUEST.explained("token is missing"))
    # An empty channel is any: old SDKs leave it to the token to say.
    grant = grant_of(session, session.user, request)
    subscription = session.subscription(grant.channel)
    if subscription is None:
        raise Refusal(ErrorCode.PERMISSION_DENIED.explained("not subscribed to this channel"))
    if subscription.has_fixed_term:
        raise Refusal(ErrorCode.NOT_AVAILABLE.explained("the app alone says when it expires"))
    session.subscription_expires(subscription, end_of_grace(session, grant.expire_at))
    session.answer(
        command_id,
        SubRefreshResult(
            expires=grant.expire_at is not None, ttl=time_to_live(session, grant.expire_at)
        ),
    )


def _check_request(session: Session, request: SubscribeRequest) -> None:
    """Whether it is a subscribe at all, and one too many.

    Raises:
        Refusal: it is neither.
    """
    if request.type != _STREAM_TYPE:
        raise Refusal(ErrorCode.NOT_AVAILABLE.explained("only stream subscriptions are served"))
    if session.subscription(request.channel) is not None:
        raise Refusal(ErrorCode.ALREADY_SUBSCRIBED.error)
    if len(session.subscriptions or ()) >= session.parts.config.client.channel_limit:
        raise Refusal(ErrorCode.LIMIT_EXCEEDED.explained("see client.channel_limit"))


def grant_of(
    session: Session, user: str, request: SubscribeRequest | SubRefreshRequest
) -> SubscriptionGrant:
    """What a request's subscription token allows this user in its channel.

    Raises:
        Refusal: it is invalid or has expired.
        EndSession: it is for another channel, user or client.
    """
    parts = session.parts
    client = parts.config.client
    now = None if client.insecure else parts.wall_clock()
    try:
        return verify_subscription_token(
            request.token,
            client.token_of_subscriptions,
            now,
            user=user,
            client=session.id,
            channel=request.channel,
        )
    except TokenInvalid:
        raise Refusal(ErrorCode.PERMISSION_DENIED.error) from None
    except TokenExpired:
        raise Refusal(ErrorCode.TOKEN_EXPIRED.error) from None
    except TokenMismatch as error:
        raise EndSession(
            Disconnect.INVALID_TOKEN, f"the subscription token's {error.claim} is another one"
        ) from None


def end_of_grace(session: Session, expire_at: float | None) -> float:
    """When the wheel ends a subscription that could have been refreshed; 0 for never."""
    client = session.parts.config.client
    if expire_at is None or client.insecure:
        return 0.0
    return end_of_term(session, expire_at + client.expired_sub_close_delay)
