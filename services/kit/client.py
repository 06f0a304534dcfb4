"""A client of a test: a real session, without a network.

It speaks the client protocol as its SDK would over a WebSocket, in JSON or in Protobuf; what
crosses to the test is JSON in both cases, with payloads in base64 if it was Protobuf.
"""

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, Final

import msgspec
from google.protobuf import proto
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from forebay.testing.control import Closed, Told
from services.front.arrival import Arrival
from services.front.encodings.http_json import LINES
from services.front.encodings.http_protobuf import MESSAGES
from services.front.outbox import Outbox
from services.front.parts import Parts
from services.front.receiving import receive
from services.front.session import Session
from services.wire import client_pb2
from services.wire.protobuf_commands import decode_frame

# As every client's of tests, from those that are kept for documents (RFC 5737).
_REMOTE: Final = "192.0.2.1"

_TOO_BIG: Final = 1009, "message too big"
"""RFC 6455 §7.4.1; it is the transport's limit, and not the session's."""


class _Answered(msgspec.Struct):
    id: int = 0


_answered = msgspec.json.Decoder(_Answered)


class KitClient:
    """The transport and the line under a session, and what came by them."""

    pings_by_frame: Final = False
    answers_pings: Final = True
    remote: Final = _REMOTE

    def __init__(
        self, parts: Parts, number: int, headers: Mapping[str, str], *, is_binary: bool
    ) -> None:
        self._number = number
        self._is_binary = is_binary
        self._limit_bytes = parts.config.client.message_size_limit
        self._told: list[bytes] = []
        self._unanswered: set[int] = set()
        self._closed: Closed | None = None
        self._is_closing = False
        self._outbox = Outbox(self, parts.flusher, parts.config.client.queue_max_size)
        self._session = Session(parts, self, self._outbox, MESSAGES if is_binary else LINES)
        named = map(str.lower, parts.config.app.connect_headers)
        seen = {name: headers[name] for name in named if name in headers}
        self._session.arrival = Arrival("websocket", "", seen)

    @property
    def is_answered(self) -> bool:
        """Whether it waits for nothing."""
        return not self._unanswered or self._is_closing

    async def say(self, command: bytes) -> None:
        """Carry out a command.

        Cancelling: it may be carried out in part.
        """
        number = _answered.decode(command).id
        if number:
            self._unanswered.add(number)
        frame = _to_protobuf(command) if self._is_binary else command
        if len(frame) > self._limit_bytes:
            self._end(*_TOO_BIG)
        elif self._is_binary:
            await receive(self._session, frame, decode_frame)
        else:
            await receive(self._session, frame)

    def leave(self) -> None:
        """Be gone."""
        self._is_closing = True
        self._session.leave()
        self._outbox.close()

    def take_told(self) -> Told | None:
        """Give what it was sent since the last time."""
        told, self._told = self._told, []
        return Told(self._number, b"\n".join(told)) if told else None

    def take_closed(self) -> Closed | None:
        """Give how the server ended it; once."""
        closed, self._closed = self._closed, None
        return closed

    # ---- the line

    def close(self, code: int, reason: str, *, is_slow: bool) -> None:
        """See `session.Line.close`."""
        self._end(code, reason)

    def _end(self, code: int, reason: str) -> None:
        self._closed = Closed(self._number, int(code), reason)
        self._outbox.close()
        self.leave()

    # ---- the transport

    def write(self, data: bytes, /) -> None:
        """Take what a WebSocket would carry to the client."""
        replies = _read_messages(data) if self._is_binary else data.splitlines()
        for reply in replies:
            if reply == b"{}":
                # SDKs answer pings by themselves.
                self._session.take_pong()
                continue
            self._unanswered.discard(_answered.decode(reply).id)
            self._told.append(reply)

    def get_write_buffer_size(self) -> int:
        """Nothing waits: it reads at once."""
        return 0

    def is_closing(self) -> bool:
        """Whether it is gone."""
        return self._is_closing


def _to_protobuf(command: bytes) -> bytes:
    frame = BytesIO()
    message = ParseDict(msgspec.json.decode(command), client_pb2.Command())
    proto.serialize_length_prefixed(message, frame)
    return frame.getvalue()


def _read_messages(data: bytes) -> Iterator[bytes]:
    """Replies in Protobuf, each behind its length, as JSON."""
    stream = BytesIO(data)
    while (reply := proto.parse_length_prefixed(client_pb2.Reply, stream)) is not None:
        yield msgspec.json.encode(_value_of(reply))


def _value_of(message: Message) -> dict[str, Any]:
    """A message as the JSON encoding has it, with bytes for payloads."""
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            found[field.name] = {key: _single(each) for key, each in value.items()}
        elif isinstance(value, str | bytes | int | Message):
            found[field.name] = _single(value)
        else:
            found[field.name] = [_single(each) for each in value]
    return found


def _single(value: Any) -> Any:
    return _value_of(value) if isinstance(value, Message) else value
