"""The command `publish`: an entry for the pool, and the answer when its outcome is known.

Rules
- A publish never holds up the session's next command: it is offered, and answered later.
- A session awaits a limited number of outcomes; beyond it publishes get error 111.
- The payload goes on as the client sent it; JSON on one line.

Not here: batches and their numbers (`broker.producer`), what a worker checks.
"""

from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec
import orjson

from broker.batch import Entry, EntryKind
from broker.record import Outcome, Refused
from services.front.addresses import Address
from services.front.hub import Subscription
from services.front.payloads import check_readable, take_payload
from services.front.session import Session, State
from services.permissions import Who
from services.wire.command import PublishRequest
from services.wire.errors import Error, ErrorCode, Refusal, find_error
from services.wire.reply import MessagePush, PublishResult

_PUBLISHED = PublishResult()


# What a client knows its publish by: the id of its command, for one.
Asked = TypeVar("Asked")
_AskedHere = TypeVar("_AskedHere", contravariant=True)


class Answers(Protocol[_AskedHere]):
    """How a kind of client is told what became of its publishes."""

    def published(self, session: Session, channel: str, asked: _AskedHere) -> None:
        """It is safe."""

    def refused(self, session: Session, channel: str, asked: _AskedHere, error: Error) -> None:
        """It was not made, or nobody knows."""

    def refused_late(self, session: Session, channel: str, error: Error) -> None:
        """It was told to be safe, and was then refused."""


class _Replies:
    """The client protocol's: replies with the command's id."""

    def published(self, session: Session, channel: str, asked: int) -> None:
        """See `Answers.published`."""
        session.answer(asked, _PUBLISHED)

    def refused(self, session: Session, channel: str, asked: int, error: Error) -> None:
        """See `Answers.refused`."""
        session.refuse(asked, error)

    def refused_late(self, session: Session, channel: str, error: Error) -> None:
        """See `Answers.refused_late`."""
        told = {
            "refused": {
                "channel": channel,
                "error": {"code": error.code, "message": error.message},
            }
        }
        session.push("", MessagePush(msgspec.Raw(orjson.dumps(told))))


REPLIES = _Replies()


class Awaited(Generic[Asked]):
    """A publish whose outcome is still to come: the `Waiter` of its entry."""

    __slots__ = (
        "_answers",
        "_asked",
        "_channel",
        "_is_answered",
        "_is_answered_when_queued",
        "_offered",
        "_session",
    )

    def __init__(
        self,
        session: Session,
        channel: str,
        asked: Asked,
        answers: Answers[Asked],
        *,
        is_answered_when_queued: bool,
    ) -> None:
        self._session = session
        self._channel = channel
        self._asked = asked
        self._answers = answers
        self._is_answered = False
        self._is_answered_when_queued = is_answered_when_queued
        self._offered = session.parts.monotonic()

    def confirmed(self) -> None:
        """The pool has the entry safe."""
        if self._is_answered_when_queued and not self._is_answered:
            self._succeed()

    def settled(self, outcome: Outcome) -> None:
        """The log has the outcome."""
        if type(outcome) is Refused:
            self._fail(find_error(outcome.code, outcome.message))
        elif not self._is_answered:
            self._succeed()

    def refused(self) -> None:
        """The pool is full or away."""
        self._fail(ErrorCode.TOO_MANY_REQUESTS.error)

    def given_up(self) -> None:
        """Nobody knows whether the publication was made, or will be."""
        if not self._is_answered:
            self._fail(ErrorCode.OUTCOME_UNKNOWN.error)

    def _succeed(self) -> None:
        session = self._session
        session.unanswered -= 1
        session.parts.measures.publish_seconds.observe(session.parts.monotonic() - self._offered)
        if session.state is not State.CLOSED:
            self._answers.published(session, self._channel, self._asked)
        self._is_answered = True

    def _fail(self, error: Error) -> None:
        session = self._session
        if self._is_answered:
            session.parts.measures.late_refusals.value += 1
            if session.state is State.CONNECTED:
                self._answers.refused_late(session, self._channel, error)
            return
        session.unanswered -= 1
        if session.state is not State.CLOSED:
            self._answers.refused(session, self._channel, self._asked, error)
        self._is_answered = True


class Place(NamedTuple):
    """A channel that a session may publish to."""

    name: str
    address: Address
    subscription: Subscription | None


def publish(session: Session, command_id: int, request: PublishRequest) -> None:
    """Offer a publication.

    Raises:
        Refusal: it may not, there is nothing to publish, or the pool does not take it now.
    """
    place = admit(session, request.channel)
    if request.type:
        raise Refusal(ErrorCode.NOT_AVAILABLE.explained("only streams are served"))
    payload = take_payload(bytes(request.data), session.encoding, place.address.options)
    offer(session, place, payload, command_id, REPLIES)


def admit(session: Session, channel: str) -> Place:
    """Let a session publish to a channel.

    Raises:
        Refusal: it may not.
    """
    parts = session.parts
    address = parts.addresses.find(channel)
    subscription = session.subscription(channel)
    who = Who(session.user, is_subscribed=subscription is not None)
    denial = parts.permissions.may_publish(who, address.channel)
    if denial is not None:
        raise Refusal(denial.error)
    check_readable(session.encoding, address.options)
    return Place(channel, address, subscription)


def offer(
    session: Session, place: Place, payload: bytes, asked: Asked, answers: Answers[Asked]
) -> None:
    """Offer a payload, which is what the channel takes; `answers` tells what becomes of it.

    Raises:
        Refusal: the session awaits too much already, or the pool does not take it now.
    """
    parts = session.parts
    channel, address, subscription = place
    if session.unanswered >= parts.config.client.unanswered_publish_limit:
        raise Refusal(ErrorCode.TOO_MANY_REQUESTS.explained("see client.unanswered_publish_limit"))
    chan_info = subscription.chan_info if subscription is not None else b""
    entry = Entry(EntryKind.PUBLISH, channel, msgspec.Raw(session.info(chan_info)), payload)
    is_queued = address.options.reply == "queued"
    awaited = Awaited(session, channel, asked, answers, is_answered_when_queued=is_queued)
    if not parts.producer.offer(address.partition, entry, awaited, is_patient=is_queued):
        raise Refusal(ErrorCode.TOO_MANY_REQUESTS.error)
    session.unanswered += 1
    parts.measures.entries.value += 1
