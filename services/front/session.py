"""One client's presence here: whether it has connected, what it follows, and when it ends.

    CONNECTING ──connect──▶ CONNECTED ──▶ CLOSED      (every state may end in CLOSED)
        └──connect answered with an error──▶ REFUSED

Rules
- Nothing here waits; whatever is said to the client goes through its outbox.
- CLOSED is final, and from then on nothing is said and nothing of the session is anywhere else: not
  in the hub, not in the wheel, not among the sessions.
- One entry in the wheel for all deadlines; an idle session has no task and no timer of its own.

Not here: commands (`receiving` and the families it names), bytes of a connection (`transports`).
"""

import enum
import math
import uuid
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import structlog

from services.front.encoding import Language
from services.front.encodings.websocket_json import WEBSOCKET_JSON
from services.front.hub import Subscription
from services.front.outbox import Outbox
from services.front.timers import NEVER
from services.front.transports.frames import frame_ping
from services.wire.errors import Disconnect, Ending, Error, Unsubscribed, may_resubscribe
from services.wire.json_codec import encode_client_info
from services.wire.reply import ClientInfo, Push, Result, UnsubscribePush

if TYPE_CHECKING:
    from services.front.arrival import Arrival
    from services.front.parts import Parts

_log = structlog.get_logger(__name__)

_PING_FRAME = frame_ping()

# What ends a session that has lost a subscription which its client cannot make anew; for all other
# codes upon which an SDK would, the first.
_ENDS: Final = {
    Unsubscribed.INSUFFICIENT_STATE.code: Disconnect.INSUFFICIENT_STATE,
    Unsubscribed.EXPIRED.code: Disconnect.SUBSCRIPTION_EXPIRED,
    Unsubscribed.STATE_INVALIDATED.code: Disconnect.STATE_INVALIDATED,
}


class State(enum.Enum):
    """How far a session has come."""

    CONNECTING = "connecting"
    REFUSED = "refused"
    """Its connect was answered with an error; it is of no use but to be closed."""
    CONNECTED = "connected"
    CLOSED = "closed"


class EndSession(Exception):
    """A command ends the session. `why` is for the log, and holds nothing a client sent."""

    def __init__(self, disconnect: Ending, why: str) -> None:
        super().__init__(why)
        self.disconnect = disconnect
        self.why = why


class Line(Protocol):
    """The connection under a session, as far as the session knows it."""

    @property
    def remote(self) -> str:
        """The address of the other end, for the log."""

    @property
    def pings_by_frame(self) -> bool:
        """Whether the client asked for WebSocket pings instead of the protocol's own."""

    @property
    def answers_pings(self) -> bool:
        """Whether the client can answer them, and so has to."""

    def close(self, code: int, reason: str, *, is_slow: bool) -> None:
        """Tell the client why, and end the connection soon. Never waits."""


