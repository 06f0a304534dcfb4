"""The client protocol in Protobuf, in WebSocket binary frames."""

from typing import Final

from services.front.encoding import Language
from services.front.encodings.client_protocol import ClientProtocol
from services.front.transports.frames import frame_binary
from services.wire import protobuf_codec

WEBSOCKET_PROTOBUF: Final[Language] = ClientProtocol(
    protobuf_codec,
    lambda replies: frame_binary(protobuf_codec.join_replies(replies)),
    carries_bytes=True,
)
