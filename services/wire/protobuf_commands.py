"""Frames of the client protocol in Protobuf to commands.

Parallel to `json_codec.decode_frame`: the same values, the same errors. What is in a frame, each
message, stands behind its length.

Rules: a payload is never looked at here. A JSON decoder has read the strings of a payload, this one
has not: whoever takes it must (`validate_payload`).

Not here: what clients are told (`protobuf_codec`), field numbers (`client.proto`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from google.protobuf.message import DecodeError

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
from services.wire.errors import Disconnect, ProtocolError
from services.wire.json_codec import COMMANDS_A_FRAME
from services.wire.reply import Payload

# A connect tells one position, or header, in some 7 bytes; to read it takes us 2 µs.
MEMBERS_A_CONNECT = 2048

_CONTINUES = 0x80
# A length takes no more than these bytes, padded with zeros as it may be.
_LENGTH_BYTES = 5


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
