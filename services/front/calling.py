"""The commands `rpc` and `send`: what a client says to the team's own handlers.

Rules
- Neither holds up the session's next command: it is offered, and answered later.
- Both count among what a session awaits. Beyond that limit a call gets error 111; a message to the
  server, which has no reply, ends the session: its client would never learn that it was lost.
- What is said is JSON, in whatever encoding it came.

Not here: entries and their partition (`calls`), who handles them.
"""

from typing import Final

import structlog

from broker.batch import EntryKind
from broker.record import Outcome, Refused, Replied
from services.front.payloads import take_json
from services.front.session import EndSession, Session, State
from services.wire.command import RPCRequest, SendRequest
from services.wire.errors import Disconnect, Error, ErrorCode, Refusal, find_error
from services.wire.payload import one_line
from services.wire.reply import Payload, RPCResult

_log = structlog.get_logger(__name__)

METHOD_BYTES_AT_MOST: Final = 255

_NO_METHOD: Final = ""


def call(session: Session, command_id: int, request: RPCRequest) -> None:
    """Call a method of the team's.

    Raises:
        Refusal: it is no method, no data, or cannot be passed on now.
    """
    _check_method(request.method)
    payload = take_json(bytes(request.data))
    if _awaits_too_much(session):
        raise Refusal(ErrorCode.TOO_MANY_REQUESTS.explained("see client.unanswered_publish_limit"))
    waiter = Call(session, command_id)
    if not _offer(session, EntryKind.CALL, request.method, payload, waiter):
        raise Refusal(ErrorCode.TOO_MANY_REQUESTS.error)
    session.unanswered += 1
    session.parts.measures.calls.value += 1


def send(session: Session, command_id: int, request: SendRequest) -> None:
    """Pass a message on to the team's handlers.

    Raises:
        EndSession: the session awaits too much already, or this is no data.
    """
    try:
        payload = take_json(bytes(request.data))
    except Refusal as refusal:
        raise EndSession(Disconnect.BAD_REQUEST, refusal.error.message) from None
    if _awaits_too_much(session):
        raise EndSession(Disconnect.TOO_MANY_REQUESTS, "see client.unanswered_publish_limit")
    waiter = _Message(session)
    session.unanswered += 1
    session.parts.measures.sends.value += 1
    if not _offer(session, EntryKind.SEND, _NO_METHOD, payload, waiter):
        waiter.refused()


def _offer(
    session: Session, kind: EntryKind, method: str, payload: bytes, waiter: "Call | _Message"
) -> bool:
    sender = session.info(b"")
    return session.parts.calls.offer(kind, session.id, method, sender, payload, waiter)


def _check_method(method: str) -> None:
    """Whether there may be a method of this name.

    Raises:
        Refusal: there may not.
    """
    if len(method.encode()) > METHOD_BYTES_AT_MOST or not method.isprintable():
        raise Refusal(
            ErrorCode.BAD_REQUEST.explained(
                f"a method's name is at most {METHOD_BYTES_AT_MOST} bytes, all printable"
            )
        )


def _awaits_too_much(session: Session) -> bool:
    return session.unanswered >= session.parts.config.client.unanswered_publish_limit


class Call:
    """A call whose outcome is still to come: the `Waiter` of its entry."""

    __slots__ = ("_command_id", "_session")

    def __init__(self, session: Session, command_id: int) -> None:
        self._session = session
        self._command_id = command_id

    def confirmed(self) -> None:
        """See `Waiter.confirmed`: there is nothing to say before it was handled."""

    def settled(self, outcome: Outcome) -> None:
        """The log has the outcome."""
        if type(outcome) is Refused:
            self._refuse(find_error(outcome.code, outcome.message))
        else:
            self._answer(outcome.data if type(outcome) is Replied else b"")

    def refused(self) -> None:
        """The pool is full or away."""
        self._refuse(ErrorCode.TOO_MANY_REQUESTS.error)

    def given_up(self) -> None:
        """Nobody knows whether it was handled, or will be."""
        self._refuse(ErrorCode.OUTCOME_UNKNOWN.error)

    def _answer(self, reply: bytes) -> None:
        session = self._session
        if len(reply) > session.outbox.room_bytes // 2 and not session.is_over:
            # No client asked for so much, and none is slow for having been answered.
            self._refuse(ErrorCode.LIMIT_EXCEEDED.explained("the reply is too large for now"))
            return
        session.unanswered -= 1
        if session.state is not State.CLOSED:
            session.answer(self._command_id, RPCResult(Payload(one_line(reply)) if reply else None))

    def _refuse(self, error: Error) -> None:
        session = self._session
        session.unanswered -= 1
        if session.state is not State.CLOSED:
            session.refuse(self._command_id, error)


class _Message:
    """A message to the server that is still on its way: the `Waiter` of its entry."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def confirmed(self) -> None:
        """See `Waiter.confirmed`."""

    def settled(self, outcome: Outcome) -> None:
        """The log has the outcome."""
        self._session.unanswered -= 1
        if type(outcome) is not Refused:
            return
        self._note_lost(outcome.code)
        if outcome.code == ErrorCode.NOT_AVAILABLE.code:
            # It has no reply, so there is no other way to say that nobody takes it.
            why = "a message to the server, which nobody takes"
            self._session.disconnect(Disconnect.NOT_AVAILABLE, why)

    def refused(self) -> None:
        """The pool is full or away."""
        self._session.unanswered -= 1
        self._note_lost(ErrorCode.TOO_MANY_REQUESTS.code)

    def given_up(self) -> None:
        """Nobody knows whether it was handled, or will be."""
        self._session.unanswered -= 1
        self._note_lost(ErrorCode.OUTCOME_UNKNOWN.code)

    def _note_lost(self, code: int) -> None:
        self._session.parts.measures.lost_sends.value += 1
        _log.debug("a message to the server was lost", code=code, user=self._session.user)
