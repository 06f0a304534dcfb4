"""Publications as differences: told to clients that asked for it, in each of the encodings.

Rules
- Each publication is told as a delta against the one that was told before it, which is the one
  before it in the channel, unless what lies between is not told at all (`conflation`); or whole,
  where there is none at hand, or a delta saves nothing.
- All of a channel's subscribers share the same bytes. Who was not told the publication before, for
  it has just subscribed, is given the same with the first one whole (`Frame.opening`); and so is
  whatever follows one's own, if that is not told (`Piece.whole`).
- What is in a history is never a difference; what is recovered may be, but for the first.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from services.front.encoding import FRAME_BYTES_AT_MOST, Encoding, Frame, Piece
from services.front.encodings.codec import Codec, Wrap, encode_stored, encode_with_epoch
from services.front.encodings.others import client_of
from services.view.history import Publication
from services.wire.fossil import encode_delta
from services.wire.reply import Payload, Push

# What a publication says of being a delta, in JSON: `,"delta":true`.
_MARK_BYTES: Final = 13


class _Told(NamedTuple):
    """A publication as it is told."""

    publication: Publication
    content: bytes
    follows: int
    """The offset of the publication against which it is told; 0 if it is whole."""


class _Pushed(NamedTuple):
    told: _Told
    push: bytes


class Deltas:
    """See `DeltaEncoding`."""

    def __init__(self, codec: Codec, wrap: Wrap, *, in_pieces: bool = False) -> None:
        """`in_pieces` for those who are not told what they published themselves."""
        self._codec = codec
        self._wrap = wrap
        self._in_pieces = in_pieces
        self.others: Final[Encoding] = self if in_pieces else Deltas(codec, wrap, in_pieces=True)

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
        told = self._told(publications, epoch, previous)
        return [self._frame(prefix, page, sequence, epoch) for page in self._pages(prefix, told)]

    def encode_push(self, channel: str, push: Push) -> bytes:
        """See `Encoding.encode_push`."""
        return self._wrap([self._codec.encode_push(channel, push)])

    def encode_missed(self, publications: Sequence[Publication], epoch: str) -> list[Payload]:
        """See `DeltaEncoding.encode_missed`."""
        return [Payload(told.content) for told in self._told(publications, epoch, None)]

    def _pages(self, prefix: bytes, told: Iterable[_Told]) -> Iterator[list[_Pushed]]:
        """What is pushed, in frames that are not too large."""
        page: list[_Pushed] = []
        size_bytes = 0
        for each in told:
            push = self._codec.encode_publication_push(prefix, each.content)
            if page and size_bytes + len(push) > FRAME_BYTES_AT_MOST:
                yield page
                page, size_bytes = [], 0
            page.append(_Pushed(each, push))
            size_bytes += len(push) + 1
        yield page

    def _frame(self, prefix: bytes, page: list[_Pushed], sequence: int, epoch: str) -> Frame:
        first, pushes = page[0].told, [pushed.push for pushed in page]
        content = opening = self._wrap(pushes)
        if first.follows:
            whole = self._whole(first.publication, epoch)
            pushes[0] = self._codec.encode_publication_push(prefix, whole)
            opening = self._wrap(pushes)
        return Frame(
            sequence,
            content,
            len(pushes),
            self._pieces(prefix, page, epoch) if self._in_pieces else (),
            follows=first.follows,
            ends=page[-1].told.publication.offset,
            opening=opening,
        )

    def _pieces(self, prefix: bytes, page: list[_Pushed], epoch: str) -> tuple[Piece, ...]:
        return tuple(self._piece(prefix, *pushed, epoch) for pushed in page)

    def _piece(self, prefix: bytes, told: _Told, push: bytes, epoch: str) -> Piece:
        publication = told.publication
        content = whole = self._wrap([push])
        if told.follows:
            of_whole = self._whole(publication, epoch)
            whole = self._wrap([self._codec.encode_publication_push(prefix, of_whole)])
        client = client_of(publication.sender)
        return Piece(client, content, told.follows, publication.offset, whole)

    def _told(
        self, publications: Sequence[Publication], epoch: str, previous: Publication | None
    ) -> Iterator[_Told]:
        for publication in publications:
            delta = _delta(previous, publication)
            if delta is None:
                yield _Told(publication, self._whole(publication, epoch), 0)
            else:
                encoded = self._codec.mark_delta(self._encode(publication, delta[1], epoch))
                yield _Told(publication, encoded, delta[0])
            previous = publication

    def _whole(self, publication: Publication, epoch: str) -> bytes:
        return self._encode(publication, publication.data, epoch)

    def _encode(self, publication: Publication, data: bytes, epoch: str) -> bytes:
        quoted = publication._replace(data=self._codec.quote_data(data))
        if self._in_pieces:
            return encode_with_epoch(self._codec, quoted, epoch)
        return encode_stored(self._codec, quoted, epoch)


def _delta(previous: Publication | None, publication: Publication) -> tuple[int, bytes] | None:
    """What changed and since which offset, if that is shorter to tell."""
    if previous is None or not 0 < previous.offset < publication.offset:
        return None
    delta = encode_delta(previous.data, publication.data)
    if delta is None or len(delta) + _MARK_BYTES >= len(publication.data):
        return None
    return previous.offset, delta
