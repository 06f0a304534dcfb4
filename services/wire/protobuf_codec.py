"""Results, pushes and publications of the client protocol to bytes in Protobuf.

Parallel to `json_codec`: the same values, the same errors. Whatever is encoded here stands behind
its length, and any joining of it is legal.

Rules
- A payload is never looked at here: it leaves as the bytes that it is.
- Inside Forebay a ClientInfo is JSON; it is converted here, where it leaves.
- A publication is encoded once and then only copied: into pushes, histories, recoveries.

Not here: what clients ask (`protobuf_commands`), values and their meaning (`reply`), field numbers
(`client.proto`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from google.protobuf.message import Message

from services.wire import client_pb2
from services.wire.errors import Error
from services.wire.reply import (
    PUSHES,
    RESULTS,
    ClientInfo,
    ConnectResult,
    HistoryResult,
    JoinPush,
    LeavePush,
    Payload,
    PresenceResult,
    Push,
    Result,
    SubscribeResult,
)

PING = b"\x00"
"""An empty reply."""

_CONTINUES = 0x80


# ---- bytes that make up messages


def _varint(number: int) -> bytes:
    if number < _CONTINUES:
        return _ONE_BYTE[number]
    groups = bytearray()
    while number >= _CONTINUES:
        groups.append(number & ~_CONTINUES & 0xFF | _CONTINUES)
        number >>= 7
    groups.append(number)
    return bytes(groups)


_ONE_BYTE = [bytes((number,)) for number in range(_CONTINUES)]

_NUMBER_TYPE, _LENGTH_TYPE = 0, 2


def _key(number: int, wire_type: int = _LENGTH_TYPE) -> bytes:
    """What stands before a field."""
    return _varint(number << 3 | wire_type)


def _delimited(content: bytes) -> bytes:
    """A message behind its length."""
    return _varint(len(content)) + content


def _part(key: bytes, content: bytes) -> bytes:
    """A field that is a message, a string or bytes."""
    return b"%b%b%b" % (key, _varint(len(content)), content)


def _number(message: type[Message], name: str) -> int:
    number: int = message.DESCRIPTOR.fields_by_name[name].number
    return number


_ID = _key(client_pb2.Reply.ID_FIELD_NUMBER, _NUMBER_TYPE)
_ERROR = _key(client_pb2.Reply.ERROR_FIELD_NUMBER)
_PUSH = _key(client_pb2.Reply.PUSH_FIELD_NUMBER)
_CHANNEL = _key(client_pb2.Push.CHANNEL_FIELD_NUMBER)
_PUB = _key(client_pb2.Push.PUB_FIELD_NUMBER)
_DATA = _key(client_pb2.Publication.DATA_FIELD_NUMBER)
_INFO = _key(client_pb2.Publication.INFO_FIELD_NUMBER)
_OFFSET = _key(client_pb2.Publication.OFFSET_FIELD_NUMBER, _NUMBER_TYPE)
_EPOCH = _key(client_pb2.Publication.EPOCH_FIELD_NUMBER)
_IS_DELTA = _key(client_pb2.Publication.DELTA_FIELD_NUMBER, _NUMBER_TYPE) + b"\x01"
_USER = _key(client_pb2.ClientInfo.USER_FIELD_NUMBER)
_CLIENT = _key(client_pb2.ClientInfo.CLIENT_FIELD_NUMBER)
_CONN_INFO = _key(client_pb2.ClientInfo.CONN_INFO_FIELD_NUMBER)
_CHAN_INFO = _key(client_pb2.ClientInfo.CHAN_INFO_FIELD_NUMBER)
_MOVED = _key(client_pb2.Join.INFO_FIELD_NUMBER)
# Of an entry of a map: Protocol Buffers, "Encoding", maps.
_MAP_KEY, _MAP_VALUE = _key(1), _key(2)


# ---- replies and pushes to bytes


def encode_reply(id: int, result: Result) -> bytes:
    """The reply to the command `id`; the result's type says which method it answers."""
    return _reply(id, _RESULT_KEYS[type(result)], _encode(result))


def encode_error(id: int, error: Error) -> bytes:
    """The reply that refuses the command `id`."""
    return _reply(id, _ERROR, _encode(error))


def encode_push(channel: str, push: Push) -> bytes:
    """A push of anything but a publication; `channel` is empty where the protocol has none."""
    kind = type(push)
    body = _encode(push, _PUSH_MESSAGES[kind])
    return _delimited(_part(_PUSH, push_prefix(channel) + _part(_PUSH_KEYS[kind], body)))


def push_prefix(channel: str) -> bytes:
    """What stands before each publication pushed into a channel; made once a channel and kept."""
    return _part(_CHANNEL, channel.encode()) if channel else b""


def encode_publication_push(prefix: bytes, publication: bytes) -> bytes:
    """The push of an encoded publication, given the channel's `push_prefix`."""
    return _delimited(_part(_PUSH, prefix + _part(_PUB, publication)))


def encode_client_info(client: ClientInfo) -> bytes:
    """Who somebody is, as others see it."""
    conn_info, chan_info = bytes(client.conn_info or b""), bytes(client.chan_info or b"")
    return _client(client.user, client.client, conn_info, chan_info)


