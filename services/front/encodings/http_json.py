"""The client protocol in JSON over HTTP: lines of a streamed response, and blocks of an SSE one.

Each comes in two forms: as chunks of HTTP/1.1's chunked transfer coding, so that what is made once
for everybody is written as it is, and bare, for HTTP/1.0, which knows no chunks.
"""

from collections.abc import Callable, Sequence
from typing import Final

from services.front.encoding import FRAME_BYTES_AT_MOST, Frame, Language
from services.front.transports.chunks import frame_chunk
from services.view.history import Publication
from services.wire.errors import Error
from services.wire.json_codec import (
    PING,
    encode_error,
    encode_publication,
    encode_publication_push,
    encode_push,
    encode_reply,
    push_prefix,
)
from services.wire.reply import Payload, Push, Result

_NO_SENDER: Final = b"null"

Wrap = Callable[[Sequence[bytes]], bytes]
"""Makes replies and pushes, one at least, into what the transport writes."""


class HttpJson:
    """See `Language`."""

    carries_bytes: Final = False

    def __init__(self, wrap: Wrap, *, has_ping: bool = True) -> None:
        self._wrap = wrap
        self.ping: Final = wrap([PING]) if has_ping else b""

    def encode(
        self, channel: str, publications: Sequence[Publication], sequence: int, epoch: str
    ) -> list[Frame]:
        """See `Encoding.encode`; one frame, or several where they would be large."""
        prefix = push_prefix(channel)
        frames: list[Frame] = []
        pushes: list[bytes] = []
        size_bytes = 0
        for publication in publications:
            push = encode_publication_push(prefix, _encode_stored(publication, epoch))
            if pushes and size_bytes + len(push) > FRAME_BYTES_AT_MOST:
                frames.append(Frame(sequence, self._wrap(pushes), len(pushes)))
                pushes, size_bytes = [], 0
            pushes.append(push)
            size_bytes += len(push) + 1
        frames.append(Frame(sequence, self._wrap(pushes), len(pushes)))
        return frames

    def encode_push(self, channel: str, push: Push) -> bytes:
        """See `Encoding.encode_push`."""
        return self._wrap([encode_push(channel, push)])

    def encode_reply(self, command_id: int, result: Result) -> bytes:
        """See `Language.encode_reply`."""
        return self._wrap([encode_reply(command_id, result)])

    def encode_error(self, command_id: int, error: Error) -> bytes:
        """See `Language.encode_error`."""
        return self._wrap([encode_error(command_id, error)])

    def encode_stored(self, publication: Publication, epoch: str) -> Payload:
        """See `Language.encode_stored`."""
        return Payload(_encode_stored(publication, epoch))


def _lines(replies: Sequence[bytes]) -> bytes:
    return b"\n".join([*replies, b""])


def _blocks(replies: Sequence[bytes]) -> bytes:
    # No reply has a line break in it (WHATWG HTML §9.2.6).
    return b"".join(b"data: %b\n\n" % reply for reply in replies)


def _encode_stored(publication: Publication, epoch: str) -> bytes:
    offset, content, sender, _ = publication
    return encode_publication(
        content, None if sender == _NO_SENDER else sender, offset, epoch if offset == 1 else ""
    )


LINES: Final[Language] = HttpJson(_lines)
CHUNKED_LINES: Final[Language] = HttpJson(lambda replies: frame_chunk(_lines(replies)))
BLOCKS: Final[Language] = HttpJson(_blocks)
CHUNKED_BLOCKS: Final[Language] = HttpJson(lambda replies: frame_chunk(_blocks(replies)))
