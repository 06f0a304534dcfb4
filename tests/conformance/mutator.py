"""Frames that are almost right: the vectors', with a few things changed. The same seed, the same
frames.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress

from services.wire.errors import ProtocolError
from tests.conformance.protobuf import translate
from tests.conformance.vectors import FAMILIES

SMALL_BYTES = 2048
LARGE_EVERY = 500
"""One frame in so many is a large one: they take a hundred times as long to read."""
LARGEST_BYTES = 65_536

_PIECES = (
    *(bytes((each,)) for each in b'{}[]",:\\\n\r\t 019-+.eEnutf\x00\x7f\x80\xc3\xe2\xed\xf0\xff'),
    b"null", b"true", b"NaN", b"1e999", b"-0", b"9" * 400, b"18446744073709551616", b"4294967296",
    b'"', b'\\"', b"\\\\", b"\\ud800", b"\\udc00", b"\\u0000", b'"id"', b'"id":0', b'"id":1,',
    b'"channel":', b'"data":', b'"publish":{', b'"connect":{', b'"send":{}', b"{}\n", b"[[[[",
    b"]]]]", b'{"a":', b"}}", b",,", b"\r\n", b"\xed\xa0\x80", b"\xef\xbb\xbf", "你😀".encode(),
)  # fmt: skip

# Keys of all types and of fields that are and are not, lengths that lie, ids, text that is none.
_PROTOBUF_PIECES = (
    *(bytes((each,)) for each in range(0x60)), b"\x80", b"\xff", b"\x80\x01", b"\xff\xff\x03",
    b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"\xff" * 11, b"\x80" * 5 + b"\x00",
    b"\x1b" * 90, b"\x1b\x1c", b"\xa2\x06\x03abc", b"\x08\x00", b"\x08\x01", b"\x00\x00",
    b"\x02\x0a\x00", b"\xed\xa0\x80", b"{}", "你😀".encode(),
)  # fmt: skip


def seeds() -> tuple[list[bytes], list[bytes]]:
    """The vectors' frames, the small and the large ones."""
    frames = {turn.send for vectors in FAMILIES.values() for v in vectors for turn in v.turns}
    ordered = sorted(frames)
    return (
        [frame for frame in ordered if len(frame) <= SMALL_BYTES],
        [frame for frame in ordered if len(frame) > SMALL_BYTES],
    )


def protobuf_seeds() -> tuple[list[bytes], list[bytes]]:
    """Those that can be said in Protobuf, in Protobuf."""
    small, large = seeds()
    return list(_translated(small)), list(_translated(large))


def _translated(frames: list[bytes]) -> Iterator[bytes]:
    for frame in frames:
        with suppress(ProtocolError, ValueError):
            yield translate(frame)


def mutated_frames(seed: int, count: int) -> Iterator[bytes]:
    """So many frames."""
    return _mutated(seed, count, *seeds(), _PIECES, b"\n")


def mutated_protobuf_frames(seed: int, count: int) -> Iterator[bytes]:
    """So many in Protobuf."""
    return _mutated(seed, count, *protobuf_seeds(), _PROTOBUF_PIECES, b"")


def _mutated(
    seed: int,
    count: int,
    small: list[bytes],
    large: list[bytes],
    pieces: Sequence[bytes],
    between: bytes,
) -> Iterator[bytes]:
    source = random.Random(seed)
    for number in range(count):
        frame = bytearray(source.choice(large if number % LARGE_EVERY == 0 else small))
        for _ in range(source.choice((1, 1, 1, 2, 3, 8))):
            _change(frame, source, small, pieces, between)
        yield bytes(frame[:LARGEST_BYTES])


def _change(
    frame: bytearray,
    source: random.Random,
    others: list[bytes],
    pieces: Sequence[bytes],
    between: bytes,
) -> None:
    at = int(source.random() * (len(frame) + 1))
    end = at + int(source.random() ** 3 * 40)
    match int(source.random() * 7):
        case 0:
            frame[at : at + 1] = bytes((int(source.random() * 256),))
        case 1:
            frame[at:at] = source.choice(pieces)
        case 2:
            del frame[at:end]
        case 3:
            frame[at:end] = source.choice(pieces)
        case 4:
            frame[at:at] = frame[at:end] * int(2 + source.random() * 8)
        case 5:
            frame[at:] = between + source.choice(others)
        case _:
            del frame[at:]