def encode_publication(
    data: bytes, info: bytes | None = None, offset: int = 0, epoch: str = ""
) -> bytes:
    """A publication, for pushes, history and recovery alike.

    `info` is what the JSON codec's `encode_client_info` made, `offset` 0 where the channel keeps no
    history, `epoch` given only with a channel's first publication.
    """
    parts = [_part(_DATA, data)] if data else []
    if info is not None:
        converted = _convert_info(info)
        if converted is not None:
            parts.append(_part(_INFO, converted))
    if offset:
        parts += _OFFSET, _varint(offset)
    if epoch:
        parts.append(_part(_EPOCH, epoch.encode()))
    return b"".join(parts)


def quote_data(data: bytes) -> bytes:
    """A payload, or a delta, as the data of a publication where deltas are told: as it is."""
    return data


def mark_delta(publication: bytes) -> bytes:
    """An encoded publication whose data is a delta, with the word that it is."""
    return publication + _IS_DELTA


def join_replies(replies: Sequence[bytes]) -> bytes:
    """Several replies and pushes as one frame."""
    return b"".join(replies)


def _reply(id: int, key: bytes, body: bytes) -> bytes:
    return _delimited(_ID + _varint(id) + _part(key, body))


def _encode(value: Result | Push | Error, kind: type[Message] | None = None) -> bytes:
    """A result, push or error as the message of its name, or as another one."""
    if kind is None:
        kind = _MESSAGES[type(value)]
    match value:
        case SubscribeResult() | HistoryResult():
            return _plain(kind, value) + _publications(kind, value.publications)
        case ConnectResult():
            subs = {channel: _encode(result) for channel, result in value.subs.items()}
            return _plain(kind, value) + _map(kind, "subs", subs)
        case PresenceResult():
            clients = {client: _info(info) for client, info in value.presence.items()}
            return _map(kind, "presence", clients)
        case JoinPush() | LeavePush():
            return _part(_MOVED, _info(value.info))
        case _:
            return _plain(kind, value)


# What is added to a message as bytes that are made already.
_ADDED = frozenset(("publications", "subs"))


def _plain(kind: type[Message], value: msgspec.Struct) -> bytes:
    """The fields that are numbers, words or payloads."""
    fields: dict[str, object] = {}
    for name in value.__struct_fields__:
        field = getattr(value, name)
        # What is zero is left out of the bytes; what is absent must not be given at all.
        if field is not None and name not in _ADDED:
            fields[name] = bytes(field) if type(field) is Payload else field
    return kind(**fields).SerializeToString()


def _publications(kind: type[Message], publications: Sequence[Payload]) -> bytes:
    key = _key(_number(kind, "publications"))
    return b"".join([_part(key, bytes(publication)) for publication in publications])


def _map(kind: type[Message], name: str, entries: dict[str, bytes]) -> bytes:
    key = _key(_number(kind, name))
    return b"".join(
        [
            _part(key, _part(_MAP_KEY, each.encode()) + _part(_MAP_VALUE, value))
            for each, value in entries.items()
        ]
    )


# ---- who somebody is, from JSON


class _Info(msgspec.Struct, frozen=True, gc=False):
    """A ClientInfo as JSON has it; msgspec reads no `Raw | None`."""

    user: str
    client: str
    conn_info: Payload = Payload(b"")
    chan_info: Payload = Payload(b"")


_decode_info = msgspec.json.Decoder(_Info).decode


def _convert_info(info: bytes | Payload) -> bytes | None:
    """A ClientInfo from the log or another front, or None if it is none."""
    try:
        known = _decode_info(info)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Whoever wrote it is no front of ours. Nobody's fan-out ends for it.
        return None
    return _client(known.user, known.client, bytes(known.conn_info), bytes(known.chan_info))


def _client(user: str, client: str, conn_info: bytes, chan_info: bytes) -> bytes:
    # Made from parts, for each publication has one: as a message it takes longer.
    info = _part(_USER, user.encode()) if user else b""
    info += _part(_CLIENT, client.encode())
    if conn_info:
        info += _part(_CONN_INFO, conn_info)
    if chan_info:
        info += _part(_CHAN_INFO, chan_info)
    return info


def _info(info: ClientInfo | Payload) -> bytes:
    """A ClientInfo where there has to be one; one that is none is empty."""
    if isinstance(info, ClientInfo):
        return encode_client_info(info)
    return _convert_info(info) or b""


# ---- values to messages

_MESSAGES: Final[dict[type, type[Message]]] = {
    kind: getattr(client_pb2, kind.__name__) for kind in (*RESULTS, Error)
}
_RESULT_KEYS: Final[dict[type, bytes]] = {
    kind: _key(_number(client_pb2.Reply, name)) for kind, name in RESULTS.items()
}
_PUSH_MESSAGES: Final[dict[type, type[Message]]] = {
    kind: getattr(client_pb2, name.capitalize()) for kind, name in PUSHES.items()
}
_PUSH_KEYS: Final[dict[type, bytes]] = {
    kind: _key(_number(client_pb2.Push, name)) for kind, name in PUSHES.items()
}
