"""Bare pushes, as the one-way transports write them: WebSocket frames, lines, blocks.

Rules
- Each push is a message of its own for the client: a frame, a line, an event.
- Deltas are not told: a one-way client has no word to ask for them.
"""

from collections.abc import Sequence
from typing import Final

from services.front.encoding import Encoding, Language
from services.front.encodings.client_protocol import ClientProtocol
from services.front.encodings.codec import Wrap
from services.front.encodings.http_json import blocks, lines
from services.front.transports.chunks import frame_chunk
from services.front.transports.frames import frame_ping, frame_text
from services.wire import one_way
from services.wire.errors import Error
from services.wire.reply import Result


class OneWay:
    """See `Language`."""

    carries_bytes: Final = False
    deltas: Final = None

    def __init__(self, wrap: Wrap, native_ping: bytes = b"") -> None:
        pushes = ClientProtocol(one_way, wrap, carries_bytes=False)
        self.encode = pushes.encode
        self.encode_push = pushes.encode_push
        self.encode_stored = pushes.encode_stored
        self._encode_reply = pushes.encode_reply
        self.ping: Final = pushes.ping + native_ping

    @property
    def others(self) -> Encoding:
        """See `Language.others`: a one-way client publishes nothing."""
        return self

    def encode_reply(self, command_id: int, result: Result) -> bytes:
        """See `Language.encode_reply`."""
        return self._encode_reply(command_id, result)

    def encode_error(self, command_id: int, error: Error) -> bytes:
        """See `Language.encode_error`; the disconnect that follows is what is told."""
        return b""


def _frames(pushes: Sequence[bytes]) -> bytes:
    return b"".join(map(frame_text, pushes))


# With each ping one of the WebSocket's own, which whatever speaks WebSockets answers by itself.
ONE_WAY_FRAMES: Final[Language] = OneWay(_frames, frame_ping())
ONE_WAY_LINES: Final[Language] = OneWay(lines)
CHUNKED_ONE_WAY_LINES: Final[Language] = OneWay(lambda pushes: frame_chunk(lines(pushes)))
ONE_WAY_BLOCKS: Final[Language] = OneWay(blocks)
CHUNKED_ONE_WAY_BLOCKS: Final[Language] = OneWay(lambda pushes: frame_chunk(blocks(pushes)))
