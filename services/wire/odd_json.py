"""The slow path of `json_codec`: tells an odd command from a frame that is no command.

A strict parser refuses a whole line for one lone surrogate deep in a payload, and then the id to
answer is lost. Here an object is only outlined: strings end, brackets balance, the outermost object
has proper keys. What stands inside the values is not looked at.

Rules
- Linear in the size of the frame, whatever stands in it: no recursion, no backtracking. What takes
  Python's time rather than the regular expressions' is counted, and a frame with too much of it is
  not understood.
- Never raises on any bytes; what is not understood is None.

Not here: deciding what an odd command is answered with.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

# A run of brackets takes 0.6 to 1.5 µs, so those of a frame 3 ms at most. Arrays and objects that
# hold no other ones are passed over in one go and not counted: 64 KiB of coordinates or of chat
# messages come to some tens.
RUNS_A_FRAME: Final = 2000

# A command has an id and a method; this leaves room for fields that are yet to be invented.
MEMBERS_AT_MOST: Final = 16

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_PLAIN = rb'[^"\[\]{}]++|' + _STRING
# Up to the next bracket that is no part of a flat array or object. A flat one is tried at each
# bracket and given up at the next, so that no byte is read more than three times. A quote matches
# by itself where a string has no end, and so does the end of the frame: a search that found nothing
# would be tried anew from each byte.
_NEXT_RUN = re.compile(
    rb"(?:%b|\[(?:%b)*+\]|\{(?:%b)*+\})*+(\[++|\]++|\{++|\}++|\"|\Z)" % (_PLAIN, _PLAIN, _PLAIN),
    re.DOTALL,
)
_MEMBER = re.compile(rb"\s*+(%b)\s*+:\s*+(?=(.))" % _STRING, re.DOTALL)
_SCALAR = re.compile(rb'%b|[^\s"\[\]{}:,]++' % _STRING, re.DOTALL)
_SEPARATOR = re.compile(rb"\s*+([,}])")
_EMPTY = re.compile(rb"\{\s*+\}")
_SPACE = re.compile(rb"\s*+")

_OPENING: Final = b"{["
_CLOSING: Final = {ord("{"): ord("}"), ord("["): ord("]")}


class Outline(NamedTuple):
    """An object: its members, key without quotes to value as it stands, and where it ends."""

    members: dict[str, bytes]
    end: int


class OddFrame:
    """A frame that is taken apart, and how much of that is left to do."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._runs_left = RUNS_A_FRAME

    def next_start(self, position: int) -> int:
        """The first place from `position` on that is no white space."""
        match = _SPACE.match(self._text, position)
        return match.end() if match else position

    def outline(self, start: int) -> Outline | None:
        """The object that begins at `start`, or None if none does, or it is unclear."""
        text = self._text
        if text[start : start + 1] != b"{":
            return None
        if empty := _EMPTY.match(text, start):
            return Outline({}, empty.end())
        members: dict[str, bytes] = {}
        position = start + 1
        for _ in range(MEMBERS_AT_MOST):
            member = _MEMBER.match(text, position)
            end = self._value_end(member.end()) if member else None
            separator = _SEPARATOR.match(text, end) if end else None
            if member is None or separator is None:
                return None
            members[member[1][1:-1].decode(errors="replace")] = text[member.end() : end]
            position = separator.end()
            if separator[1] == b"}":
                return Outline(members, position)
        return None

    def _value_end(self, start: int) -> int | None:
        if self._text[start] in _OPENING:
            return self._balanced_end(start)
        match = _SCALAR.match(self._text, start)
        return match.end() if match else None

    def _balanced_end(self, start: int) -> int | None:
        """Where the array or object that begins at `start` ends."""
        # The brackets that close what is open, in runs of the same.
        owed = [(_CLOSING[self._text[start]], 1)]
        for match in _NEXT_RUN.finditer(self._text, start + 1):
            self._runs_left -= 1
            if self._runs_left < 0 or match[1] in (b"", b'"'):
                return None
            bracket, count = match[1][0], len(match[1])
            closing = _CLOSING.get(bracket)
            if closing is not None:
                owed.append((closing, count))
                continue
            left = _close(owed, bracket, count)
            if left is None:
                return None
            if not owed:
                return match.end() - left
        return None


def _close(owed: list[tuple[int, int]], bracket: int, count: int) -> int | None:
    """Close as many of what is open; give how many brackets are left over, or None if the kinds do
    not fit.
    """
    while count and owed:
        expected, open_count = owed.pop()
        if expected != bracket:
            return None
        if open_count > count:
            owed.append((expected, open_count - count))
        count -= min(open_count, count)
    return count
