"""Which payloads a session may send and be told: JSON or any bytes, as a channel's namespace says.

Rules
- Who follows a channel, publishes to it or reads its history can be told what is in it: a session
  in JSON has no word for bytes that are no JSON.
- What goes on to a channel of JSON can stand in a reply as it is, on one line. Where a decoder has
  read its strings nothing needs parsing for that; where none has, it is parsed here. (A worker
  checks it again, as it does everybody's.)
"""

from typing import Final

from services.front.encoding import Language
from services.settings import ChannelOptions
from services.wire.errors import ErrorCode, Refusal
from services.wire.payload import one_line, validate_payload

_NO_WORD: Final = ErrorCode.NOT_AVAILABLE.explained(
    "this channel's data is binary, which only the Protobuf protocol carries"
)

_NOTHING: Final = b"null"


def check_readable(language: Language, options: ChannelOptions) -> None:
    """Whether what is in a channel can be told in a language.

    Raises:
        Refusal: it cannot.
    """
    if options.is_binary and not language.carries_bytes:
        raise Refusal(_NO_WORD)


def take_payload(raw: bytes, language: Language, options: ChannelOptions) -> bytes:
    """What a client sent for a channel, as it goes on.

    Raises:
        Refusal: there is nothing, or the channel's data is JSON and this is none.
    """
    if not raw:
        raise Refusal(ErrorCode.BAD_REQUEST.explained("data is missing"))
    if options.is_binary:
        return raw
    if language.carries_bytes:
        error = validate_payload(raw)
        if error is not None:
            raise Refusal(error)
    return one_line(raw)


def take_json(raw: bytes) -> bytes:
    """What a client sent for the team's handlers, as it goes on; `null` for nothing.

    Raises:
        Refusal: it is no JSON.
    """
    if not raw:
        return _NOTHING
    error = validate_payload(raw)
    if error is not None:
        raise Refusal(error)
    return one_line(raw)
