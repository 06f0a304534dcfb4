"""What others publish, as plain clients see it: a text frame each, made by the template `relay`.

Rules
- A client is not told of what it published itself.
- A JSON string arrives as its text, any other payload as the JSON that it is.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import orjson

from services.front.encoding import FRAME_BYTES_AT_MOST, Encoding, Frame, Piece
from services.front.transports.frames import frame_text
from services.template import Template
from services.view.history import Publication
from services.wire.errors import Error
from services.wire.reply import Payload, Push, Result, UnsubscribePush

# As much of a client's id as tells people apart.
_NAME_CHARACTERS: Final = 8
# Whoever publishes without being a client: a backend.
_SERVER: Final = "server"

_STRING: Final = b'"'


class _Author(msgspec.Struct, frozen=True, gc=False):
    """The part of a `ClientInfo` that is shown."""

    user: str = ""
    client: str = ""


_decode_author = msgspec.json.Decoder(_Author | None).decode


class PlainText:
    """See `Language`."""

    def __init__(self, relay: Template) -> None:
        self._relay = relay

    def encode(
        self,
        channel: str,
        publications: Sequence[Publication],
        sequence: int,
        epoch: str,
        previous: Publication | None = None,
    ) -> list[Frame]:
        """See `Encoding.encode`; a text frame for each publication."""
        if self._relay.is_empty:
            return []
        frames: list[Frame] = []
        pieces: list[Piece] = []
        size_bytes = 0
        for publication in publications:
            author = _author(publication.sender)
            content = frame_text(self._sentence(channel, publication, author))
            if pieces and size_bytes + len(content) > FRAME_BYTES_AT_MOST:
                frames.append(_frame(sequence, pieces))
                pieces, size_bytes = [], 0
            pieces.append(Piece(author.client if author is not None else "", content))
            size_bytes += len(content)
        frames.append(_frame(sequence, pieces))
        return frames

    def encode_push(self, channel: str, push: Push) -> bytes:
        """See `Encoding.encode_push`; only the end of a subscription is told."""
        if not isinstance(push, UnsubscribePush):
            return b""
        return frame_text(b"unsubscribed (%d): %b" % (push.code, push.reason.encode()))

    carries_bytes = False
    """See `Language.carries_bytes`: what is no text cannot be told."""

    deltas = None
    """See `Language.deltas`."""

    @property
    def others(self) -> Encoding:
        """See `Language.others`: plain clients never are."""
        return self

    ping = b""
    """See `Language.ping`: plain clients are pinged by the WebSocket's own frames."""

    def encode_reply(self, command_id: int, result: Result) -> bytes:
        """See `Language.encode_reply`; a plain client knows no commands."""
        return b""

    def encode_error(self, command_id: int, error: Error) -> bytes:
        """See `Language.encode_error`."""
        return frame_text(f"error {error.code}: {error.message}".encode())

    def encode_stored(self, publication: Publication, epoch: str) -> Payload:
        """See `Language.encode_stored`."""
        return Payload(publication.data)

    def _sentence(self, channel: str, publication: Publication, author: _Author | None) -> bytes:
        user, client = (author.user, author.client) if author is not None else ("", "")
        return self._relay.render(
            {
                "name": name_of(user, client) if author is not None else _SERVER,
                "user": user,
                "client": client,
                "channel": channel,
                "text": _text(publication.data),
            }
        )


def name_of(user: str, client: str) -> str:
    """What to call a client: its user, or the beginning of its id if it has none."""
    return user or client[:_NAME_CHARACTERS]


def _frame(sequence: int, pieces: list[Piece]) -> Frame:
    content = b"".join(piece.content for piece in pieces)
    return Frame(sequence, content, len(pieces), tuple(pieces))


def _author(sender: bytes) -> _Author | None:
    try:
        author: _Author | None = _decode_author(sender)
    except msgspec.DecodeError:
        return None
    return author


def _text(payload: bytes) -> str:
    # A worker has checked that it is JSON in UTF-8. Should one have checked less, then nobody's
    # fan-out ends for it.
    try:
        return str(orjson.loads(payload)) if payload.startswith(_STRING) else payload.decode()
    except ValueError:
        return payload.decode(errors="replace")
