"""What fronts say to each other on the bus, as values and as JSON.

Each is an object whose `kind` says what it is, like those of `broker.registry`, which sees them
first and passes on what it does not know.

Rules
- A field that is not known here is ignored, and so is a message of an unknown kind: they may be a
  later version's.
- What clients wrote stays raw: nothing here parses it.

Not here: what is said to workers (`services.hook_messages`), who answers what (`presence`,
`errands`), who is told (`movements`), sending (`neighbours`).
"""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import TypeVar

import msgspec

from services.hook_messages import MESSAGE_BYTES, HookAnswers, HookQuestions


class Topic(StrEnum):
    """What is asked about a channel."""

    CLIENTS = "clients"
    """Each client's ClientInfo, by client id."""
    USERS = "users"
    """How many clients each user has there."""


class Subject(msgspec.Struct, frozen=True, array_like=True):
    """A topic of a channel."""

    topic: Topic
    channel: str


class PresenceQuestion(msgspec.Struct, frozen=True, tag_field="kind", tag="presence_question"):
    """Who is in these channels? To all fronts."""

    sender: str
    number: int
    """The asker's own, rising."""
    subjects: list[Subject]


class Listing(msgspec.Struct, frozen=True, array_like=True):
    """Some of what one front knows about a subject. Several of the same subject add up."""

    subject: Subject
    entries: dict[str, msgspec.Raw]
    is_cut: bool = False
    """Whether there was more than a front may list: what is here is of no use then."""


class PresenceAnswer(msgspec.Struct, frozen=True, tag_field="kind", tag="presence_answer"):
    """A part of one front's answer; subjects nobody is in are left out."""

    sender: str
    number: int
    part: int
    """From 0, without gaps: one that is missing was lost."""
    is_last: bool
    listings: list[Listing]


class Movement(msgspec.Struct, frozen=True, array_like=True):
    """A client that came into a channel, or left it."""

    channel: str
    is_join: bool
    client: str
    info: msgspec.Raw
    """Its ClientInfo."""


class Moved(msgspec.Struct, frozen=True, tag_field="kind", tag="moved"):
    """What happened in one turn of the sender's loop, in order. To all fronts."""

    sender: str
    movements: list[Movement]


class NewerConnection(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A user has connected anew, and may have no other connection."""

    user: str
    client: str
    """The one that stays."""


class NewerConnections(msgspec.Struct, frozen=True, tag_field="kind", tag="newer_connections"):
    """Those of one turn of the loop. To all fronts."""

    sender: str
    connections: list[NewerConnection]


class UplinkErrand(msgspec.Struct, frozen=True, tag_field="kind", tag="uplink"):
    """What a client of yours sent, and it reached me. To the front that holds the session."""

    sender: str
    number: int
    """The sender's own, rising."""
    session: str
    """The session's uplink."""
    frame: bytes


class PollErrand(msgspec.Struct, frozen=True, tag_field="kind", tag="poll"):
    """A poll that reached me. To the front that holds the session."""

    sender: str
    number: int
    """The sender's own, rising."""
    session: str
    """The session's uplink."""
    ack: int
    sent: int
    commands: bytes
    is_last: bool


class PollAbandoned(msgspec.Struct, frozen=True, tag_field="kind", tag="poll_abandoned"):
    """Who sent that poll is gone. To the front that holds the session."""

    sender: str
    number: int


class ErrandAnswer(msgspec.Struct, frozen=True, tag_field="kind", tag="errand_answer"):
    """What to tell the client. To the front that asked."""

    number: int
    status: int
    """An HTTP status."""
    body: bytes = b""


Errand = UplinkErrand | PollErrand
Message = (
    PresenceQuestion
    | PresenceAnswer
    | Moved
    | NewerConnections
    | UplinkErrand
    | PollErrand
    | PollAbandoned
    | ErrandAnswer
    | HookQuestions
    | HookAnswers
)

Item = TypeVar("Item")


def divide(items: Iterable[Item], size_of: Callable[[Item], int]) -> Iterator[list[Item]]:
    """What travels together, in messages of at most so many bytes each, or of one item."""
    message: list[Item] = []
    size_bytes = 0
    for item in items:
        item_bytes = size_of(item)
        if message and size_bytes + item_bytes > MESSAGE_BYTES:
            yield message
            message, size_bytes = [], 0
        message.append(item)
        size_bytes += item_bytes
    if message:
        yield message


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def encode_message(message: Message) -> bytes:
    """A message as it travels."""
    return _encoder.encode(message)


def decode_message(body: bytes) -> Message | None:
    """The message in a body; None if it is none that is known here."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
