"""Fossil deltas: what changes one payload into the next, as the SDKs read it.

    delta    = size "\n" *operation checksum ";"
    copy     = count "@" offset ","       so many bytes of the source, from there on
    insert   = count ":" bytes            so many bytes as they follow

Sizes, counts, offsets and the checksum (the sum of the target's big-endian 32-bit words) are
numbers to base 64, the most significant digit first.

Rules
- What both begin with and what both end with is copied; between them, a few pieces of the target
  are looked for in the source, and what is around those that are found is copied too. So a delta
  has no more than what changed, if that is in a few places.
- The cost is bounded: pieces are looked for while that takes no longer than the checksum.
- A delta of UTF-8 is UTF-8: a character is copied whole or inserted whole.

Not here: against what a client can be given a delta (`services.front`), reading deltas.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

# A payload of 64 KiB takes 0.35 to 1 ms, and one of 256 KiB 1.3 to 2.7 ms (measured). Longer ones
# would hold everybody up for longer: they are sent as they are.
SOURCE_BYTES_AT_MOST: Final = 256 * 1024

# A copy costs some eight bytes of delta. Shorter pieces are found by chance, longer ones miss what
# is between two changes.
_PIECE_BYTES: Final = 16

# How much of sources is gone through for pieces: four times 64 KiB, a short one more often.
_SEARCHED_BYTES_AT_MOST: Final = 256 * 1024
_PIECES_AT_MOST: Final = 32

_DIGITS: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
_WORD: Final = 4
_LARGEST_WORD: Final = 2**32 - 1

# UTF-8: what follows a character's first byte, three of them at most (RFC 3629 §3).
_FOLLOWS: Final = range(0x80, 0xC0)
_FOLLOWERS_AT_MOST: Final = 3


class _Copy(NamedTuple):
    """Bytes of the target that are in the source: where in both, and how many."""

    at: int
    offset: int
    size: int


def encode_delta(source: bytes, target: bytes) -> bytes | None:
    """What makes `target` of `source`, or None where that would be no shorter than the target."""
    if not source or max(len(source), len(target)) > SOURCE_BYTES_AT_MOST:
        return None
    copies = _find_copies(source, target)
    if not copies:
        return None
    parts = [_number(len(target)), b"\n"]
    written = 0
    for at, offset, size in sorted(copies):
        if written < at:
            parts += _number(at - written), b":", target[written:at]
        parts += _number(size), b"@", _number(offset), b","
        written = at + size
    if written < len(target):
        parts += _number(len(target) - written), b":", target[written:]
    parts += _number(_checksum(target)), b";"
    delta = b"".join(parts)
    return delta if len(delta) < len(target) else None


def _find_copies(source: bytes, target: bytes) -> list[_Copy]:
    """What of the target is in the source, each byte at most once."""
    shorter = min(len(source), len(target))
    start = _common_start(source, 0, target, 0, shorter)
    end = _common_end(source, len(source), target, len(target), shorter - start)
    open_ranges = deque([(start, len(target) - end)])
    copies = [_Copy(0, 0, start), _Copy(len(target) - end, len(source) - end, end)]
    for _ in range(min(_PIECES_AT_MOST, _SEARCHED_BYTES_AT_MOST // len(source))):
        while open_ranges and open_ranges[0][1] - open_ranges[0][0] < _PIECE_BYTES:
            open_ranges.popleft()
        if not open_ranges:
            break
        low, high = open_ranges.popleft()
        middle = _next_character(target, (low + high - _PIECE_BYTES) // 2)
        copy = _copy_around(source, target, low, middle, high)
        if copy is None:
            open_ranges += (low, middle), (middle + _PIECE_BYTES, high)
        else:
            copies.append(copy)
            open_ranges += (low, copy.at), (copy.at + copy.size, high)
    return [copy for copy in copies if copy.size]


def _copy_around(source: bytes, target: bytes, low: int, at: int, high: int) -> _Copy | None:
    """What can be copied around the piece at a place of the target, within a range of it."""
    offset = _find(source, target, at)
    if offset < 0:
        return None
    before = _common_end(source, offset, target, at, min(offset, at - low))
    after = _common_start(source, offset, target, at, min(len(source) - offset, high - at))
    if not after:  # a single character that both only share a part of
        return None
    return _Copy(at - before, offset - before, before + after)


def _find(source: bytes, target: bytes, at: int) -> int:
    piece = target[at : at + _PIECE_BYTES]
    # Most that stays is where it was, counted from the beginning or from the end. In a text that
    # repeats itself a search would find it elsewhere, with something else around it.
    for offset in (at, len(source) - len(target) + at):
        if offset >= 0 and source.startswith(piece, offset):
            return offset
    return source.find(piece)


def _common_start(source: bytes, offset: int, target: bytes, at: int, at_most: int) -> int:
    """How many bytes are the same in both from these places on, in whole characters."""
    # Halves of what is not known yet are compared, which C does: far faster than one by one.
    known, unknown = 0, at_most
    while known < unknown:
        middle = (known + unknown + 1) // 2
        here = source[offset + known : offset + middle]
        if here == target[at + known : at + middle]:
            known = middle
        else:
            unknown = middle - 1
    for _ in range(_FOLLOWERS_AT_MOST):
        if known and _is_within(target, at + known):
            known -= 1
    return known


def _common_end(source: bytes, offset: int, target: bytes, at: int, at_most: int) -> int:
    """How many bytes are the same in both up to these places, in whole characters."""
    known, unknown = 0, at_most
    while known < unknown:
        middle = (known + unknown + 1) // 2
        here = source[offset - middle : offset - known]
        if here == target[at - middle : at - known]:
            known = middle
        else:
            unknown = middle - 1
    for _ in range(_FOLLOWERS_AT_MOST):
        if known and _is_within(target, at - known):
            known -= 1
    return known


def _next_character(text: bytes, place: int) -> int:
    for _ in range(_FOLLOWERS_AT_MOST):
        if _is_within(text, place):
            place += 1
    return place


def _is_within(text: bytes, place: int) -> bool:
    """Whether a character goes on at a place."""
    return place < len(text) and text[place] in _FOLLOWS


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
