"""What a handler may say of what it was asked, besides a value: refuse, swallow, let in.

Not here: what a handler does besides (`forebay.event`), how it all is written (`forebay.conclude`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final

TEXT_CHARACTERS_AT_MOST: Final = 500
"""Of what a client is told; more is cut off."""

REASON_BYTES_AT_MOST: Final = 123
"""Of why a session ends: RFC 6455 §5.5.1 leaves no more room in a close frame."""

REFUSED: Final = 402
INVALID_DATA: Final = 401

# Of the protocol's own, those that say nothing of a session's state; SDKs act on the others.
_PROTOCOL_CODES: Final = {
    100: "internal server error",
    101: "unauthorized",
    102: "unknown channel",
    103: "permission denied",
    104: "method not found",
    106: "limit exceeded",
    107: "bad request",
    108: "not available",
    111: "too many requests",
}
_OWN_CODES: Final = range(500, 2_000)
_DISCONNECT_CODES: Final = range(3_000, 5_000)


class Swallow(Enum):
    """The type of `SWALLOW`."""

    SWALLOW = "swallow"


SWALLOW: Final = Swallow.SWALLOW
"""Returned by a publish handler: the publication is done with, and nobody receives it."""


class Refuse(Exception):
    """The client is told no, with words and a code; it is not tried again.

    Codes 500 to 1999 are a team's own. Of the protocol's, 100, 101, 102, 103 (permission denied),
    104, 106, 107 (bad request), 108 and 111 (too many requests: SDKs try 100 and 111 again) may be
    given. Without a code it is 402, which like all from 400 to 499 is Forebay's own.

    Words beyond 500 characters are cut off.

    Raises:
        ValueError: a code that is not one of these.
    """

    def __init__(self, text: str = "", *, code: int | None = None) -> None:
        if code is not None and code not in _OWN_CODES and code not in _PROTOCOL_CODES:
            raise ValueError(f"{code} is no code to refuse with: 500 to 1999 are yours")
        self.code = REFUSED if code is None else code
        text = text or _PROTOCOL_CODES.get(self.code, "refused")
        # A lone surrogate, which a client may have sent and a handler quotes, cannot be written.
        self.text = text[:TEXT_CHARACTERS_AT_MOST].encode(errors="replace").decode()
        super().__init__(self.text)

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class InvalidData(Refuse):
    """Data that does not fit the type that a handler is annotated with: code 401."""

    def __init__(self, why: str) -> None:
        super().__init__(f"invalid data: {why}")
        self.code = INVALID_DATA


class Disconnect(Exception):
    """Raised by a connect or subscribe handler: the session ends.

    Codes 4000 to 4499 let SDKs come back, 4500 to 4999 do not; 3000 to 3999 are the protocol's.

    Raises:
        ValueError: a code out of these, or a reason of more than 123 bytes.
    """

    def __init__(self, code: int = 4_500, reason: str = "not welcome") -> None:
        check_disconnect(code, reason)
        self.code = code
        self.reason = reason
        super().__init__(f"{code} {reason}")


def check_disconnect(code: int, reason: str) -> None:
    """Check what a session is to be ended with.

    Raises:
        ValueError: it cannot.
    """
    if code not in _DISCONNECT_CODES:
        raise ValueError(f"{code} is no code to disconnect with: 4000 to 4999 are yours")
    if len(reason.encode()) > REASON_BYTES_AT_MOST:
        raise ValueError(f"a reason to disconnect has at most {REASON_BYTES_AT_MOST} bytes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """Returned by a subscribe handler: the client may have the channel.

    What is None stays as the token and the settings say.
    """

    info: object = None
    """What the others in the channel see beside the client."""
    data: object = None
    """What the client is told with the reply."""
    expire_at: float | datetime | None = None
    """Unix seconds, or a time with its zone; 0 for never."""
    override: Mapping[str, bool] = field(default_factory=dict)
    """Namespace options that are otherwise for this subscription: `presence`, `join_leave`,
    `force_push_join_leave`, `force_recovery`, `force_positioning`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Welcome:
    """Returned by a connect handler: the client may connect.

    What is None stays as the token and the settings say.
    """

    user: str | None = None
    """Who it is; empty for an anonymous client."""
    info: object = None
    """What others see of it."""
    data: object = None
    """What the client is told with the reply."""
    channels: Sequence[str] | Mapping[str, Admission] = ()
    """What it is put into at once, besides those of its token. An `expire_at` in one of these says
    nothing: such a subscription lasts as long as the session."""
    expire_at: float | datetime | None = None
    """Unix seconds, or a time with its zone; 0 for never."""
