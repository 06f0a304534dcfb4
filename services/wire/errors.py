"""Everything a client can be told went wrong: errors, unsubscribes, disconnects; code and words.

Rules
- Codes and words are the Centrifuge protocol's; SDKs act on them, so none is ever changed.
- An error answers one command and the session lives; a disconnect ends the session.

Not here: deciding which of them applies (the session), logging them, counting them.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from services.wire.command import Command


class Error(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What an error reply says; also the value for a refusal with a code of the team's own."""

    code: int
    message: str
    temporary: bool = False


class ErrorCode(enum.Enum):
    """Why a command was refused. Temporary ones, and 109, are tried again by the SDKs."""

    INTERNAL = 100, "internal server error", True
    UNAUTHORIZED = 101, "unauthorized", False
    UNKNOWN_CHANNEL = 102, "unknown channel", False
    PERMISSION_DENIED = 103, "permission denied", False
    METHOD_NOT_FOUND = 104, "method not found", False
    ALREADY_SUBSCRIBED = 105, "already subscribed", False
    LIMIT_EXCEEDED = 106, "limit exceeded", False
    BAD_REQUEST = 107, "bad request", False
    NOT_AVAILABLE = 108, "not available", False
    TOKEN_EXPIRED = 109, "token expired", False
    EXPIRED = 110, "expired", False
    TOO_MANY_REQUESTS = 111, "too many requests", True
    UNRECOVERABLE_POSITION = 112, "unrecoverable position", False
    CONCURRENT_PAGINATION = 113, "concurrent pagination", True
    # Ours, in the custom range. Not temporary: the publication may have been made, so the SDK must
    # not try again by itself; only the application can know whether a repeat is harmless.
    OUTCOME_UNKNOWN = 400, "outcome unknown", False
    # As are all from 400 to 499; a team's own handlers have those from 500 on.
    INVALID_DATA = 401, "invalid data", False

    def __init__(self, code: int, text: str, temporary: bool) -> None:
        self.code = code
        self.text = text
        self.temporary = temporary
        self.error = Error(code, text, temporary)

    def explained(self, why: str) -> Error:
        """The same code with a sentence that tells the developer what to change."""
        return Error(self.code, f"{self.text}: {why}", self.temporary)


_TEMPORARY = frozenset(code.code for code in ErrorCode if code.temporary)


def find_error(code: int, message: str) -> Error:
    """The error of a code that came from elsewhere: one of the table's, or the team's own."""
    return Error(code, message, code in _TEMPORARY)


class Unsubscribed(enum.Enum):
    """Why the server ends a subscription. From 2500 on the SDK subscribes again by itself."""

    BY_CLIENT = 0, "client unsubscribed"  # internal, never sent
    CLIENT_DISCONNECTED = 1, "client disconnected"  # internal, never sent
    BY_SERVER = 2000, "server unsubscribe"
    INSUFFICIENT_STATE = 2500, "insufficient state"
    EXPIRED = 2501, "subscription expired"
    STATE_INVALIDATED = 2502, "state invalidated"

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text

    @property
    def may_resubscribe(self) -> bool:
        """Whether the SDK subscribes again by itself."""
        return may_resubscribe(self.code)


def may_resubscribe(code: int) -> bool:
    """Whether SDKs subscribe again after an unsubscribe with this code, custom codes included."""
    return code >= 2500


_UNSUBSCRIBE_CODES = range(2000, 3000)


def find_unsubscribe(code: int, reason: str) -> tuple[int, str]:
    """What a client is told when the team ends its subscription; as `find_ending` does."""
    if code not in _UNSUBSCRIBE_CODES:
        code = Unsubscribed.BY_SERVER.code
    return code, cut_reason(reason)


def may_reconnect(code: int) -> bool:
    """Whether SDKs come back after a disconnect with this code, custom codes included."""
    return not (3500 <= code < 4000 or 4500 <= code < 5000)


class Disconnect(enum.Enum):
    """Why the server ends a session. The words are at most 123 bytes, a close frame's room."""

    CONNECTION_CLOSED = 3000, "connection closed"
    SHUTDOWN = 3001, "shutdown"
    INTERNAL = 3004, "internal server error"
    CONNECTION_EXPIRED = 3005, "connection expired"
    SUBSCRIPTION_EXPIRED = 3006, "subscription expired"
    SLOW = 3008, "slow"
    WRITE_ERROR = 3009, "write error"
    INSUFFICIENT_STATE = 3010, "insufficient state"
    FORCE_RECONNECT = 3011, "force reconnect"
    NO_PONG = 3012, "no pong"
    TOO_MANY_REQUESTS = 3013, "too many requests"
    STATE_INVALIDATED = 3014, "state invalidated"
    INVALID_TOKEN = 3500, "invalid token"
    BAD_REQUEST = 3501, "bad request"
    STALE = 3502, "stale"
    FORCED = 3503, "force disconnect"
    CONNECTION_LIMIT = 3504, "connection limit"
    CHANNEL_LIMIT = 3505, "channel limit"
    INAPPROPRIATE_PROTOCOL = 3506, "inappropriate protocol"
    PERMISSION_DENIED = 3507, "permission denied"
    NOT_AVAILABLE = 3508, "not available"
    TOO_MANY_ERRORS = 3509, "too many errors"

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text

    @property
    def may_reconnect(self) -> bool:
        """Whether SDKs come back after it."""
        return may_reconnect(self.code)


class CustomDisconnect(msgspec.Struct, frozen=True, gc=False):
    """Why the team ends a session: a code of its own (4000 to 4999), or words of its own."""

    code: int
    text: str

    @property
    def may_reconnect(self) -> bool:
        """Whether SDKs come back after it."""
        return may_reconnect(self.code)


Ending = Disconnect | CustomDisconnect

REASON_BYTES_AT_MOST = 123
"""Of a disconnect's words; a close frame has no room for more."""

_DISCONNECTS = {each.code: each for each in Disconnect}
_CUSTOM_CODES = range(4000, 5000)


def find_ending(code: int, text: str) -> Ending:
    """The end of a session as the team wants it.

    A code that is neither in the table nor custom stands for nothing a client knows: it is told
    that it is a forced one.
    """
    known = _DISCONNECTS.get(code, None if code in _CUSTOM_CODES else Disconnect.FORCED)
    if known is not None:
        if text in ("", known.text):
            return known
        code = known.code
    return CustomDisconnect(code, cut_reason(text))


def cut_reason(text: str) -> str:
    """As much of a reason as there is room for, in whole characters."""
    return text.encode()[:REASON_BYTES_AT_MOST].decode(errors="ignore")


class Refusal(Exception):
    """A command is answered with `error`; the session lives."""

    def __init__(self, error: Error) -> None:
        super().__init__(f"{error.code} {error.message}")
        self.error = error


class ProtocolError(Exception):
    """A frame holds something that is no command: the session ends with `disconnect`.

    `commands` are those that stood before it in the frame; they are carried out first. `why` is for
    the server's log, never for the client, and holds no content of the frame.
    """

    def __init__(self, disconnect: Disconnect, why: str, commands: Sequence[Command] = ()) -> None:
        super().__init__(f"{disconnect.code} {disconnect.text}: {why}")
        self.disconnect = disconnect
        self.why = why
        self.commands = tuple(commands)
