"""The client protocol as a session is told in it: a codec, and how the transport wraps replies.

Not here: bytes of a reply (the codecs), of what the transport writes (the modules beside this one).
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from services.front.encoding import FRAME_BYTES_AT_MOST, Frame
from services.view.history import Publication
from services.wire.errors import Error
from services.wire.reply import Payload, Push, Result

_NO_SENDER: Final = b"null"

Wrap = Callable[[Sequence[bytes]], bytes]
"""Makes replies and pushes, one at least, into what the transport writes."""


class Codec(Protocol):
    """What both codecs have: `json_codec`, `protobuf_codec`."""

    PING: bytes

    def encode_reply(self, id: int, result: Result) -> bytes:
        """The reply to a command."""

    def encode_error(self, id: int, error: Error) -> bytes:
        """The reply that refuses a command."""

    def encode_push(self, channel: str, push: Push) -> bytes:
        """A push of anything but a publication."""

    def push_prefix(self, channel: str) -> bytes:
        """What stands before each publication pushed into a channel."""

    def encode_publication_push(self, prefix: bytes, publication: bytes) -> bytes:
        """The push of an encoded publication."""

    def encode_publication(
        self, data: bytes, info: bytes | None = None, offset: int = 0, epoch: str = ""
    ) -> bytes:
        """A publication, for pushes, history and recovery alike."""


class ClientProtocol:
    """See `Language`."""

    def __init__(
        self, codec: Codec, wrap: Wrap, *, carries_bytes: bool, has_ping: bool = True
    ) -> None:
        self._codec = codec
        self._wrap = wrap
        self.carries_bytes: Final = carries_bytes
        self.ping: Final = wrap([codec.PING]) if has_ping else b""

    def encode(
        self, channel: str, publications: Sequence[Publication], sequence: int, epoch: str
    ) -> list[Frame]:
        """See `Encoding.encode`; one frame, or several where they would be large."""
        prefix = self._codec.push_prefix(channel)
        encode_push = self._codec.encode_publication_push
        frames: list[Frame] = []
        pushes: list[bytes] = []
        size_bytes = 0
        for publication in publications:
            push = encode_push(prefix, self._encode_stored(publication, epoch))
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
        return Payload(self._encode_stored(publication, epoch))

    def _encode_stored(self, publication: Publication, epoch: str) -> bytes:
        """A publication of the log as clients get it, for pushes, history and recovery alike.

        A channel's first publication tells the epoch, which begins with it.
        """
        offset, content, sender, _ = publication
        return self._codec.encode_publication(
            content, None if sender == _NO_SENDER else sender, offset, epoch if offset == 1 else ""
        )
