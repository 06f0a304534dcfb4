"""What one client did and saw, in its own order: the only thing the checker reads.

Rules: a client notes an attempt before its bytes leave, and everything else when it is told; it
notes nothing it has not seen itself. A journal is one JSON object a line when written to a file.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import zip_longest
from pathlib import Path

import orjson


class Resumption(Enum):
    """What a subscribe reply said about the publications before it."""

    FRESH = "fresh"
    """Nothing was asked for: the client starts at the channel's top."""
    RECOVERED = "recovered"
    """What was missed follows without a hole."""
    UNRECOVERED = "unrecovered"
    """Something may be missing, and the client was told so: it starts anew at the top."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """The client is about to send a publication. `attempt` is its payload's id, never used twice.

    `session` counts the client's connections: order is promised within one.
    """

    channel: str
    attempt: str
    session: int
    is_sound: bool = True
    """Whether the server may publish it: an unsound one is to be refused, at once or late."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The server answered that it has the publication."""

    attempt: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server answered that it does not have the publication, and never will."""

    attempt: str
    code: int


@dataclass(frozen=True, slots=True)
class RefusedLate:
    """The server answered that it has the publication, and later that it had to refuse it."""

    attempt: str
    code: int


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Nobody told what became of the publication: outcome unknown, or the connection was lost."""

    attempt: str
    why: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The client follows a channel from after this offset on."""

    channel: str
    epoch: str
    offset: int
    resumption: Resumption


@dataclass(frozen=True, slots=True)
class Received:
    """A publication arrived, live or in a subscribe reply."""

    channel: str
    epoch: str
    offset: int
    attempt: str


@dataclass(frozen=True, slots=True)
class Left:
    """The client follows the channel no longer, by its own wish."""

    channel: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The client's connection, or its way to one, failed. For people who read the journal."""

    why: str


Event = (
    Attempted
    | Acknowledged
    | Refused
    | RefusedLate
    | Unresolved
    | Subscribed
    | Received
    | Left
    | Interrupted
)


@dataclass(slots=True)
class Journal:
    """One client's events, oldest first."""

    client: str
    events: list[Event] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When each was noted, for people who read the journal; nobody judges by them."""

    def note(self, event: Event) -> None:
        """Add what just happened."""
        self.events.append(event)
        self.times.append(time.time())

    def write(self, path: Path) -> None:
        """Keep the journal for a person to look at."""
        path.write_bytes(b"".join(self._lines()))

    def _lines(self) -> Iterator[bytes]:
        for event, seconds in zip_longest(self.events, self.times):
            line = {"at": seconds, "client": self.client, "event": type(event).__name__.lower()}
            for name in event.__slots__:
                value = getattr(event, name)
                line[name] = value.value if isinstance(value, Enum) else value
            yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
