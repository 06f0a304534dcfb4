"""How a kind of client is told of things: what fan-out and sessions need to know of it.

A publication is encoded once for each encoding that is present among a channel's subscribers, and
all who share it are given the same bytes.

Rules
- An encoding is one object for all its sessions in a process: subscriptions are grouped by it.
- What it makes is complete for the transport: any joining of it is legal.

Not here: the encodings (`encodings`, `plain`), who gets what (`fanout`).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from services.view.history import Publication
from services.wire.errors import Error
from services.wire.reply import Payload, Push, Result

# Larger pieces would only make a client parse for longer before it sees the first publication.
FRAME_BYTES_AT_MOST: Final = 64 * 1024


class Piece(NamedTuple):
    """One publication, and who made it."""

    client: str
    """The client's id; empty for whoever is none."""
    content: bytes
    follows: int = 0
    """The offset of the publication against which it is told; 0 if it is whole."""
    offset: int = 0
    """Its own, where deltas are told."""
    whole: bytes = b""
    """What is sent to whom was not told the publication that it follows."""

    @property
    def size_bytes(self) -> int:
        """How much it keeps."""
        return len(self.content) + (len(self.whole) if self.follows else 0)


class Part(NamedTuple):
    """What one client is sent of a frame."""

    content: bytes
    publications: int
    ends: int
    """The offset of the publication that it was told last then, where deltas are told."""


class Frame(NamedTuple):
    """Some publications of one record, as they are sent."""

    sequence: int
    """The number of the record."""
    content: bytes
    publications: int
    pieces: tuple[Piece, ...] = ()
    """What `content` is made of, where clients are not told of their own publications."""
    follows: int = 0
    """The offset of the publication against which the first is told; 0 if it is whole."""
    ends: int = 0
    """The offset of the last publication, where deltas are told."""
    opening: bytes = b""
    """The same with the first publication whole, where deltas are told."""

    @property
    def size_bytes(self) -> int:
        """How much it keeps."""
        size_bytes = len(self.content) + len(self.opening)
        # A piece that is the whole frame is the same bytes.
        if len(self.pieces) > 1:
            size_bytes += sum(piece.size_bytes for piece in self.pieces)
        return size_bytes

    @property
    def clients(self) -> set[str]:
        """The ids of those who are not told all of it."""
        return {piece.client for piece in self.pieces if piece.client}

    def after(self, told_offset: int) -> bytes:
        """What is sent to whom was told the publication with this offset last."""
        return self.content if self.follows in (0, told_offset) else self.opening

    def without(self, client: str, told_offset: int) -> Part:
        """What is sent to this client, which was told the publication with this offset last."""
        if not self.pieces:
            return Part(self.after(told_offset), self.publications, self.ends)
        contents: list[bytes] = []
        for piece in self.pieces:
            if piece.client == client:
                continue
            contents.append(piece.content if piece.follows in (0, told_offset) else piece.whole)
            told_offset = piece.offset
        return Part(b"".join(contents), len(contents), told_offset)


class Encoding(Protocol):
    """How a kind of client is told of what was not asked for. Nothing here waits."""

    def encode(
        self,
        channel: str,
        publications: Sequence[Publication],
        sequence: int,
        epoch: str,
        previous: Publication | None = None,
    ) -> list[Frame]:
        """A record's publications of one channel, in order; none if they are not told at all.

        `sequence` is the record's number, `epoch` the channel's, and `previous` the publication
        before them, if it is kept.
        """

    def encode_push(self, channel: str, push: Push) -> bytes:
        """Anything else that is sent unasked; empty if this kind of client is not told of it."""


class DeltaEncoding(Encoding, Protocol):
    """How a kind of client is told of what changed from one publication to the next."""

    @property
    def others(self) -> Encoding:
        """The same for subscriptions that are not told what their client published itself."""

    def encode_missed(self, publications: Sequence[Publication], epoch: str) -> list[Payload]:
        """Publications that follow each other, as they stand in a result; the first is whole."""


class Language(Encoding, Protocol):
    """All that a kind of client is told in. Where it has no word for something, that is empty."""

    @property
    def carries_bytes(self) -> bool:
        """Whether a payload is any bytes in it, as it comes and as it is told: not JSON alone."""

    @property
    def deltas(self) -> DeltaEncoding | None:
        """The same language for subscriptions with deltas, if it has them."""

    @property
    def others(self) -> Encoding:
        """The same for subscriptions that are not told what their client published itself."""

    @property
    def ping(self) -> bytes:
        """The protocol's own ping."""

    def encode_reply(self, command_id: int, result: Result) -> bytes:
        """The answer to a command."""

    def encode_error(self, command_id: int, error: Error) -> bytes:
        """The answer that refuses a command."""

    def encode_stored(self, publication: Publication, epoch: str) -> Payload:
        """A publication as it stands in a result: of a history, or of what was missed."""