class Session:
    """One client's presence."""

    __slots__ = (
        "_expires_seconds",
        "_line",
        "_ping_seconds",
        "_pong_seconds",
        "_subscriptions_expire_seconds",
        "arrival",
        "conn_info",
        "due_tick",
        "encoding",
        "has_fixed_term",
        "id",
        "outbox",
        "parts",
        "sender",
        "server_channels",
        "state",
        "subscriptions",
        "unanswered",
        "uplink",
        "user",
    )

    def __init__(
        self, parts: "Parts", line: Line, outbox: Outbox, encoding: Language = WEBSOCKET_JSON
    ) -> None:
        self.parts = parts
        self.outbox = outbox
        self.encoding = encoding
        self._line = line
        self.state = State.CONNECTING
        self.id = ""
        self.user = ""
        self.conn_info = b""
        self.uplink = ""
        """The id that the client alone is told, under which requests bring what it sends; empty if
        its connection does that.
        """
        self.sender: bytes | None = None
        """The encoded ClientInfo, once it was needed."""
        self.subscriptions: dict[str, Subscription] | None = None
        """By channel; None for none, for many sessions have none yet."""
        self.server_channels: frozenset[str] = frozenset()
        """What the server subscribed it to when it connected."""
        self.unanswered = 0
        """Publishes, calls and messages to the server that wait for their outcome."""
        self.arrival: Arrival | None = None
        """How the client came, if somebody wants to know before it is let in; forgotten then."""
        self.has_fixed_term = False
        """Whether the team's word alone says when it expires, and no token of the client's."""
        self.due_tick = NEVER
        self._ping_seconds = 0.0
        self._pong_seconds = 0.0
        self._expires_seconds = 0.0
        self._subscriptions_expire_seconds = 0.0
        parts.sessions.add(self)
        stale_seconds = parts.config.client.stale_close_delay
        parts.wheel.set(self, parts.wheel.now_seconds + stale_seconds)

    @property
    def remote(self) -> str:
        """The client's address, for the log."""
        return self._line.remote

    @property
    def is_over(self) -> bool:
        """Whether the session has ended."""
        return self.state is State.CLOSED

    @property
    def is_connected(self) -> bool:
        """Whether the client was let in, and has not left."""
        return self.state is State.CONNECTED

    @property
    def announced_ping_seconds(self) -> int:
        """How often the client is told to expect a ping; 0 if it will not see any."""
        if self._line.pings_by_frame or not self.encoding.ping:
            return 0
        return math.ceil(self.parts.config.client.ping_interval)

    @property
    def answers_pings(self) -> bool:
        """Whether the client is told to answer pings."""
        return self._line.answers_pings and self.announced_ping_seconds > 0

    # ---- what is said to the client

    def answer(self, command_id: int, result: Result) -> None:
        """Answer a command."""
        self.say(self.encoding.encode_reply(command_id, result))

    def refuse(self, command_id: int, error: Error) -> None:
        """Answer a command with an error."""
        self.parts.measures.refusals.add(error.code)
        self.say(self.encoding.encode_error(command_id, error))

    def push(self, channel: str, push: Push) -> None:
        """Tell something that was not asked for."""
        self.say(self.encoding.encode_push(channel, push))

    def say(self, frame: bytes) -> None:
        """Send what the session's encoding made, or find that the client is too slow."""
        if not frame:
            return
        if not self.outbox.offer(frame) and self.state is not State.CLOSED:
            self.disconnect(Disconnect.SLOW)

    def info(self, chan_info: bytes) -> bytes:
        """Give the client as others see it, encoded; in channels without chan_info only once."""
        if chan_info:
            return self._encode_info(chan_info)
        if self.sender is None:
            self.sender = self._encode_info(b"")
        return self.sender

    def _encode_info(self, chan_info: bytes) -> bytes:
        return encode_client_info(
            ClientInfo(
                self.user,
                self.id,
                msgspec.Raw(self.conn_info) if self.conn_info else None,
                msgspec.Raw(chan_info) if chan_info else None,
            )
        )

    # ---- beginning and end

    def begin(self, user: str, conn_info: bytes, expires_seconds: float) -> None:
        """Become connected; `expires_seconds` is 0 for never."""
        self.state = State.CONNECTED
        self.arrival = None
        self.choose_id()
        self.user = user
        self.conn_info = conn_info
        self.parts.sessions.name(self)
        wheel = self.parts.wheel
        # Spread, so that sessions that came together are not pinged together.
        interval_seconds = self.parts.config.client.ping_interval
        self._ping_seconds = wheel.now_seconds + interval_seconds * self.parts.jitter(0.5, 1.0)
        self.expire_at(expires_seconds)

    def choose_id(self) -> str:
        """Give the id that the client has, or will have once it is connected."""
        self.id = self.id or str(uuid.uuid4())
        return self.id

    def allow_seconds(self, seconds: float) -> None:
        """Let so much time pass until it has to be connected, if it is not yet."""
        if self.state is State.CONNECTING:
            self.parts.wheel.set(self, self.parts.wheel.now_seconds + seconds)

    def disconnect(self, why: Ending, explanation: str = "") -> None:
        """End the session and tell the client; once is enough, more do no harm."""
        if why is Disconnect.SHUTDOWN:
            self._tell_held()
        if self.state is State.CLOSED:
            return
        self.parts.measures.disconnects.add(why.code)
        # A drain is one event, not one for each session.
        log = _log.debug if why is Disconnect.SHUTDOWN else _log.info
        log(
            "session ended by the server",
            code=why.code,
            reason=why.text,
            why=explanation,
            user=self.user,
            remote=self.remote,
        )
        self.leave(why.code, why.text)
        self._line.close(why.code, why.text, is_slow=why is Disconnect.SLOW)

    def _tell_held(self) -> None:
        # Where the client goes nobody holds it back.
        for subscription in list((self.subscriptions or {}).values()):
            self.parts.view.fanout.tell_held(subscription)

    def leave(self, code: int = 0, reason: str = "") -> None:
        """Be gone from everywhere: the connection has ended, or is about to.

        `code` and `reason` are those the client was told, if it was.
        """
        if self.state is State.CLOSED:
            return
        if self.state is State.CONNECTED and self.parts.config.app.disconnect_handler:
            self.parts.calls.tell_left(self.id, self.info(b""), code, reason)
        self.state = State.CLOSED
        self.parts.wheel.clear(self)
        self.parts.sessions.remove(self)
        subscriptions, self.subscriptions = self.subscriptions, None
        for subscription in (subscriptions or {}).values():
            self.parts.hub.remove(subscription)
            self.parts.movements.leave(subscription)

    # ---- subscriptions

    def subscription(self, channel: str) -> Subscription | None:
        """Give the session's stay in a channel."""
        return self.subscriptions.get(channel) if self.subscriptions else None

    def join(self, subscription: Subscription) -> None:
        """Follow a channel, unless the session has ended."""
        if self.is_over:
            subscription.is_active = False
            return
        if self.subscriptions is None:
            self.subscriptions = {}
        self.subscriptions[subscription.channel] = subscription
        self.parts.hub.add(subscription)
        self.parts.movements.join(subscription)
        if subscription.expires_seconds:
            self.subscription_expires(subscription, subscription.expires_seconds)

    def part(self, channel: str) -> None:
        """Follow a channel no longer."""
        subscription = self.subscriptions.pop(channel, None) if self.subscriptions else None
        if subscription is not None:
            self.parts.hub.remove(subscription)
            self.parts.movements.leave(subscription)

    def end_subscription(self, subscription: Subscription, why: Unsubscribed) -> None:
        """Take the client out of a channel and tell it."""
        self.take_out(subscription, why.code, why.text)

    def take_out(self, subscription: Subscription, code: int, reason: str) -> None:
        """Take the client out of a channel and tell it, in words that may be the team's."""
        if self.subscription(subscription.channel) is not subscription:
            return
        if subscription.is_server_side and may_resubscribe(code):
            # An SDK subscribes again only to what it asked for itself; for the rest it connects
            # again, and recovers then.
            end = _ENDS.get(code, Disconnect.INSUFFICIENT_STATE)
            self.disconnect(end, "a server-side subscription")
            return
        self.part(subscription.channel)
        self.push(subscription.channel, UnsubscribePush(code, reason))

    # ---- time

    def expire_at(self, expires_seconds: float) -> None:
        """Set when the session's token, and the grace after it, are over; 0 for never."""
        self._expires_seconds = expires_seconds
        self._set_timer()

    def subscription_expires(self, subscription: Subscription, expires_seconds: float) -> None:
        """Set when a subscription's token, and the grace after it, are over; 0 for never."""
        subscription.expires_seconds = expires_seconds
        if expires_seconds:
            earliest = self._subscriptions_expire_seconds or expires_seconds
            self._subscriptions_expire_seconds = min(earliest, expires_seconds)
            self._set_timer()

    def take_pong(self) -> None:
        """Note that the client lives. One that was not asked for does no harm."""
        self._pong_seconds = 0.0

    def excuse(self) -> None:
        """Let the client have its whole time again to answer a ping: nobody read what it said."""
        if self._pong_seconds:
            pong_timeout = self.parts.config.client.pong_timeout
            self._pong_seconds = self.parts.wheel.now_seconds + pong_timeout

    def wake(self, now_seconds: float) -> None:
        """Do what is due."""
        if self.state is not State.CONNECTED:
            self.disconnect(Disconnect.STALE, "no connect in time")
        elif self._pong_seconds and now_seconds >= self._pong_seconds:
            self.disconnect(Disconnect.NO_PONG)
        elif self._expires_seconds and now_seconds >= self._expires_seconds:
            self.disconnect(Disconnect.CONNECTION_EXPIRED)
        else:
            if now_seconds >= self._ping_seconds:
                self._ping(now_seconds)
            if 0 < self._subscriptions_expire_seconds <= now_seconds:
                self._end_expired(now_seconds)
            self._set_timer()

    def _ping(self, now_seconds: float) -> None:
        client = self.parts.config.client
        self._ping_seconds = now_seconds + client.ping_interval
        if self._line.answers_pings:
            self._pong_seconds = now_seconds + client.pong_timeout
        self.say(_PING_FRAME if self._line.pings_by_frame else self.encoding.ping)

    def _end_expired(self, now_seconds: float) -> None:
        expiring = [s for s in (self.subscriptions or {}).values() if s.expires_seconds]
        for subscription in expiring:
            if subscription.expires_seconds <= now_seconds:
                self.end_subscription(subscription, Unsubscribed.EXPIRED)
        later = [s.expires_seconds for s in expiring if s.is_active]
        self._subscriptions_expire_seconds = min(later, default=0.0)

    def _set_timer(self) -> None:
        if self.state is not State.CONNECTED:
            return
        due_seconds = self._ping_seconds
        for deadline in (
            self._pong_seconds,
            self._expires_seconds,
            self._subscriptions_expire_seconds,
        ):
            if 0 < deadline < due_seconds:
                due_seconds = deadline
        self.parts.wheel.set(self, due_seconds)
