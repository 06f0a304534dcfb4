"""Fossil deltas: what changes one payload into the next, as the SDKs read it.

    delta    = size "\n" *operation checksum ";"
    copy     = count "@" offset ","       so many bytes of the source, from there on
    insert   = count ":" bytes            so many bytes as they follow

Sizes, counts, offsets and the checksum (the sum of the target's big-endian 32-bit words) are
numbers to base 64, the most significant digit first.

Rules
- What both begin with and what both end with is copied, the rest is inserted. One changed place
  makes a small delta, two far apart a large one: a search for blocks that moved would take some
  fifty times as long in Python, in the loop that serves everybody.
- A delta of UTF-8 is UTF-8: a character is copied whole or inserted whole.

Not here: against what a client can be given a delta (`services.front`), reading deltas.
"""

from __future__ import annotations

from typing import Final

# A payload of 64 KiB takes 0.33 ms, most of it the checksum, and one of 256 KiB 1.3 ms (measured).
# Longer ones would hold everybody up for longer: they are sent as they are.
SOURCE_BYTES_AT_MOST: Final = 256 * 1024

_DIGITS: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
_WORD: Final = 4
_LARGEST_WORD: Final = 2**32 - 1

# UTF-8: what follows a character's first byte, three of them at most (RFC 3629 §3).
_FOLLOWS: Final = range(0x80, 0xC0)
_FOLLOWERS_AT_MOST: Final = 3


def encode_delta(source: bytes, target: bytes) -> bytes | None:
    """What makes `target` of `source`, or None where that would be longer than the target."""
    if not source or max(len(source), len(target)) > SOURCE_BYTES_AT_MOST:
        return None
    start = _common_start(source, target)
    end = _common_end(source, target, min(len(source), len(target)) - start)
    inserted = target[start : len(target) - end]
    if len(inserted) >= len(target):
        return None
    parts = [_number(len(target)), b"\n"]
    if start:
        parts += _number(start), b"@0,"
    if inserted:
        parts += _number(len(inserted)), b":", inserted
    if end:
        parts += _number(end), b"@", _number(len(source) - end), b","
    parts += _number(_checksum(target)), b";"
    delta = b"".join(parts)
    return delta if len(delta) < len(target) else None


def _common_start(source: bytes, target: bytes) -> int:
    """How many bytes both begin with, in whole characters."""
    # Halves of what is not known yet are compared, which C does: ten times as fast as one by one.
    known, open_end = 0, min(len(source), len(target))
    while known < open_end:
        middle = (known + open_end + 1) // 2
        if source[known:middle] == target[known:middle]:
            known = middle
        else:
            open_end = middle - 1
    for _ in range(_FOLLOWERS_AT_MOST):
        if not (_is_within(source, known) or _is_within(target, known)):
            break
        known -= 1
    return known


def _common_end(source: bytes, target: bytes, at_most: int) -> int:
    """How many bytes both end with, in whole characters."""
    known, open_end = 0, at_most
    while known < open_end:
        middle = (known + open_end + 1) // 2
        here = source[len(source) - middle : len(source) - known]
        if here == target[len(target) - middle : len(target) - known]:
            known = middle
        else:
            open_end = middle - 1
    for _ in range(_FOLLOWERS_AT_MOST):
        if not known or not _is_within(target, len(target) - known):
            break
        known -= 1
    return known


def _is_within(text: bytes, place: int) -> bool:
    """Whether a character goes on at a place."""
    return 0 < place < len(text) and text[place] in _FOLLOWS


def _number(number: int) -> bytes:
    if number < len(_DIGITS):
        return _DIGITS[number : number + 1]
    digits = bytearray()
    while number:
        digits.append(_DIGITS[number & 63])
        number >>= 6
    digits.reverse()
    return bytes(digits)


def _checksum(target: bytes) -> int:
    # By column: the sums of single bytes are small numbers, with which Python is quickest.
    total = 0
    for column in range(_WORD):
        total = (total << 8) + sum(target[column::_WORD])
    return total & _LARGEST_WORD
