"""The commands `connect` and `refresh`: who a client is, and until when.

Rules
- The team's connect handler has the last word, about what a token says as well (`admission`).
- A token that is supplied is verified, in insecure mode too; only its expiry is not looked at then.
- What the log says of a refused token names claims, never the token.
"""

import math
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from services.auth import Identity, TokenExpired, TokenInvalid, verify_connection_token
from services.front.admission import Admission, admit_client
from services.front.enrolling import Place, enroll, find_places, reach
from services.front.session import EndSession, Session
from services.wire.command import ConnectRequest, RefreshRequest
from services.wire.errors import Disconnect, ErrorCode, Refusal
from services.wire.reply import ConnectResult, RefreshResult

_log = structlog.get_logger(__name__)


FindPlaces = Callable[[Session, Identity, ConnectRequest], Awaitable[list[Place]]]


async def connect(
    session: Session, command_id: int, request: ConnectRequest, find: FindPlaces = find_places
) -> None:
    """Begin the session, in the places that are found for it: those that are the server's to say.

    Raises:
        EndSession: the client may not come in.
        Refusal: its token has expired, or names a channel that cannot be; or a handler says so.
        ViewNotReady: the log of one of its channels is not caught up.
    """
    mark = session.parts.ordering.leaving.mark
    of_token = identify(session, request.token)
    admission = await admit_client(session, of_token, request)
    identity = admission.identity
    places = await find(session, identity, request)
    await reach(session, places)
    if session.is_over:
        return
    check_not_ordered_out(session, identity.user, mark)
    # From here on in one step; see `following`.
    enrolled = list(enroll(session, identity.user, places))
    begin(session, admission)
    session.server_channels = frozenset(of_token.channels)
    # Told of a term that no token can change, an SDK would ask for one, and give up without.
    told_expire_at = None if admission.has_fixed_term else identity.expire_at
    session.answer(
        command_id,
        ConnectResult(
            client=session.id,
            version=session.parts.version,
            expires=told_expire_at is not None,
            ttl=time_to_live(session, told_expire_at),
            data=msgspec.Raw(admission.data) if admission.data else None,
            subs={channel: result for channel, result, _ in enrolled},
            ping=session.announced_ping_seconds,
            pong=session.answers_pings,
            session=session.uplink,
            node=session.parts.neighbours.id if session.uplink else "",
        ),
    )
    for _, _, subscription in enrolled:
        session.join(subscription)
    session.parts.singles.claim(session)


def check_not_ordered_out(session: Session, user: str, mark: int) -> None:
    """Whether a client may come in for all that was ordered since it began to.

    Raises:
        EndSession: it was ordered to leave.
    """
    ending = session.parts.ordering.leaving.ending_since(mark, user, session.id)
    if ending is not None:
        raise EndSession(ending, "an order, before it was in")


def identify(session: Session, token: str) -> Identity:
    """Who a client is that wants to connect with this token; empty for without one.

    Raises:
        EndSession: it may not come in.
        Refusal: its token has expired.
    """
    identity = _identify(session, token)
    if token and not identity.user and _disallows_anonymous_tokens(session):
        raise EndSession(
            Disconnect.PERMISSION_DENIED,
            "the token names no user; see client.disallow_anonymous_connection_tokens",
        )
    return identity


def begin(session: Session, admission: Admission) -> None:
    """Let a client in."""
    identity = admission.identity
    session.has_fixed_term = admission.has_fixed_term
    end = end_of_term if admission.has_fixed_term else end_of_grace
    session.begin(identity.user, identity.info, end(session, identity.expire_at))
    session.parts.measures.connects.value += 1
    _log.info("session connected", user=session.user, client=session.id, remote=session.remote)


def refresh(session: Session, command_id: int, request: RefreshRequest) -> None:
    """Let the session last for as long as a new token says.

    Raises:
        Refusal: there is no token, or its word does not count here.
        EndSession: the token is none of this client's, or puts it into other channels.
    """
    if not request.token:
        raise Refusal(ErrorCode.BAD_REQUEST.explained("token is missing"))
    if session.has_fixed_term:
        raise Refusal(ErrorCode.NOT_AVAILABLE.explained("the app alone says when it expires"))
    try:
        identity = _verify(session, request.token)
    except TokenExpired as error:
        raise EndSession(Disconnect.CONNECTION_EXPIRED, error.why) from None
    if identity.user != session.user:
        raise EndSession(Disconnect.INVALID_TOKEN, "the refresh token is another user's")
    if identity.channels.keys() != session.server_channels:
        # A client that connects again gets the channels of the new token.
        raise EndSession(Disconnect.INSUFFICIENT_STATE, "the refresh token has other channels")
    session.expire_at(end_of_grace(session, identity.expire_at))
    session.answer(
        command_id,
        RefreshResult(
            client=session.id,
            version=session.parts.version,
            expires=identity.expire_at is not None,
            ttl=time_to_live(session, identity.expire_at),
        ),
    )


def time_to_live(session: Session, expire_at: float | None) -> int:
    """Seconds until a token's time is over, as the client is told; 0 for never."""
    if expire_at is None:
        return 0
    # A client refreshes at once when told 0, so what is over already is told as 1 as well.
    return min(max(1, math.ceil(expire_at - session.parts.wall_clock())), 2**32 - 1)


def _disallows_anonymous_tokens(session: Session) -> bool:
    return session.parts.config.client.disallow_anonymous_connection_tokens


def _identify(session: Session, token: str) -> Identity:
    client = session.parts.config.client
    if not token:
        if client.insecure or client.allow_anonymous_connect_without_token:
            return Identity()
        raise EndSession(
            Disconnect.BAD_REQUEST,
            "no token; see client.allow_anonymous_connect_without_token",
        )
    try:
        return _verify(session, token)
    except TokenExpired as error:
        _log.info("connect refused", why=error.why, remote=session.remote)
        raise Refusal(ErrorCode.TOKEN_EXPIRED.error) from None


def _verify(session: Session, token: str) -> Identity:
    parts = session.parts
    now = None if parts.config.client.insecure else parts.wall_clock()
    try:
        return verify_connection_token(token, parts.config.client.token, now)
    except TokenInvalid as error:
        raise EndSession(Disconnect.INVALID_TOKEN, error.why) from None


def end_of_grace(session: Session, expire_at: float | None) -> float:
    """When the wheel ends a session that could have been refreshed; 0 for never."""
    client = session.parts.config.client
    if expire_at is None or client.insecure:
        return 0.0
    return end_of_term(session, expire_at + client.expired_close_delay)


def end_of_term(session: Session, expire_at: float | None) -> float:
    """When the wheel ends what nobody can refresh; 0 for never."""
    if expire_at is None:
        return 0.0
    parts = session.parts
    return parts.wheel.now_seconds + max(0.0, expire_at - parts.wall_clock())
