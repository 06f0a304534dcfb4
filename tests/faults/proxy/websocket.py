"""Reads along on a client's WebSocket, and tells the moments that a client lives through.

RFC 6455 §5.2. The handshake passes as it comes; a client's frames are masked.
"""

from collections.abc import Iterator
from struct import unpack_from

from tests.faults.proxy.moment import Direction, Moment, Passage

_HANDSHAKE_END = b"\r\n\r\n"
_MASK_BYTES = 4

# Marks of the JSON that is spoken there: a key at a command's, a reply's or a push's own level.
_MOMENTS: dict[Direction, tuple[tuple[bytes, Moment], ...]] = {
    Direction.UP: ((b'"publish":{', Moment.PUBLISH),),
    Direction.DOWN: (
        (b'"recovered":true', Moment.RECOVERY),
        (b'"publish":{', Moment.REPLY),
        (b'"pub":{', Moment.PUSH),
    ),
}


class _FrameReader:
    """Cuts one direction's bytes into frames, after what ends the handshake."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_open = False

    def read(self, content: bytes) -> Iterator[bytes]:
        rest = self._rest + content
        at = 0
        while (length := self._length(rest, at)) is not None and at + length <= len(rest):
            yield rest[at : at + length]
            self._is_open = True
            at += length
        self._rest = rest[at:]

    def _length(self, rest: bytes, at: int) -> int | None:
        if not self._is_open:
            end = rest.find(_HANDSHAKE_END, at)
            return None if end < 0 else end - at + len(_HANDSHAKE_END)
        measured = _measure(rest, at)
        return None if measured is None else sum(measured)


class WebSocketInspector:
    """See `Inspector`; one a connection."""

    def __init__(self) -> None:
        self._readers = {direction: _FrameReader() for direction in Direction}

    def inspect(self, direction: Direction, content: bytes) -> list[Passage]:
        """See `Inspector.inspect`: one passage a frame."""
        frames = self._readers[direction].read(content)
        return [Passage(frame, _look_at(direction, frame)) for frame in frames]


def _look_at(direction: Direction, frame: bytes) -> Moment | None:
    if frame.endswith(_HANDSHAKE_END) and not frame[0] & 0x80:
        return None
    text = _text(frame)
    for mark, moment in _MOMENTS[direction]:
        if mark in text:
            return moment
    return None


def _text(frame: bytes) -> bytes:
    measured = _measure(frame, 0)
    if measured is None:
        raise AssertionError("a frame that is whole has its header")
    header_bytes, _ = measured
    payload = frame[header_bytes:]
    if not frame[1] & 0x80:
        return payload
    mask = frame[header_bytes - _MASK_BYTES : header_bytes]
    repeated = (mask * (len(payload) // _MASK_BYTES + 1))[: len(payload)]
    unmasked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return unmasked.to_bytes(len(payload), "big")


def _measure(content: bytes, at: int) -> tuple[int, int] | None:
    """Give the lengths of the header and of the payload; None if the header is not whole yet."""
    if len(content) - at < 2:
        return None
    length = content[at + 1] & 0x7F
    extended_bytes = {126: 2, 127: 8}.get(length, 0)
    header_bytes = 2 + extended_bytes + (_MASK_BYTES if content[at + 1] & 0x80 else 0)
    if len(content) - at < header_bytes:
        return None
    if extended_bytes:
        length = unpack_from(">H" if extended_bytes == 2 else ">Q", content, at + 2)[0]
    return header_bytes, length
