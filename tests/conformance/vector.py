"""What a vector is: frames that a client sends, and what it must get for them.

Rules
- A vector is data. Replies are compared as far as they are written down: `ANY` is any value,
  `ABSENT` means that the key is not there, an object may have more members.
- Nothing else may come: a session that lives is asked once more, and that answer must be next.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

ANY: Final = ...
ABSENT: Final = NotImplemented


@dataclass(frozen=True)
class Turn:
    """One text frame, and the replies and pushes that it brings, in order."""

    send: bytes
    expect: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Vector:
    """A claim, and how a client finds it to be true."""

    claim: str
    turns: tuple[Turn, ...]
    close: int | None = None
    """The code with which the session ends; None: it lives."""
    connect: dict[str, Any] | None = field(default_factory=dict)
    """The connect request sent before; None: none is sent."""


def ask(claim: str, send: str | bytes, *expect: Any, close: int | None = None) -> Vector:
    """One frame in a connected session."""
    return Vector(claim, (Turn(_bytes(send), expect),), close)


def ask_unconnected(
    claim: str, send: str | bytes, *expect: Any, close: int | None = None
) -> Vector:
    """One frame in a session that has not sent its connect."""
    return Vector(claim, (Turn(_bytes(send), expect),), close, None)


def turn(send: str | bytes, *expect: Any) -> Turn:
    """One frame of several."""
    return Turn(_bytes(send), expect)


def error(id: int, code: int) -> dict[str, Any]:
    """An error reply."""
    return {"id": id, "error": {"code": code, "message": ANY}}


def differences(expected: Any, got: Any, at: str = "") -> Iterator[str]:
    """Where an answer is not what was expected."""
    if expected is ANY:
        return
    if isinstance(expected, dict) and isinstance(got, dict):
        for key, value in expected.items():
            yield from _member_differences(key, value, got, f"{at}.{key}")
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for number, pair in enumerate(zip(expected, got, strict=True)):
            yield from differences(*pair, f"{at}[{number}]")
    elif expected != got:
        yield f"{at or 'it'} is {got!r}, not {expected!r}"


def _member_differences(key: str, expected: Any, got: dict[str, Any], at: str) -> Iterator[str]:
    if expected is ABSENT:
        if key in got:
            yield f"{at} is there"
    elif key not in got:
        yield f"{at} is missing"
    else:
        yield from differences(expected, got[key], at)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
