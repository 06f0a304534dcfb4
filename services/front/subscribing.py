"""The commands `subscribe`, `unsubscribe` and `sub_refresh`.

Rules
- Nothing is awaited between the answer of `view.follow` and `session.join`; see `following`.
- Permissions are asked anew each time, when a client comes back to recover too.

Not here: what the server subscribes a client to (`enrolling`).
"""

from typing import Final

import msgspec

from services.auth import (
    SubscriptionGrant,
    TokenExpired,
    TokenInvalid,
    TokenMismatch,
    verify_subscription_token,
)
from services.front.connecting import time_to_live
from services.front.following import describe, encoding_of, recover
from services.front.hub import Subscription
from services.front.payloads import check_readable
from services.front.session import EndSession, Session
from services.permissions import Who
from services.wire.command import (
    SubRefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from services.wire.errors import Disconnect, ErrorCode, Refusal
from services.wire.reply import SubRefreshResult, UnsubscribeResult

_STREAM_TYPE: Final = 0


async def subscribe(session: Session, command_id: int, request: SubscribeRequest) -> None:
    """Follow a channel.

    Raises:
        Refusal: it may not, or not again.
        EndSession: the token is somebody else's.
    """
    address = session.parts.addresses.find(request.channel)
    _check_request(session, request)
    grant = grant_of(session, session.user, request) if request.token else None
    who = Who(session.user, has_token=grant is not None)
    denial = session.parts.permissions.may_subscribe(who, address.channel)
    if denial is not None:
        raise Refusal(denial.error)
    check_readable(session.encoding, address.options)
    override = grant.override if grant is not None else {}
    tracking = session.parts.permissions.tracking(who, address.channel, request, override)
    is_recovering = request.recover and tracking.is_recoverable
    position = (request.epoch, request.offset) if is_recovering else ()
    state = await session.parts.view.follow(request.channel, *position)
    if session.is_over:
        return
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
    expire_at, data = None, b""
    if grant is not None:
        subscription.chan_info, expire_at, data = grant.info, grant.expire_at, grant.data
    result = describe(session, request, tracking, state, recovery)
    session.answer(
        command_id,
        msgspec.structs.replace(
            result,
            expires=expire_at is not None,
            ttl=time_to_live(session, expire_at),
            data=msgspec.Raw(data) if data else None,
        ),
    )
    session.join(subscription)
    if expire_at is not None:
        session.subscription_expires(subscription, end_of_grace(session, expire_at))


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
    """When the wheel ends the subscription; 0 for never."""
    parts = session.parts
    if expire_at is None or parts.config.client.insecure:
        return 0.0
    grace_seconds = parts.config.client.expired_sub_close_delay
    return parts.wheel.now_seconds + max(0.0, expire_at - parts.wall_clock() + grace_seconds)
