"""The client protocol as a session is told in it.

Not here: bytes of a reply (the codecs), of what the transport writes (the modules beside this one).
"""

from collections.abc import Sequence
from typing import Final

from services.front.encoding import FRAME_BYTES_AT_MOST, Frame
from services.front.encodings.codec import Codec, Wrap, encode_stored
from services.front.encodings.deltas import Deltas
from services.front.encodings.others import Others
from services.view.history import Publication
from services.wire.errors import Error
from services.wire.reply import Payload, Push, Result


class ClientProtocol:
    """See `Language`."""

    def __init__(
        self, codec: Codec, wrap: Wrap, *, carries_bytes: bool, has_ping: bool = True
    ) -> None:
        self._codec = codec
        self._wrap = wrap
        self.carries_bytes: Final = carries_bytes
        self.deltas: Final = Deltas(codec, wrap)
        self.others: Final = Others(codec, wrap)
        self.ping: Final = wrap([codec.PING]) if has_ping else b""

    def encode(
        self,
        channel: str,
        publications: Sequence[Publication],
        sequence: int,
        epoch: str,
        previous: Publication | None = None,
    ) -> list[Frame]:
        """See `Encoding.encode`; one frame, or several where they would be large."""
        prefix = self._codec.push_prefix(channel)
        encode_push = self._codec.encode_publication_push
        frames: list[Frame] = []
        pushes: list[bytes] = []
        size_bytes = 0
        for publication in publications:
            push = encode_push(prefix, encode_stored(self._codec, publication, epoch))
            if pushes and size_bytes + len(push) > FRAME_BYTES_AT_MOST:
                frames.append(Frame(sequence, self._wrap(pushes), len(pushes)))
                pushes, size_bytes = [], 0
            pushes.append(push)
            size_bytes += len(push) + 1
        frames.append(Frame(sequence, self._wrap(pushes), len(pushes)))
        return frames

    def encode_push(self, channel: str, push: Push) -> bytes:
        """See `Encoding.encode_push`."""
        return self._wrap([self._codec.encode_push(channel, push)])

    def encode_reply(self, command_id: int, result: Result) -> bytes:
        """See `Language.encode_reply`."""
        return self._wrap([self._codec.encode_reply(command_id, result)])

    def encode_error(self, command_id: int, error: Error) -> bytes:
        """See `Language.encode_error`."""
        return self._wrap([self._codec.encode_error(command_id, error)])

    def encode_stored(self, publication: Publication, epoch: str) -> Payload:
        """See `Language.encode_stored`."""
        return Payload(encode_stored(self._codec, publication, epoch))
