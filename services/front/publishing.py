"""The command `publish`: an entry for the pool, and the answer when its outcome is known.

Rules
- A publish never holds up the session's next command: it is offered, and answered later.
- A session awaits a limited number of outcomes; beyond it publishes get error 111.
- The payload is not parsed here. It goes on as the client sent it, on one line.

Not here: batches and their numbers (`broker.producer`), what a worker checks.
"""

import msgspec
import orjson

from broker.batch import Entry, EntryKind
from broker.record import Outcome, Refused
from services.front.session import Session, State
from services.permissions import Who
from services.wire.command import PublishRequest
from services.wire.errors import Error, ErrorCode, Refusal
from services.wire.json_codec import encode_client_info, encode_reply
from services.wire.payload import one_line
from services.wire.reply import ClientInfo, MessagePush, PublishResult

_PUBLISHED = PublishResult()


class Awaited:
    """A publish whose outcome is still to come: the `Waiter` of its entry."""

    __slots__ = ("_channel", "_command_id", "_is_answered_when_queued", "_offered", "_session")

    def __init__(
        self, session: Session, command_id: int, channel: str, *, is_answered_when_queued: bool
    ) -> None:
        self._session = session
        self._command_id = command_id
        self._channel = channel
        self._is_answered_when_queued = is_answered_when_queued
        self._offered = session.parts.monotonic()

    def confirmed(self) -> None:
        """The pool has the entry safe."""
        if self._is_answered_when_queued and self._command_id:
            self._succeed()

    def settled(self, outcome: Outcome) -> None:
        """The log has the outcome."""
        if type(outcome) is Refused:
            self._fail(Error(outcome.code, outcome.message))
        elif self._command_id:
            self._succeed()

    def refused(self) -> None:
        """The pool is full or away."""
        self._fail(ErrorCode.TOO_MANY_REQUESTS.error)

    def given_up(self) -> None:
        """Nobody knows whether the publication was made, or will be."""
        if self._command_id:
            self._fail(ErrorCode.OUTCOME_UNKNOWN.error)

    def _succeed(self) -> None:
        session = self._session
        session.unanswered -= 1
        session.parts.measures.publish_seconds.observe(session.parts.monotonic() - self._offered)
        if session.state is not State.CLOSED:
            session.say(encode_reply(self._command_id, _PUBLISHED))
        self._command_id = 0

    def _fail(self, error: Error) -> None:
        session = self._session
        if not self._command_id:
            self._tell_late(error)
            return
        session.unanswered -= 1
        if session.state is not State.CLOSED:
            session.refuse(self._command_id, error)
        self._command_id = 0

    def _tell_late(self, error: Error) -> None:
        """Tell a sender that was answered already."""
        session = self._session
        session.parts.measures.late_refusals.value += 1
        if session.state is State.CONNECTED:
            told = {
                "refused": {
                    "channel": self._channel,
                    "error": {"code": error.code, "message": error.message},
                }
            }
            session.push("", MessagePush(msgspec.Raw(orjson.dumps(told))))


def publish(session: Session, command_id: int, request: PublishRequest) -> None:
    """Offer a publication.

    Raises:
        Refusal: it may not, there is nothing to publish, or the pool does not take it now.
    """
    parts = session.parts
    address = parts.addresses.find(request.channel)
    subscription = session.subscription(request.channel)
    who = Who(session.user, is_subscribed=subscription is not None)
    denial = parts.permissions.may_publish(who, address.channel)
    if denial is not None:
        raise Refusal(denial.error)
    payload = _payload(request)
    if session.unanswered >= parts.config.client.unanswered_publish_limit:
        raise Refusal(ErrorCode.TOO_MANY_REQUESTS.explained("see client.unanswered_publish_limit"))
    chan_info = subscription.chan_info if subscription is not None else b""
    entry = Entry(
        EntryKind.PUBLISH, request.channel, msgspec.Raw(_sender(session, chan_info)), payload
    )
    awaited = Awaited(
        session,
        command_id,
        request.channel,
        is_answered_when_queued=address.options.reply == "queued",
    )
    if not parts.producer.offer(address.partition, entry, awaited):
        raise Refusal(ErrorCode.TOO_MANY_REQUESTS.error)
    session.unanswered += 1
    parts.measures.entries.value += 1


def _payload(request: PublishRequest) -> bytes:
    """What is to be published, on one line.

    Raises:
        Refusal: there is nothing, or it is for a kind of channel that is not served.
    """
    if request.type:
        raise Refusal(ErrorCode.NOT_AVAILABLE.explained("only streams are served"))
    payload = bytes(request.data)
    if not payload:
        raise Refusal(ErrorCode.BAD_REQUEST.explained("data is missing"))
    return one_line(payload)


def _sender(session: Session, chan_info: bytes) -> bytes:
    """The client as subscribers see it."""
    if chan_info:
        return _encode_sender(session, chan_info)
    if session.sender is None:
        session.sender = _encode_sender(session, b"")
    return session.sender


def _encode_sender(session: Session, chan_info: bytes) -> bytes:
    return encode_client_info(
        ClientInfo(
            session.user,
            session.id,
            msgspec.Raw(session.conn_info) if session.conn_info else None,
            msgspec.Raw(chan_info) if chan_info else None,
        )
    )
