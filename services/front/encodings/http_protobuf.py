"""The client protocol in Protobuf over HTTP: messages of a streamed response.

In two forms, as the JSON ones are (`http_json`): as chunks, and bare for HTTP/1.0.
"""

from typing import Final

from services.front.encoding import Language
from services.front.encodings.client_protocol import ClientProtocol
from services.front.transports.chunks import frame_chunk
from services.wire import protobuf_codec

MESSAGES: Final[Language] = ClientProtocol(
    protobuf_codec, protobuf_codec.join_replies, carries_bytes=True
)
CHUNKED_MESSAGES: Final[Language] = ClientProtocol(
    protobuf_codec,
    lambda replies: frame_chunk(protobuf_codec.join_replies(replies)),
    carries_bytes=True,
)
