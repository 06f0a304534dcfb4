"""The commands `subscribe`, `unsubscribe` and `sub_refresh`.

A subscribe looks at the view, builds the reply and registers in the hub in one step, without giving
the event loop a turn in between: what the reply tells of and what is pushed afterwards are one
sequence, without a gap and without a duplicate, and nothing is buffered or merged.

Rules
- Nothing is awaited between the answer of `view.follow` and `session.join`.
- What is sent to recover is bounded by the room in the outbox: a client that would be too slow for
  it is told that it cannot recover, which it survives; disconnected, it would come back for more.
- Permissions are asked anew each time, when a client comes back to recover too.
"""

from typing import NamedTuple

import msgspec

from services.auth import (
    SubscriptionGrant,
    TokenExpired,
    TokenInvalid,
    TokenMismatch,
    verify_subscription_token,
)
from services.front.connecting import time_to_live
from services.front.encodings.websocket_json import encode_stored
from services.front.hub import Subscription
from services.front.session import EndSession, Session
from services.front.view import ChannelState
from services.permissions import Tracking, Who
from services.wire.command import (
    SubRefreshRequest,
    SubscribeFlag,
    SubscribeRequest,
    UnsubscribeRequest,
)
from services.wire.errors import Disconnect, ErrorCode, Refusal
from services.wire.reply import Payload, SubRefreshResult, SubscribeResult, UnsubscribeResult

_STREAM_TYPE = 0


class _Recovery(NamedTuple):
    """What a subscribe that asks for what was missed gets."""

    is_recovered: bool
    publications: list[Payload]


_NOT_ASKED = _Recovery(is_recovered=False, publications=[])
_UNRECOVERED = _NOT_ASKED


async def subscribe(session: Session, command_id: int, request: SubscribeRequest) -> None:
    """Follow a channel.

    Raises:
        Refusal: it may not, or not again.
        EndSession: the token is somebody else's.
    """
    address = session.parts.addresses.find(request.channel)
    _check_request(session, request)
    grant = _grant(session, request.token, request.channel) if request.token else None
    who = Who(session.user, has_token=grant is not None)
    denial = session.parts.permissions.may_subscribe(who, address.channel)
    if denial is not None:
        raise Refusal(denial.error)
    tracking = session.parts.permissions.tracking(who, address.channel, request)
    is_recovering = request.recover and tracking.is_recoverable
    position = (request.epoch, request.offset) if is_recovering else ()
    state = await session.parts.view.follow(request.channel, *position)
    if session.is_over:
        return
    recovery = _recover(session, request, tracking, state)
    subscription = Subscription(
        session,
        request.channel,
        session.parts.view.sequence,
        is_positioned=tracking.is_positioned,
    )
    subscription.hears_movements = session.parts.permissions.hears_movements(
        who, address.channel, request
    )
    if grant is not None:
        subscription.chan_info = grant.info
    session.answer(command_id, _result(session, request, tracking, state, recovery, grant))
    session.join(subscription)
    if grant is not None:
        session.subscription_expires(subscription, _end_of_grace(session, grant.expire_at))


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
    grant = _grant(session, request.token, request.channel)
    subscription = session.subscription(grant.channel)
    if subscription is None:
        raise Refusal(ErrorCode.PERMISSION_DENIED.explained("not subscribed to this channel"))
    session.subscription_expires(subscription, _end_of_grace(session, grant.expire_at))
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


def _grant(session: Session, token: str, channel: str) -> SubscriptionGrant:
    """What a subscription token allows.

    Raises:
        Refusal: it is invalid or has expired.
        EndSession: it is for another channel, user or client.
    """
    parts = session.parts
    client = parts.config.client
    now = None if client.insecure else parts.wall_clock()
    try:
        return verify_subscription_token(
            token,
            client.token_of_subscriptions,
            now,
            user=session.user,
            client=session.id,
            channel=channel,
        )
    except TokenInvalid:
        raise Refusal(ErrorCode.PERMISSION_DENIED.error) from None
    except TokenExpired:
        raise Refusal(ErrorCode.TOKEN_EXPIRED.error) from None
    except TokenMismatch as error:
        raise EndSession(
            Disconnect.INVALID_TOKEN, f"the subscription token's {error.claim} is another one"
        ) from None


def _recover(
    session: Session, request: SubscribeRequest, tracking: Tracking, state: ChannelState
) -> _Recovery:
    """What the client missed, if that is known in whole.

    Raises:
        Refusal: it is not, and the client said that then it does not want to subscribe.
    """
    if not (request.recover and tracking.is_recoverable):
        return _NOT_ASKED
    parts = session.parts
    missed = parts.view.recover(
        request.channel,
        request.epoch,
        request.offset,
        parts.config.client.recovery_max_publication_limit,
    )
    room_bytes = session.outbox.room_bytes // 2
    if missed is not None and sum(p.size_bytes for p in missed) <= room_bytes:
        parts.measures.recoveries.add("recovered")
        return _Recovery(True, [msgspec.Raw(encode_stored(p, state.epoch)) for p in missed])
    parts.measures.recoveries.add("unrecovered" if missed is None else "too_large")
    if request.flag & SubscribeFlag.REJECT_UNRECOVERED:
        raise Refusal(ErrorCode.UNRECOVERABLE_POSITION.error)
    return _UNRECOVERED


def _result(
    session: Session,
    request: SubscribeRequest,
    tracking: Tracking,
    state: ChannelState,
    recovery: _Recovery,
    grant: SubscriptionGrant | None,
) -> SubscribeResult:
    expire_at = grant.expire_at if grant is not None else None
    knows_position = tracking.is_positioned or tracking.is_recoverable
    # An SDK goes on from the position it recovered from with each publication it is given.
    offset = request.offset if recovery.is_recovered else state.offset
    return SubscribeResult(
        expires=expire_at is not None,
        ttl=time_to_live(session, expire_at),
        recoverable=tracking.is_recoverable,
        epoch=state.epoch if knows_position else "",
        publications=recovery.publications,
        recovered=recovery.is_recovered,
        offset=offset if knows_position else 0,
        positioned=tracking.is_positioned,
        data=msgspec.Raw(grant.data) if grant is not None and grant.data else None,
        was_recovering=request.recover and tracking.is_recoverable,
    )


def _end_of_grace(session: Session, expire_at: float | None) -> float:
    """When the wheel ends the subscription; 0 for never."""
    parts = session.parts
    if expire_at is None or parts.config.client.insecure:
        return 0.0
    grace_seconds = parts.config.client.expired_sub_close_delay
    return parts.wheel.now_seconds + max(0.0, expire_at - parts.wall_clock() + grace_seconds)
