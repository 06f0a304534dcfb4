"""Reads a million mutated frames, and the frames that take longest: `python -m bench.decode`.

The frames under `HOSTILE` are the worst that were found for 64 KiB; each is read several times and
its best time counts, which is what the decoder needs on a processor of its own. Exit code 1 if one
takes longer than it may.
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from services.wire.errors import ProtocolError
from services.wire.json_codec import decode_frame
from tests.conformance.fuzzing import read
from tests.conformance.mutator import mutated_frames

FRAME_BYTES = 65_536
LONGEST_SECONDS = 0.005
ROUNDS = 15
A_SHARE = 25_000


def _filled(head: bytes, unit: bytes, tail: bytes = b"") -> bytes:
    return head + unit * ((FRAME_BYTES - len(head) - len(tail)) // len(unit)) + tail


_DATA = b'{"id":1,"publish":{"channel":"c","data":'
_ODD = b'"\\ud800"'


def _numbered(unit: bytes, separator: bytes) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size < FRAME_BYTES - 200:
        parts.append(unit % len(parts))
        size += len(parts[-1]) + 1
    return separator.join(parts)


HOSTILE = {
    "brackets": _filled(_DATA, b"["),
    "brackets that close": _DATA + b"[" * 32_000 + b"]" * 32_000 + b"}}",
    "pairs of brackets, odd": _filled(_DATA + b"[", b"[],", _ODD + b"]}}"),
    "nested pairs of brackets, odd": _filled(_DATA + b"[", b"[[]],", _ODD + b"]}}"),
    "kinds of brackets in turn": _filled(_DATA, b"{["),
    "empty strings, odd": _filled(_DATA + b"[", b'"",', _ODD + b"]}}"),
    "strings in nested arrays": _filled(_DATA, b'["",'),
    "members, odd": _filled(_DATA + _ODD, b',"":0', b"}}"),
    "members of the command, odd": _filled(_DATA + _ODD + b"}", b',"":0', b"}"),
    "escaped quotes, odd": _filled(_DATA + b'"\\ud800', b'\\"', b'"}}'),
    "objects 1,900 levels deep": _DATA + b'{"a":' * 1900 + b"1" + b"}" * 1900 + b"}}",
    "nested objects without end": _filled(_DATA, b'{"":'),
    "pongs": _filled(b"", b"{}\n"),
    "2,040 pongs and an odd command": b"{}\n" * 2040 + _DATA + b'"\\ud800' + b"x" * 59_000 + b'"}}',
    "odd commands": _filled(b"", b'{"id":1,"rpc":{"data":"\\ud800"}}\n'),
    "commands with nulls": _filled(b"", b'{"id":1,"rpc":{"data":1,"method":null}}\n'),
    "odd commands and blank lines": _filled(b"", b'{"id":1,"rpc":{"data":NaN}}\n \n'),
    "subscribes": _numbered(b'{"id":1%d,"subscribe":{"channel":"c"}}', b"\n"),
    "positions": b'{"id":1,"connect":{"subs":{' + _numbered(b'"%d":{}', b",") + b"}}}",
    "positions and a null": b'{"id":1,"connect":{"token":null,"subs":{'
    + _numbered(b'"%d":{}', b",")
    + b"}}}",
    "tracks": _filled(b'{"id":1,"sub_refresh":{"track":[0', b",0", b"]}}"),
    "newlines within": _filled(_DATA + b"[", b"[],\n", b"[]]}}"),
    "an integer as long as the frame": _filled(b'{"id":1,"history":{"limit":', b"9", b"}}"),
    "a fraction as long as the frame": _filled(b'{"id":1,"history":{"limit":1.', b"1", b"}}"),
    "digits without end": _filled(_DATA, b"9"),
    "letters without end": _filled(_DATA + b'"\\ud800",', b"x"),
    "a string without end": _filled(_DATA + b'"', b"x"),
    "escapes without end": _filled(_DATA + b'"', b"\\x"),
    "backslashes": _filled(_DATA + b'"', b"\\"),
    "colons": _filled(_DATA, b":"),
    "keys without values": _filled(b'{"id":1', b',"":'),
    "white space in an odd object": _filled(_DATA + _ODD, b" "),
    "white space before a member": _filled(b'{"id":1,', b" ", b'x"rpc":NaN}'),
    "an id as long as the frame": _filled(b'{"id":', b"9", b',"rpc":{}}'),
    "blank lines": _filled(b'{"id":1,"rpc":{"data":NaN}}', b"\n ", b"x"),
    "spaces": _filled(b'{"id":1', b" ", b"}x"),
}


def measure(frame: bytes, rounds: int = ROUNDS) -> float:
    """The best time that reading a frame took, in seconds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        with contextlib.suppress(ProtocolError):
            decode_frame(frame)
        best = min(best, time.perf_counter() - began)
    return best


def fuzz(seed: int) -> tuple[float, bytes]:
    """Read a share of mutated frames; give the longest time one takes, and that frame."""
    longest, slowest = 0.0, b""
    for frame in mutated_frames(seed, A_SHARE):
        began = time.perf_counter()
        read(frame)
        if time.perf_counter() - began > longest:
            # Once more: most often it was the processor that was somewhere else.
            taken = measure(frame, 3)
            if taken > longest:
                longest, slowest = taken, frame
    return longest, slowest


def _shares(frames: int) -> Iterator[int]:
    yield from range(1, frames // A_SHARE + 1)


def main() -> int:
    """Read the command line; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.decode", description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    asked = parser.parse_args()
    began = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        slowest = max(pool.map(fuzz, _shares(asked.frames)), default=(0.0, b""))
    print(f"{asked.frames:,} mutated frames in {time.perf_counter() - began:.0f} s")
    times = {name: measure(frame) for name, frame in HOSTILE.items()}
    times["the slowest of the mutated"] = measure(slowest[1])
    for name, seconds in sorted(times.items(), key=lambda item: -item[1]):
        print(f"{seconds * 1000:7.2f} ms  {name}")
    return 1 if max(times.values()) > LONGEST_SECONDS else 0


if __name__ == "__main__":
    sys.exit(main())
