"""What clients of the one-way transports are told, in JSON: pushes without an envelope.

    {"connect":{…}}   {"channel":"c","pub":{…}}   {}   {"disconnect":{…}}

Rules
- The only answer is that to the connect, and it is a push. What is refused ends the session.
- Publications are the same bytes as in the client protocol.

Not here: what such a client sends (`json_codec.decode_connect`).
"""

from typing import Final

import msgspec
import orjson

from services.wire import json_codec
from services.wire.errors import Error
from services.wire.reply import PUSHES, ConnectResult, Push, Result

PING: Final = json_codec.PING

encode_publication = json_codec.encode_publication
quote_data = json_codec.quote_data
mark_delta = json_codec.mark_delta

_encode = msgspec.json.Encoder().encode


def encode_reply(id: int, result: Result) -> bytes:
    """The push that answers a connect; nothing else is asked."""
    assert isinstance(result, ConnectResult)
    # What an SDK is told in order to answer pings, and to send more, is of no use here.
    return encode_push("", msgspec.structs.replace(result, pong=False, node=""))


def encode_error(id: int, error: Error) -> bytes:
    """Nothing: the disconnect that follows is what is told."""
    return b""


def encode_push(channel: str, push: Push) -> bytes:
    """A push of anything but a publication; `channel` is empty where the protocol has none."""
    kind = PUSHES[type(push)].encode()
    if not channel:
        return b'{"%b":%b}' % (kind, _encode(push))
    return b'{"channel":%b,"%b":%b}' % (orjson.dumps(channel), kind, _encode(push))


def push_prefix(channel: str) -> bytes:
    """What stands before each publication pushed into a channel."""
    return b'{"channel":%b,"pub":' % orjson.dumps(channel)


def encode_publication_push(prefix: bytes, publication: bytes) -> bytes:
    """The push of an encoded publication, given the channel's `push_prefix`."""
    return prefix + publication + b"}"
