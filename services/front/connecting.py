"""The commands `connect` and `refresh`: who a client is, and until when.

Rules
- A token that is supplied is verified, in insecure mode too; only its expiry is not looked at then.
- What the log says of a refused token names claims, never the token.
"""

import math
from collections.abc import Callable

import structlog

from services.auth import Identity, TokenExpired, TokenInvalid, verify_connection_token
from services.front.enrolling import Place, enroll, find_places, reach
from services.front.session import EndSession, Session
from services.wire.command import ConnectRequest, RefreshRequest
from services.wire.errors import Disconnect, ErrorCode, Refusal
from services.wire.reply import ConnectResult, RefreshResult

_log = structlog.get_logger(__name__)


FindPlaces = Callable[[Session, Identity, ConnectRequest], list[Place]]


async def connect(
    session: Session, command_id: int, request: ConnectRequest, find: FindPlaces = find_places
) -> None:
    """Begin the session, in the places that are found for it: those that are the server's to say.

    Raises:
        EndSession: the client may not come in.
        Refusal: its token has expired, or names a channel that cannot be.
        ViewNotReady: the log of one of its channels is not caught up.
    """
    identity = identify(session, request.token)
    places = find(session, identity, request)
    await reach(session, places)
    if session.is_over:
        return
    # From here on in one step; see `following`.
    enrolled = list(enroll(session, identity.user, places))
    begin(session, identity)
    session.server_channels = frozenset(identity.channels)
    session.answer(
        command_id,
        ConnectResult(
            client=session.id,
            version=session.parts.version,
            expires=identity.expire_at is not None,
            ttl=time_to_live(session, identity.expire_at),
            subs={channel: result for channel, result, _ in enrolled},
            ping=session.announced_ping_seconds,
            pong=session.answers_pings,
            session=session.uplink,
            node=session.parts.neighbours.id if session.uplink else "",
        ),
    )
    for _, _, subscription in enrolled:
        session.join(subscription)


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


def begin(session: Session, identity: Identity) -> None:
    """Let a client in."""
    session.begin(identity.user, identity.info, _end_of_grace(session, identity.expire_at))
    session.parts.measures.connects.value += 1
    _log.info("session connected", user=session.user, client=session.id, remote=session.remote)


def refresh(session: Session, command_id: int, request: RefreshRequest) -> None:
    """Let the session last for as long as a new token says.

    Raises:
        Refusal: there is no token.
        EndSession: the token is none of this client's, or puts it into other channels.
    """
    if not request.token:
        raise Refusal(ErrorCode.BAD_REQUEST.explained("token is missing"))
    try:
        identity = _verify(session, request.token)
    except TokenExpired as error:
        raise EndSession(Disconnect.CONNECTION_EXPIRED, error.why) from None
    if identity.user != session.user:
        raise EndSession(Disconnect.INVALID_TOKEN, "the refresh token is another user's")
    if identity.channels.keys() != session.server_channels:
        # A client that connects again gets the channels of the new token.
        raise EndSession(Disconnect.INSUFFICIENT_STATE, "the refresh token has other channels")
    session.expire_at(_end_of_grace(session, identity.expire_at))
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


def _end_of_grace(session: Session, expire_at: float | None) -> float:
    """When the wheel ends the session; 0 for never."""
    parts = session.parts
    if expire_at is None or parts.config.client.insecure:
        return 0.0
    remaining_seconds = expire_at - parts.wall_clock() + parts.config.client.expired_close_delay
    return parts.wheel.now_seconds + max(0.0, remaining_seconds)
