"""What the client protocol's encodings share: a codec, and how the transport wraps replies.

Not here: bytes of a reply (the codecs), of what the transport writes (the modules beside this one).
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from services.view.history import Publication
from services.wire.errors import Error
from services.wire.reply import Push, Result

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

    def quote_data(self, data: bytes) -> bytes:
        """A payload, or a delta, as the data of a publication where deltas are told."""

    def mark_delta(self, publication: bytes) -> bytes:
        """An encoded publication whose data is a delta, with the word that it is."""


def encode_stored(codec: Codec, publication: Publication, epoch: str) -> bytes:
    """A publication of the log as clients get it, for pushes, history and recovery alike.

    A channel's first publication tells the epoch, which begins with it.
    """
    offset, content, sender, _ = publication
    return codec.encode_publication(
        content, None if sender == _NO_SENDER else sender, offset, epoch if offset == 1 else ""
    )


def encode_with_epoch(codec: Codec, publication: Publication, epoch: str) -> bytes:
    """The same, but every publication that has an offset tells the epoch."""
    offset, content, sender, _ = publication
    return codec.encode_publication(
        content, None if sender == _NO_SENDER else sender, offset, epoch if offset else ""
    )
