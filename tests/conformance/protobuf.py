"""The client's side of the Protobuf encoding, apart from the codec under test: it goes by the
generated classes alone.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from google.protobuf.message import Message

from services.wire import client_pb2
from services.wire.command import Command, Malformed, Position, SubscribeRequest, method_of
from services.wire.json_codec import decode_frame
from tests.conformance.client import BINARY, CLOSE, ConnectionEnded, RawClient, frame

PATH: Final = "/connection/websocket?format=protobuf"

_RENAMED: Final = {"dictionary": "dict"}
_PAYLOADS: Final = frozenset(("data", "conn_info", "chan_info"))
# What JSON has with its zero value too, which Protobuf leaves out.
_ALWAYS: Final[Mapping[str, Mapping[str, Any]]] = {
    "ClientInfo": {"user": "", "client": ""},
    "HistoryResult": {"publications": [], "epoch": "", "offset": 0},
    "PresenceResult": {"presence": {}},
    "PresenceStatsResult": {"num_clients": 0, "num_users": 0},
}


def delimited(content: bytes) -> bytes:
    """A message behind its length."""
    size, head = len(content), bytearray()
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes((*head, size)) + content


def cut(content: bytes) -> list[bytes]:
    """The messages that lie behind each other, each behind its length."""
    found, at = [], 0
    while at < len(content):
        size = shift = 0
        while True:
            byte = content[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        assert at + size <= len(content)
        found.append(content[at : at + size])
        at += size
    return found


def encode_commands(commands: Sequence[Command]) -> bytes:
    """A frame with these commands."""
    return b"".join(delimited(_message_of(command).SerializeToString()) for command in commands)


def translate(text: bytes) -> bytes:
    """A text frame's commands as a binary frame.

    Raises:
        ProtocolError: they are no commands.
        ValueError: one of them is odd in a way that JSON alone has.
    """
    return encode_commands(decode_frame(text))


def read_replies(content: bytes) -> list[Any]:
    """A frame's replies as the JSON encoding has them."""
    return [_value_of(client_pb2.Reply.FromString(each)) for each in cut(content)]


def _message_of(command: Command) -> client_pb2.Command:
    message = client_pb2.Command(id=command.id)
    request = command.request
    if isinstance(request, Malformed):
        raise ValueError("malformed")  # noqa: TRY004  (the value has the right type)
    if request is not None:
        into = getattr(message, method_of(request))
        into.SetInParent()
        _fill(into, request)
    return message


def _fill(message: Message, request: msgspec.Struct) -> None:
    for name in request.__struct_fields__:
        value, name = getattr(request, name), _RENAMED.get(name, name)
        match value:
            case None:
                pass
            case msgspec.Raw():
                setattr(message, name, bytes(value))
            case Position():
                _fill(getattr(message, name), value)
                getattr(message, name).SetInParent()
            case dict():
                _fill_map(getattr(message, name), value)
            case list():
                into = getattr(message, name)
                into.extend(bytes(v) if isinstance(v, msgspec.Raw) else v for v in value)
            case _:
                setattr(message, name, value)


def _fill_map(into: Any, entries: dict[str, Any]) -> None:
    for key, value in entries.items():
        if isinstance(value, SubscribeRequest):
            into[key].SetInParent()
            _fill(into[key], value)
        else:
            into[key] = value


def _value_of(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            found[field.name] = {k: _single(field.name, v) for k, v in value.items()}
        elif isinstance(value, str | bytes | int | Message):
            found[field.name] = _single(field.name, value)
        else:
            found[field.name] = [_single(field.name, each) for each in value]
    return {**_ALWAYS.get(message.DESCRIPTOR.name, {}), **found}


def _single(name: str, value: Any) -> Any:
    if isinstance(value, Message):
        return _value_of(value)
    return _payload(value) if name in _PAYLOADS else value


def _payload(content: bytes) -> Any:
    """JSON as its value, and the bytes where it is none."""
    try:
        return json.loads(content)
    except ValueError:
        return content


class ProtobufClient(RawClient):
    """A client that says in Protobuf what it is told to say in JSON, and hears it so."""

    async def upgrade(self, path: str = PATH) -> None:
        """Shake hands for a session in Protobuf."""
        await super().upgrade(path)

    def say(self, *lines: bytes | Mapping[str, Any]) -> None:
        """Send one binary frame with these commands, which are given in JSON."""
        encoded = [x if isinstance(x, bytes) else json.dumps(x).encode() for x in lines]
        self.send(frame(translate(b"\n".join(encoded)), BINARY))

    async def line(self) -> Any:
        """The next reply or push, as JSON has it.

        Raises:
            ConnectionEnded: there is none.
        """
        while not self._lines:
            got = await self.frame()
            if got.opcode == CLOSE:
                raise ConnectionEnded(got.code, got.payload[2:].decode())
            if got.opcode == BINARY:
                self._lines += read_replies(got.payload)
        return self._lines.pop(0)
