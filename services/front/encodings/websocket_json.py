"""The client protocol in JSON, in WebSocket text frames: what most sessions are told in."""

from typing import Final

from services.front.encoding import Language
from services.front.encodings.client_protocol import ClientProtocol
from services.front.transports.frames import frame_text
from services.wire import json_codec

WEBSOCKET_JSON: Final[Language] = ClientProtocol(
    json_codec,
    lambda replies: frame_text(json_codec.join_replies(replies)),
    carries_bytes=False,
)
