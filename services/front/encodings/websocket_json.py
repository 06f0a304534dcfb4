"""The client protocol in JSON, in WebSocket text frames: what most sessions are told in."""

from collections.abc import Sequence
from typing import Final

from services.front.encoding import FRAME_BYTES_AT_MOST, Frame, Language
from services.front.transports.frames import frame_text
from services.view.history import Publication
from services.wire.errors import Error
from services.wire.json_codec import (
    PING,
    encode_error,
    encode_publication,
    encode_publication_push,
    encode_push,
    encode_reply,
    join_replies,
    push_prefix,
)
from services.wire.reply import Payload, Push, Result

_NO_SENDER: Final = b"null"


class WebSocketJson:
    """See `Language`."""

    carries_bytes: Final = False
    ping: Final = frame_text(PING)

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
                frames.append(Frame(sequence, frame_text(join_replies(pushes)), len(pushes)))
                pushes, size_bytes = [], 0
            pushes.append(push)
            size_bytes += len(push) + 1
        frames.append(Frame(sequence, frame_text(join_replies(pushes)), len(pushes)))
        return frames

    def encode_push(self, channel: str, push: Push) -> bytes:
        """See `Encoding.encode_push`."""
        return frame_text(encode_push(channel, push))

    def encode_reply(self, command_id: int, result: Result) -> bytes:
        """See `Language.encode_reply`."""
        return frame_text(encode_reply(command_id, result))

    def encode_error(self, command_id: int, error: Error) -> bytes:
        """See `Language.encode_error`."""
        return frame_text(encode_error(command_id, error))

    def encode_stored(self, publication: Publication, epoch: str) -> Payload:
        """See `Language.encode_stored`."""
        return Payload(_encode_stored(publication, epoch))


WEBSOCKET_JSON: Final[Language] = WebSocketJson()


def _encode_stored(publication: Publication, epoch: str) -> bytes:
    """A publication of the log as clients get it, for pushes, history and recovery alike.

    A channel's first publication tells the epoch, which begins with it.
    """
    offset, content, sender, _ = publication
    return encode_publication(
        content, None if sender == _NO_SENDER else sender, offset, epoch if offset == 1 else ""
    )
