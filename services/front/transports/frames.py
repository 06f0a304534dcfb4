"""WebSocket frames as a server writes them: unmasked, whole, built once for everybody.

Not here: reading frames (aiohttp does), who gets them.
"""

from typing import Final

_FINAL: Final = 0x80
_TEXT: Final = _FINAL | 0x1
_BINARY: Final = _FINAL | 0x2
_CLOSE: Final = _FINAL | 0x8
_PING: Final = _FINAL | 0x9
_PONG: Final = _FINAL | 0xA

CONTROL_BYTES_AT_MOST: Final = 125
REASON_BYTES_AT_MOST: Final = CONTROL_BYTES_AT_MOST - 2
NO_CODE: Final = 0

_SHORT_BYTES: Final = 125
_MEDIUM_BYTES: Final = 0xFFFF


def frame_text(payload: bytes) -> bytes:
    """A text message of one frame (RFC 6455 §5.2)."""
    return _frame(_TEXT, payload)


def frame_binary(payload: bytes) -> bytes:
    """A binary message of one frame (RFC 6455 §5.2)."""
    return _frame(_BINARY, payload)


def _frame(head: int, payload: bytes) -> bytes:
    size = len(payload)
    if size <= _SHORT_BYTES:
        return b"%c%c%b" % (head, size, payload)
    if size <= _MEDIUM_BYTES:
        return b"%c\x7e%b%b" % (head, size.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (head, size.to_bytes(8, "big"), payload)


def frame_close(code: int, reason: str = "") -> bytes:
    """A close frame; without a code its body is empty (RFC 6455 §5.5.1)."""
    if code == NO_CODE:
        return bytes((_CLOSE, 0))
    body = code.to_bytes(2, "big") + _cut(reason)
    return bytes((_CLOSE, len(body))) + body


def is_close_code(code: int) -> bool:
    """Whether a close frame may have this code (RFC 6455 §7.4, and what is registered since)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def frame_ping() -> bytes:
    """A ping without a body (RFC 6455 §5.5.2)."""
    return bytes((_PING, 0))


def frame_pong(payload: bytes) -> bytes:
    """The answer to a client's ping, with the ping's body (RFC 6455 §5.5.3)."""
    return bytes((_PONG, len(payload))) + payload


def _cut(reason: str) -> bytes:
    """As much of a reason as fits, in whole characters."""
    return reason.encode()[:REASON_BYTES_AT_MOST].decode(errors="ignore").encode()
