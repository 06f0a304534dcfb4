"""The client protocol in JSON, in WebSocket text frames: what most sessions are told in."""

from collections.abc import Sequence
from typing import Final

from services.front.encoding import FRAME_BYTES_AT_MOST, Encoding, Frame
from services.front.transports.frames import frame_text
from services.view.history import Publication
from services.wire.json_codec import (
    encode_publication,
    encode_publication_push,
    encode_push,
    join_replies,
    push_prefix,
)
from services.wire.reply import Push

_NO_SENDER: Final = b"null"


class WebSocketJson:
    """See `Encoding`."""

    def encode(
        self, channel: str, publications: Sequence[Publication], sequence: int, epoch: str
    ) -> list[Frame]:
        """See `Encoding.encode`; one frame, or several where they would be large."""
        prefix = push_prefix(channel)
        frames: list[Frame] = []
        pushes: list[bytes] = []
        size_bytes = 0
        for publication in publications:
            push = encode_publication_push(prefix, encode_stored(publication, epoch))
            if pushes and size_bytes + len(push) > FRAME_BYTES_AT_MOST:
                frames.append(Frame(sequence, frame_text(join_replies(pushes)), len(pushes)))
                pushes, size_bytes = [], 0
            pushes.append(push)
            size_bytes += len(push) + 1
        frames.append(Frame(sequence, frame_text(join_replies(pushes)), len(pushes)))
        return frames

    def encode_push(self, channel: str, push: Push) -> bytes:
        """See `Encoding.encode_push`."""
        return frame_text(encode_push(channel, push))


WEBSOCKET_JSON: Final[Encoding] = WebSocketJson()


def encode_stored(publication: Publication, epoch: str = "") -> bytes:
    """A publication of the log as clients get it, for pushes, history and recovery alike.

    A channel's first publication tells the epoch, which begins with it.
    """
    offset, content, sender, _ = publication
    return encode_publication(
        content, None if sender == _NO_SENDER else sender, offset, epoch if offset == 1 else ""
    )
