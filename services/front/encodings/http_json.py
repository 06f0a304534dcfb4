"""The client protocol in JSON over HTTP: lines of a streamed response, and blocks of an SSE one.

Each comes in two forms: as chunks of HTTP/1.1's chunked transfer coding, so that what is made once
for everybody is written as it is, and bare, for HTTP/1.0, which knows no chunks.
"""

from collections.abc import Sequence
from typing import Final

from services.front.encoding import Language
from services.front.encodings.client_protocol import ClientProtocol
from services.front.encodings.codec import Wrap
from services.front.transports.chunks import frame_chunk
from services.wire import json_codec


def lines(replies: Sequence[bytes]) -> bytes:
    """A line for each."""
    return b"\n".join([*replies, b""])


def blocks(replies: Sequence[bytes]) -> bytes:
    """An event for each."""
    # No reply has a line break in it (WHATWG HTML §9.2.6).
    return b"".join(b"data: %b\n\n" % reply for reply in replies)


def _json(wrap: Wrap) -> Language:
    return ClientProtocol(json_codec, wrap, carries_bytes=False)


LINES: Final[Language] = _json(lines)
CHUNKED_LINES: Final[Language] = _json(lambda replies: frame_chunk(lines(replies)))
BLOCKS: Final[Language] = _json(blocks)
CHUNKED_BLOCKS: Final[Language] = _json(lambda replies: frame_chunk(blocks(replies)))
POLLED_LINES: Final[Language] = ClientProtocol(
    # Who polls is heard of often enough.
    json_codec,
    lines,
    carries_bytes=False,
    has_ping=False,
)
