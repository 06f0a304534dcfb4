"""The client protocol in Protobuf: frames to commands; results, pushes and publications to bytes.

Parallel to `json_codec`: the same values, the same errors. What is in a frame, each message, stands
behind its length; so does whatever is encoded here, and any joining of it is legal.

Rules
- A payload is never looked at here: it enters and leaves as the bytes that it is. A JSON decoder
  has read the strings of a payload, this one has not: whoever takes it must (`validate_payload`).
- Inside Forebay a ClientInfo is JSON; it is converted here, where it leaves.
- A publication is encoded once and then only copied: into pushes, histories, recoveries.

Not here: values and their meaning (`command`, `reply`), field numbers (`client.proto`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError, Message

from services.wire import client_pb2
from services.wire.command import (
    PONG,
    Command,
    ConnectRequest,
    HistoryRequest,
    PingRequest,
    Position,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    Request,
    RPCRequest,
    SendRequest,
    SubRefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from services.wire.errors import Disconnect, Error, ProtocolError
from services.wire.json_codec import COMMANDS_A_FRAME
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

# A connect tells one position, or header, in some 7 bytes; to read it takes us 2 µs.
MEMBERS_A_CONNECT = 2048

PING = b"\x00"
"""An empty reply."""

_CONTINUES = 0x80
# A length takes no more than these bytes, padded with zeros as it may be.
_LENGTH_BYTES = 5


# ---- frames to commands


def decode_frame(frame: bytes) -> list[Command]:
    """The commands of one client message, at least one, in order.

    An empty command, and anything with id 0 but a `send`, is a pong. Unknown fields are ignored.

    Raises:
        ProtocolError: something in the frame is no command, or it has too many; the exception
            carries the commands before it.
    """
    found: list[Command] = []
    if not frame:
        raise _bad("empty frame")
    try:
        for message in _messages(frame):
            if len(found) == COMMANDS_A_FRAME:
                raise _bad(f"over {COMMANDS_A_FRAME} commands in one frame")
            found.append(_command(message))
    except ProtocolError as error:
        raise ProtocolError(error.disconnect, error.why, found) from None
    return found


def _bad(why: str) -> ProtocolError:
    return ProtocolError(Disconnect.BAD_REQUEST, why)


def _messages(frame: bytes) -> Iterator[client_pb2.Command]:
    """Each of a frame's messages.

    Raises:
        ProtocolError: a length is none, or what follows it is no command.
    """
    start, end = 0, len(frame)
    while start < end:
        size, start = _length(frame, start)
        if size > end - start:
            raise _bad("a message is longer than its frame")
        try:
            message = client_pb2.Command.FromString(frame[start : start + size])
        except DecodeError:
            raise _bad("a message is no command") from None
        yield message
        start += size


def _length(frame: bytes, start: int) -> tuple[int, int]:
    """The length at a place of a frame, and where what it is of begins.

    Raises:
        ProtocolError: there is none.
    """
    length = 0
    for number, byte in enumerate(frame[start : start + _LENGTH_BYTES]):
        length |= (byte & ~_CONTINUES) << 7 * number
        if not byte & _CONTINUES:
            return length, start + number + 1
    raise _bad("no length before a message")


def _command(message: client_pb2.Command) -> Command:
    """The command in a message.

    Raises:
        ProtocolError: it holds none.
    """
    fields = message.ListFields()
    id = message.id
    methods = fields[1:] if id else fields
    if len(methods) > 1:
        raise _bad("two methods in one command")
    if not methods:
        if id:
            raise _bad("unknown method")
        return PONG
    [(field, request)] = methods
    if not id and field.number != client_pb2.Command.SEND_FIELD_NUMBER:
        return PONG
    return Command(id, _REQUESTS[field.number](request))


def _connect(message: client_pb2.ConnectRequest) -> ConnectRequest:
    if max(len(message.subs), len(message.headers)) > MEMBERS_A_CONNECT:
        raise _bad(f"over {MEMBERS_A_CONNECT} positions or headers in a connect")
    return ConnectRequest(
        token=message.token,
        data=Payload(message.data),
        subs={channel: _subscribe(known) for channel, known in message.subs.items()},
        name=message.name,
        version=message.version,
        headers=dict(message.headers),
        flag=message.flag,
        profile=message.profile,
        dictionary=message.dict,
    )


def _subscribe(message: client_pb2.SubscribeRequest) -> SubscribeRequest:
    # By position, for by name it takes longer, and a frame may hold 2,048.
    return SubscribeRequest(
        message.channel,
        message.token,
        message.recover,
        message.epoch,
        message.offset,
        Payload(message.data),
        message.positioned,
        message.recoverable,
        message.join_leave,
        message.delta,
        Payload(message.tf),
        message.flag,
        message.type,
        message.phase,
        message.cursor,
        message.limit,
        message.asc,
    )


def _unsubscribe(message: client_pb2.UnsubscribeRequest) -> UnsubscribeRequest:
    return UnsubscribeRequest(message.channel)


def _publish(message: client_pb2.PublishRequest) -> PublishRequest:
    return PublishRequest(
        message.channel, Payload(message.data), message.type, message.key, message.removed
    )


def _presence(message: client_pb2.PresenceRequest) -> PresenceRequest:
    return PresenceRequest(message.channel)


def _presence_stats(message: client_pb2.PresenceStatsRequest) -> PresenceStatsRequest:
    return PresenceStatsRequest(message.channel)


def _history(message: client_pb2.HistoryRequest) -> HistoryRequest:
    since = message.since if message.HasField("since") else None
    return HistoryRequest(
        message.channel,
        message.limit,
        Position(since.offset, since.epoch) if since is not None else None,
        message.reverse,
    )


def _ping(message: client_pb2.PingRequest) -> PingRequest:
    return PingRequest()


def _send(message: client_pb2.SendRequest) -> SendRequest:
    return SendRequest(Payload(message.data))


def _rpc(message: client_pb2.RPCRequest) -> RPCRequest:
    return RPCRequest(Payload(message.data), message.method)


def _refresh(message: client_pb2.RefreshRequest) -> RefreshRequest:
    return RefreshRequest(message.token)


def _sub_refresh(message: client_pb2.SubRefreshRequest) -> SubRefreshRequest:
    return SubRefreshRequest(
        message.channel,
        message.token,
        message.type,
        [Payload(batch) for batch in message.track],
        list(message.untrack),
    )


_REQUESTS: Final[dict[int, Callable[[Any], Request]]] = {
    client_pb2.Command.CONNECT_FIELD_NUMBER: _connect,
    client_pb2.Command.SUBSCRIBE_FIELD_NUMBER: _subscribe,
    client_pb2.Command.UNSUBSCRIBE_FIELD_NUMBER: _unsubscribe,
    client_pb2.Command.PUBLISH_FIELD_NUMBER: _publish,
    client_pb2.Command.PRESENCE_FIELD_NUMBER: _presence,
    client_pb2.Command.PRESENCE_STATS_FIELD_NUMBER: _presence_stats,
    client_pb2.Command.HISTORY_FIELD_NUMBER: _history,
    client_pb2.Command.PING_FIELD_NUMBER: _ping,
    client_pb2.Command.SEND_FIELD_NUMBER: _send,
    client_pb2.Command.RPC_FIELD_NUMBER: _rpc,
    client_pb2.Command.REFRESH_FIELD_NUMBER: _refresh,
    client_pb2.Command.SUB_REFRESH_FIELD_NUMBER: _sub_refresh,
}


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
