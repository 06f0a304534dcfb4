"""What fronts ask workers' apps before they let a client in or into a channel, on the bus.

Each is an object whose `kind` says what it is, like those of `broker.registry`, which sees them
first and passes on what it does not know.

Rules
- A field that is not known here is ignored, and so is a message of an unknown kind: they may be a
  later version's.
- What is asked and answered stays raw: bytes, which are whatever `forebay.hooks` made.
- Questions of one turn of the loop to the same worker travel in one message, and so do answers.

Not here: who is asked (`services.front.hooks`), who answers (`services.worker.hooks`).
"""

from enum import StrEnum
from typing import Final

import msgspec

MESSAGE_BYTES: Final = 64 * 1024
"""Beyond it another message begins; one question or answer is never divided."""

ANSWER_BYTES_AT_MOST: Final = 64 * 1024
"""What an app says of one client."""


class Hook(StrEnum):
    """What is asked."""

    CONNECT = "connect"
    SUBSCRIBE = "subscribe"


class Said(StrEnum):
    """What came of a question."""

    PASSED = "passed"
    """It may be, as the token and the settings say."""
    REPLIED = "replied"
    """It may be, as the data says."""
    REFUSED = "refused"
    """It may not: code and text are for the client."""
    FAILED = "failed"
    """The handler failed: nobody is let in by it."""
    UNANSWERED = "unanswered"
    """It did not answer in time, or its process died of it."""
    ABSENT = "absent"
    """There is no handler for it here, or not yet."""
    BUSY = "busy"
    """Nobody was asked, for too much is asked already."""


class Asked(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One question."""

    number: int
    """The front's own, rising."""
    hook: Hook
    client: str
    """Its id: nobody waits for another client's answers."""
    channel: str
    """Empty for a connect."""
    sender: bytes
    """The client as others see it: an encoded ClientInfo."""
    data: bytes


class HookQuestions(msgspec.Struct, frozen=True, tag_field="kind", tag="hook_questions"):
    """May these clients? To one worker that has an app."""

    sender: str
    timeout_seconds: float
    questions: list[Asked]


class Answered(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One answer."""

    number: int
    said: Said
    data: bytes = b""
    code: int = 0
    text: str = ""


class HookAnswers(msgspec.Struct, frozen=True, tag_field="kind", tag="hook_answers"):
    """What became of some questions. To the front that asked."""

    sender: str
    answers: list[Answered]


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[HookQuestions] = msgspec.json.Decoder(HookQuestions)


def encode_answers(answers: HookAnswers) -> bytes:
    """Answers as they travel."""
    return _encoder.encode(answers)


def decode_questions(body: bytes) -> HookQuestions | None:
    """The questions in a message; None if it is another."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
