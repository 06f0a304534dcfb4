"""What a test compares: refusals, ends, and what clients are told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Refused(Exception):
    """A command was answered with an error; equal to another one with the same code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Refused):
            return NotImplemented
        return (self.code, self.message) == (other.code, other.message)

    def __hash__(self) -> int:
        return hash((self.code, self.message))

    def __str__(self) -> str:
        return f"{self.code} {self.message}"


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The server ended a client's session."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Member:
    """A client as others see it; without a user it is anonymous."""

    user: str
    client: str
    conn_info: Any = None
    chan_info: Any = None


@dataclass(frozen=True, slots=True)
class Received:
    """What a channel's subscribers are told; `offset` is 0 where there is no history."""

    data: Any
    offset: int = 0
    sender: Member | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry that could not be handled, or was refused after it had been answered as queued."""

    reason: str
    """"failed", "refused" or "undecodable"."""
    explanation: str
    kind: str
    """What it was: "publish", "call", "send", …"""
    channel: str
    """Of a call, its method."""
    data: bytes
    """As the client sent it."""
    attempts: int
    """How often it was tried; 0 if it was not even begun."""
