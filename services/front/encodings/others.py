"""The client protocol for those who are not told what they published themselves.

Rules
- It is the client that counts, not its user: the id in the publication's ClientInfo.
- Every publication that has an offset tells the epoch: who made the channel's first one is not told
  of it, and would not learn what begins with it.
"""

from collections.abc import Iterator, Sequence

import msgspec

from services.front.encoding import FRAME_BYTES_AT_MOST, Frame, Piece
from services.front.encodings.codec import Codec, Wrap, encode_with_epoch
from services.view.history import Publication
from services.wire.reply import Push


class _Maker(msgspec.Struct, frozen=True, gc=False):
    """The part of a `ClientInfo` that tells clients apart."""

    client: str = ""


_NOBODY = _Maker()
_decode_maker = msgspec.json.Decoder(_Maker | None).decode


def client_of(sender: bytes) -> str:
    """The id of the client that made a publication; empty if none did, or it cannot be read."""
    try:
        maker: _Maker | None = _decode_maker(sender)
    except msgspec.DecodeError:
        return ""
    return (maker or _NOBODY).client


class Others:
    """See `Encoding`."""

    def __init__(self, codec: Codec, wrap: Wrap) -> None:
        self._codec = codec
        self._wrap = wrap

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
        return [self._frame(page, sequence) for page in self._pages(prefix, publications, epoch)]

    def encode_push(self, channel: str, push: Push) -> bytes:
        """See `Encoding.encode_push`."""
        return self._wrap([self._codec.encode_push(channel, push)])

    def _pages(
        self, prefix: bytes, publications: Sequence[Publication], epoch: str
    ) -> Iterator[list[tuple[str, bytes]]]:
        """Clients and what they made, in frames that are not too large."""
        page: list[tuple[str, bytes]] = []
        size_bytes = 0
        for publication in publications:
            told = encode_with_epoch(self._codec, publication, epoch)
            push = self._codec.encode_publication_push(prefix, told)
            if page and size_bytes + len(push) > FRAME_BYTES_AT_MOST:
                yield page
                page, size_bytes = [], 0
            page.append((client_of(publication.sender), push))
            size_bytes += len(push) + 1
        yield page

    def _frame(self, page: list[tuple[str, bytes]], sequence: int) -> Frame:
        content = self._wrap([push for _, push in page])
        if len(page) == 1:
            return Frame(sequence, content, 1, (Piece(page[0][0], content),))
        pieces = tuple(Piece(client, self._wrap([push])) for client, push in page)
        return Frame(sequence, content, len(page), pieces)
