"""The moments at which a fault can strike, as they are seen on the wire.

Rules: a moment belongs to the one frame whose arrival makes it happen. Whoever holds that frame is
before the moment; whoever lets it pass and strikes at once is after it.
"""

from enum import Enum
from typing import NamedTuple, Protocol


class Moment(Enum):
    """What a frame is about to make happen."""

    DELIVERY = "delivery"
    """A batch reaches a worker."""
    FENCE = "fence"
    """A worker's Fence reaches the log."""
    APPEND = "append"
    """A worker's record reaches the log."""
    APPENDED = "append confirm"
    """The worker learns that its record was taken."""
    READ_BACK = "read-back"
    """The worker reads its own record."""
    ACK = "ack"
    """The worker's delivery is settled."""
    SUBMIT = "submit"
    """A front's batch reaches the pool."""
    SUBMITTED = "submit confirm"
    """The front learns that its batch was taken."""
    OUTCOME = "outcome"
    """A front reads what became of its batch."""
    PUBLISH = "publish"
    """A client's publish reaches a front."""
    REPLY = "reply"
    """A client learns what became of a publish."""
    PUSH = "push"
    """A client receives a publication."""
    RECOVERY = "recovery"
    """A client that came back receives what it missed."""


class Direction(Enum):
    """Which way bytes go through a proxy: to the one who listened, or to the one who connected."""

    UP = "up"
    DOWN = "down"


class Passage(NamedTuple):
    """Some bytes of one direction that belong together, and what their arrival makes happen."""

    content: bytes
    moment: Moment | None = None


class Inspector(Protocol):
    """Reads along on one connection."""

    def inspect(self, direction: Direction, content: bytes) -> list[Passage]:
        """Cut what arrived into passages; the end of it may be kept until more arrives."""
