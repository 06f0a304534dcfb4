"""Orders: what the team has every front do with its clients, as it comes out of the log.

Rules
- Nothing here waits: an order is carried out for the sessions that are here, in the step in which
  its record is folded. Who comes later is not meant, but who is on its way in is (`leaving`).
- An order that cannot be carried out for a session leaves it as it is, and is counted.
- A channel whose log is not caught up cannot be followed yet. That is done when it is, unless the
  session has ended or was told otherwise meanwhile.

Not here: which orders of a log are new (`carried`), how they get there (a worker).
"""

import asyncio
from typing import Final

import msgspec
import structlog

from broker.clock import Clock
from services.auth import CLAIM_BYTES_AT_MOST, ServerSubscription
from services.front.connecting import end_of_grace, end_of_term, time_to_live
from services.front.enrolling import enroll, place_in
from services.front.leaving_orders import LeavingOrders
from services.front.measures import Measures
from services.front.session import Session
from services.front.sessions import Sessions
from services.front.view_partition import ViewNotReady
from services.orders import (
    DisconnectOrder,
    NoOrder,
    Order,
    RefreshOrder,
    SendOrder,
    SubscribeOrder,
    UnsubscribeOrder,
    decode_order,
)
from services.wire.command import ConnectRequest
from services.wire.errors import Disconnect, Refusal, find_ending, find_unsubscribe
from services.wire.payload import one_line, validate_payload
from services.wire.reply import MessagePush, Payload, RefreshPush, SubscribePush

_log = structlog.get_logger(__name__)

LATE_AT_MOST: Final = 10_000
"""Subscriptions that wait until their channel's log is caught up."""

_LOOK_SECONDS: Final = 0.25

_NOTHING_KNOWN: Final = ConnectRequest()


class Ordering:
    """Carries out orders for the sessions of this process."""

    def __init__(self, sessions: Sessions, measures: Measures, *, clock: Clock) -> None:
        self._sessions = sessions
        self._measures = measures
        self._clock = clock
        self.leaving: Final = LeavingOrders()
        self._late: list[tuple[Session, SubscribeOrder]] = []
        self._has_late = asyncio.Event()

    def carry_out(self, payload: bytes) -> None:
        """Do what an order says, as far as sessions here are meant. Never waits."""
        try:
            order = decode_order(payload)
            _check(order)
        except NoOrder as error:
            # A later version's, or another program's: whoever wrote it hears from its own front.
            self._measures.orders.add("unknown")
            _log.warning("an order was not carried out", why=str(error))
            return
        if isinstance(order, DisconnectOrder | UnsubscribeOrder):
            self.leaving.note(order)
        sessions = self._sessions.find(order.user, order.client)
        for session in sessions:
            self._measures.orders.add(self._carry_out(session, order))

    async def run(self) -> None:
        """Make late subscriptions until cancelled. Cancelling: those that wait are not made."""
        while True:
            await self._has_late.wait()
            late, self._late = self._late, []
            for session, order in late:
                if session.is_connected:
                    self._measures.orders.add(self._subscribe(session, order))
            if self._late:
                await self._clock.sleep(_LOOK_SECONDS)
            else:
                self._has_late.clear()

    def _carry_out(self, session: Session, order: Order) -> str:
        """Give what to count it as."""
        match order:
            case SendOrder():
                session.push("", MessagePush(_payload(order.data)))
            case DisconnectOrder():
                session.disconnect(find_ending(order.code, order.reason), "an order")
            case UnsubscribeOrder():
                self._unsubscribe(session, order)
            case SubscribeOrder():
                return self._subscribe(session, order)
            case RefreshOrder():
                _refresh(session, order)
        return "done"

    def _unsubscribe(self, session: Session, order: UnsubscribeOrder) -> None:
        code, reason = find_unsubscribe(order.code, order.reason)
        for subscription in list((session.subscriptions or {}).values()):
            if order.channel in ("", subscription.channel):
                session.take_out(subscription, code, reason)
        self._late = [
            (each, late)
            for each, late in self._late
            if each is not session or order.channel not in ("", late.channel)
        ]

    def _subscribe(self, session: Session, order: SubscribeOrder) -> str:
        if session.subscription(order.channel) is not None:
            return "done"
        if len(session.subscriptions or ()) >= session.parts.config.client.channel_limit:
            return _pass_over(session, "it follows as many channels as client.channel_limit allows")
        try:
            _subscribe(session, order)
        except ViewNotReady:
            if len(self._late) >= LATE_AT_MOST:
                return _pass_over(session, "too many wait for logs that are not caught up")
            self._late.append((session, order))
            self._has_late.set()
            return "late"
        except Refusal as refusal:
            return _pass_over(session, refusal.error.message)
        return "done"


def _check(order: Order) -> None:
    """Whether clients can be told what an order has for them.

    Raises:
        NoOrder: they cannot; or what others are to see is longer than a token may have it.
    """
    match order:
        case SendOrder():
            payloads: tuple[msgspec.Raw | None, ...] = (order.data,)
        case SubscribeOrder():
            payloads = order.info, order.data
            if len(_raw(order.info)) > CLAIM_BYTES_AT_MOST:
                raise NoOrder(f"info is over {CLAIM_BYTES_AT_MOST} bytes")
        case _:
            return
    for payload in payloads:
        if payload is not None and validate_payload(bytes(payload)) is not None:
            raise NoOrder("it has what is no JSON for a client")


def _pass_over(session: Session, why: str) -> str:
    _log.warning("a client was not subscribed as ordered", why=why, user=session.user)
    return "refused"


def _subscribe(session: Session, order: SubscribeOrder) -> None:
    """Let a session follow a channel, as if its token had said so.

    Raises:
        Refusal: the channel's name is illegal, or what is in it cannot be told to this client.
        ViewNotReady: the log of the channel is not caught up.
    """
    granted = ServerSubscription(_raw(order.info), _raw(order.data))
    place = place_in(session, session.user, order.channel, granted, _NOTHING_KNOWN)
    if order.expire_at:
        place = place._replace(expires_seconds=end_of_term(session, order.expire_at))
    for channel, result, subscription in enroll(session, session.user, [place]):
        push = SubscribePush(
            recoverable=result.recoverable,
            epoch=result.epoch,
            offset=result.offset,
            positioned=result.positioned,
            data=result.data,
        )
        session.push(channel, push)
        session.join(subscription)


def _refresh(session: Session, order: RefreshOrder) -> None:
    expire_at = order.expire_at or None
    is_past = expire_at is not None and expire_at <= session.parts.wall_clock()
    if order.is_expired or is_past:
        session.disconnect(Disconnect.CONNECTION_EXPIRED, "an order")
        return
    end = end_of_term if session.has_fixed_term else end_of_grace
    session.expire_at(end(session, expire_at))
    told_expire_at = None if session.has_fixed_term else expire_at
    ttl = time_to_live(session, told_expire_at)
    session.push("", RefreshPush(expires=told_expire_at is not None, ttl=ttl))


def _payload(raw: msgspec.Raw) -> Payload:
    return Payload(one_line(bytes(raw)))


def _raw(given: msgspec.Raw | None) -> bytes:
    """A payload of an order's as tokens have theirs: nothing for null."""
    raw = b"" if given is None else one_line(bytes(given))
    return b"" if raw == b"null" else raw
