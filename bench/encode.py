"""What a publication costs in each encoding: `python -m bench.encode`.

Decoding a publish, and encoding the push that a channel's subscribers share; the best of several
rounds, in microseconds.
"""

import sys
import timeit
from collections.abc import Callable
from functools import partial

from services.front.encodings.websocket_json import WEBSOCKET_JSON
from services.front.encodings.websocket_protobuf import WEBSOCKET_PROTOBUF
from services.view.history import Publication
from services.wire import json_codec, protobuf_commands
from tests.conformance.protobuf import translate

TIMES, ROUNDS = 5_000, 7
SENDER = b'{"user":"ada","client":"0c6f1f0a-7d3e-4f0e-9a55-6f1c8d1d2b11"}'


def microseconds(work: Callable[[], object]) -> float:
    """The best time that one call takes."""
    return min(timeit.repeat(work, number=TIMES, repeat=ROUNDS)) / TIMES * 1e6


def main() -> int:
    """Print the table; give the exit code."""
    print(f"{'payload':>10} {'':8} {'json':>8} {'protobuf':>9}")
    for size in (32, 512, 8192):
        data = b'"%b"' % (b"x" * (size - 2))
        publish = b'{"id":7,"publish":{"channel":"chat:room","data":%b}}' % data
        publications = [Publication(12, data, SENDER, 0)]
        rows: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "decode": (
                partial(json_codec.decode_frame, publish),
                partial(protobuf_commands.decode_frame, translate(publish)),
            ),
            "encode": (
                partial(WEBSOCKET_JSON.encode, "chat:room", publications, 1, "e"),
                partial(WEBSOCKET_PROTOBUF.encode, "chat:room", publications, 1, "e"),
            ),
        }
        for name, (in_json, in_protobuf) in rows.items():
            times = microseconds(in_json), microseconds(in_protobuf)
            print(f"{size:>8} B {name:8} {times[0]:>8.2f} {times[1]:>9.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
