"""The session of a client that polls: what it is told waits here until a request fetches it.

What the client is told is one stream of bytes, and what it says one row of commands; either side
says how far it has come, so that requests and answers may get lost, and be repeated, at will:

- A request says where the client stands in the stream (`ack`). What is before that is forgotten,
  what comes after it is the answer, again to whoever asks again from the same place.
- A request says how many commands the client sent before those in it (`sent`); those that were
  taken before are passed over.

Rules
- One request waits at a time: a later one ends the wait of the one before.
- What is not acknowledged counts as unsent, and has the limit that it has for every session.
- The wheel's one entry of it is when the waiting request is answered empty, or until when the
  client has to come back.

Not here: requests (`transports.poll`), the way to another front (`parking`).
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple

import orjson

from services.front.encodings.http_json import POLLED_LINES
from services.front.errands import Answer
from services.front.outbox import Outbox
from services.front.parts import Parts
from services.front.receiving import receive
from services.front.session import Session
from services.front.timers import NEVER
from services.wire.reply import DisconnectPush

# An answer is whole lines: no more than this, or one that is longer.
ANSWER_BYTES_AT_MOST: Final = 64 * 1024

UNNUMBERED: Final = -1
"""For `Poll.sent`: the client does not count its commands, so all of them are carried out."""

_NEWLINE: Final = b"\n"


class Poll(NamedTuple):
    """A request of a client that polls."""

    ack: int
    sent: int
    commands: bytes
    is_last: bool
    """Whether the client leaves."""


Tell = Callable[[Answer], None]


def problem(status: HTTPStatus, sentence: str) -> Answer:
    """An answer for a person who reads it."""
    return Answer(status, orjson.dumps({"error": sentence}))


BEGIN_ANEW: Final = problem(HTTPStatus.NOT_FOUND, "no such session: connect anew")
SUPERSEDED: Final = problem(HTTPStatus.CONFLICT, "a later request of this session waits instead")


class Parked:
    """Line, wire and deadlines of one session; see `session.Line`, `outbox.Wire`, `timers`."""

    __slots__ = (
        "_forget",
        "_outbox",
        "_parts",
        "_taken",
        "_tell",
        "_uplink",
        "_waiting",
        "_waiting_from",
        "due_tick",
        "remote",
        "session",
    )

    pings_by_frame: Final = False
    answers_pings: Final = False

    def __init__(self, parts: Parts, remote: str, forget: Callable[["Parked"], None]) -> None:
        """`forget` is called once, when there is nothing more to fetch."""
        self._parts = parts
        self._forget = forget
        self.remote: Final = remote
        self.due_tick = NEVER
        self._taken = 0
        self._tell: Tell | None = None
        self._waiting = bytearray()
        self._waiting_from = 0
        self._outbox = Outbox(self, parts.flusher, parts.config.client.queue_max_size)
        self.session: Final = Session(parts, self, self._outbox, POLLED_LINES)
        self._uplink = parts.uplinks.open(self.session, receive)

    @property
    def id(self) -> str:
        """What the client is told to name it by."""
        return self._uplink.id

    # ---- requests

    def poll(self, poll: Poll, tell: Tell) -> None:
        """Take a request; `tell` is called with its answer, now or later. Never waits."""
        wrong = self._wrong(poll)
        if wrong is not None:
            tell(wrong)
            return
        self._answer_waiting(SUPERSEDED)
        self._acknowledge(poll.ack)
        if poll.is_last:
            self._end()
            tell(Answer(HTTPStatus.NO_CONTENT))
        elif self.session.is_over and not self._waiting:
            self._end()
            tell(BEGIN_ANEW)
        else:
            self._tell = tell
            if self._waiting:
                self._answer()
            else:
                self._wake_in(self._parts.config.client.poll_wait)

    def abandon(self, tell: Tell) -> None:
        """Note that nobody is there any more to be answered by this."""
        if self._tell is tell:
            self._tell = None
            self._expect_return()

    def _wrong(self, poll: Poll) -> Answer | None:
        """What is wrong with a request; its commands are taken if nothing is."""
        if not self._is_place(poll.ack):
            return problem(HTTPStatus.CONFLICT, "ack is none of the places one can go on from")
        if poll.sent > self._taken:
            return problem(HTTPStatus.CONFLICT, "commands are missing before these")
        commands = [line for line in poll.commands.split(_NEWLINE) if line.strip()]
        if poll.sent != UNNUMBERED:
            commands = commands[self._taken - poll.sent :]
        if not commands or self.session.is_over:
            return None
        if not self._parts.uplinks.take(self._uplink, _NEWLINE.join(commands)):
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many commands wait")
        self._taken += len(commands)
        return None

    def _is_place(self, ack: int) -> bool:
        """Whether a client can have come so far: to the end of a line that is still here."""
        at = ack - self._waiting_from
        return at == 0 or (0 < at <= len(self._waiting) and self._waiting[at - 1] == _NEWLINE[0])

    def _acknowledge(self, ack: int) -> None:
        del self._waiting[: ack - self._waiting_from]
        self._waiting_from = ack
        # What was held because of it; see `outbox`.
        self._outbox.flush()

    def _answer_waiting(self, answer: Answer) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(answer)

    def _answer(self) -> None:
        """Tell whoever waits what there is, or that there is nothing."""
        lines = self._next_lines()
        answer = {
            "session": self.id,
            "node": self._parts.neighbours.id,
            "seq": self._waiting_from + len(lines),
            "taken": self._taken,
            "data": lines.decode(),
        }
        self._answer_waiting(Answer(HTTPStatus.OK, orjson.dumps(answer)))
        self._expect_return()

    def _next_lines(self) -> bytes:
        waiting = self._waiting
        if len(waiting) <= ANSWER_BYTES_AT_MOST:
            return bytes(waiting)
        end = waiting.rfind(_NEWLINE, 0, ANSWER_BYTES_AT_MOST) + 1
        return bytes(waiting[: end or waiting.find(_NEWLINE) + 1])

    # ---- the session's line

    def close(self, code: int, reason: str, *, is_slow: bool) -> None:
        """See `session.Line.close`; what waits can be fetched as long as one may be away."""
        self._outbox.close(POLLED_LINES.encode_push("", DisconnectPush.custom(code, reason)))

    # ---- the outbox's wire

    def write(self, data: bytes, /) -> None:
        """See `outbox.Wire.write`."""
        self._waiting += data
        if self._tell is not None:
            self._answer()

    def get_write_buffer_size(self) -> int:
        """See `outbox.Wire.get_write_buffer_size`."""
        return len(self._waiting)

    def is_closing(self) -> bool:
        """See `outbox.Wire.is_closing`."""
        return False

    # ---- time

    def wake(self, now_seconds: float) -> None:
        """See `timers.Timed.wake`."""
        if self._tell is not None:
            self._answer()
        else:
            self._end()

    def _expect_return(self) -> None:
        self._wake_in(self._parts.config.client.poll_return_delay)

    def _wake_in(self, seconds: float) -> None:
        self._parts.wheel.set(self, self._parts.wheel.now_seconds + seconds)

    def _end(self) -> None:
        self._parts.wheel.clear(self)
        self._parts.uplinks.close(self._uplink)
        self.session.leave()
        self._outbox.close()
        self._forget(self)
