"""The slow path of `json_codec`: tells an odd command from a frame that is no command.

A strict parser refuses a whole line for one lone surrogate deep in a payload, and then the id to
answer is lost. Here a line is only taken apart: strings end and brackets balance, the outermost
object has proper keys. What stands inside the values is not looked at.

Rules
- Linear in the size of the frame, whatever stands in it: no recursion, no backtracking.
- Never raises on any bytes; what is not understood is None.

Not here: deciding what an odd command is answered with.
"""

from __future__ import annotations

import re

# A lone quote matches by itself, so that a string without an end stops the reading at once. Without
# that, each later quote would be tried as a beginning, and the time would be quadratic.
_STRUCTURE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}]', re.DOTALL)
_TOKEN = re.compile(rb'\s*+("[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}:,]|[^\s"\[\]{}:,]++|")', re.DOTALL)
_SPACE = re.compile(rb"\s*+")

_CLOSING = {b"{": b"}", b"[": b"]"}


def object_end(text: bytes, start: int) -> int | None:
    """Where the JSON object that begins at `start` ends, or None if it does not."""
    if text[start : start + 1] != b"{":
        return None
    open_brackets: list[bytes] = []
    for match in _STRUCTURE.finditer(text, start):
        token = match[0]
        if token in _CLOSING:
            open_brackets.append(_CLOSING[token])
        elif token in (b"}", b"]"):
            if open_brackets.pop() != token:
                return None
            if not open_brackets:
                return match.end()
        elif token == b'"':
            return None
    return None


def next_start(text: bytes, position: int) -> int:
    """The first place from `position` on that is no white space."""
    match = _SPACE.match(text, position)
    return match.end() if match else position


def members(text: bytes) -> dict[bytes, bytes] | None:
    """The members of an object, key without quotes to value as it stands, or None if they are
    unclear.

    `text` is what `object_end` delimited: its strings end and its brackets balance.
    """
    found: dict[bytes, bytes] = {}
    position = next_start(text, 1)
    if text[position : position + 1] == b"}":
        return found
    while True:
        key, position = _token(text, position)
        colon, position = _token(text, position)
        if not key.startswith(b'"') or colon != b":":
            return None
        value, position = _value(text, position)
        separator, position = _token(text, position)
        if not value or separator not in (b",", b"}"):
            return None
        found[key[1:-1]] = value
        if separator == b"}":
            return found


def _token(text: bytes, position: int) -> tuple[bytes, int]:
    match = _TOKEN.match(text, position)
    return (match[1], match.end()) if match else (b"", position)


def _value(text: bytes, position: int) -> tuple[bytes, int]:
    """One value as it stands and where it ends; empty if there is none."""
    first, end = _token(text, position)
    start = end - len(first)
    if first in (b":", b",", b"}", b"]"):
        return b"", position
    depth = 1 if first in _CLOSING else 0
    while depth:
        match = _STRUCTURE.search(text, end)
        if match is None:
            return b"", position
        depth += 1 if match[0] in _CLOSING else -1 if match[0] in (b"}", b"]") else 0
        end = match.end()
    return text[start:end], end
