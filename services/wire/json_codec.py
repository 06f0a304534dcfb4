"""The client protocol in JSON: frames to commands; results, pushes and publications to bytes.

Rules
- A payload is never parsed or re-encoded here: it enters as raw bytes and leaves as the same bytes.
- One call of msgspec for a frame. Only a frame it refuses is taken apart (`odd_json`), to answer
  the command that is odd and keep its neighbours.
- Every reply is one line; whoever offers a payload has put it on one line (`payload.one_line`).

Not here: values and their meaning (`command`, `reply`), what becomes of a malformed command (the
session).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import orjson

from services.wire.command import (
    METHODS,
    PONG,
    Command,
    ConnectRequest,
    HistoryRequest,
    Malformed,
    PingRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    RPCRequest,
    SendRequest,
    SubRefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from services.wire.errors import Disconnect, Error, ProtocolError
from services.wire.odd_json import members, next_start, object_end
from services.wire.reply import PUSHES, RESULTS, ClientInfo, Push, Result

# A 64 KiB frame has room for some 1,450 subscribes, the most an SDK sends at once (all it has when
# it reconnects); more is a flood of pongs, which cost us more to read than the sender to write.
COMMANDS_A_FRAME = 2048

LARGEST_ID = 2**32 - 1

# As a number: `b"\n" in frame` takes 0.23 µs of 127 bytes, `10 in frame` 0.03 (CPython 3.11).
_NEWLINE = 10

PING = b"{}"
PUSH_END = b"}}"


class _Envelope(msgspec.Struct, frozen=True, gc=False):
    """A command as it stands in a frame: the id and one of the methods."""

    id: int = 0
    connect: ConnectRequest | None = None
    subscribe: SubscribeRequest | None = None
    unsubscribe: UnsubscribeRequest | None = None
    publish: PublishRequest | None = None
    presence: PresenceRequest | None = None
    presence_stats: PresenceStatsRequest | None = None
    history: HistoryRequest | None = None
    ping: PingRequest | None = None
    send: SendRequest | None = None
    rpc: RPCRequest | None = None
    refresh: RefreshRequest | None = None
    sub_refresh: SubRefreshRequest | None = None


_decoder = msgspec.json.Decoder(_Envelope)
_encode = msgspec.json.Encoder().encode
_fields = msgspec.structs.astuple
_MALFORMED = "a field has the wrong type, or data is not valid JSON"
_METHODS = len(METHODS)
_METHOD_KEYS = frozenset(method.encode() for method in METHODS.values())
# Fields in which `null` is a value of the client's own.
_PAYLOAD_KEYS = frozenset((b"data", b"tf"))


# ---- frames to commands


def decode_frame(frame: bytes) -> list[Command]:
    """The commands of one client message, at least one, in order.

    Commands are JSON objects with newlines between them. `{}`, and anything with id 0 but a `send`,
    is a pong. A command that is clear but for its request is `Malformed`, and its neighbours are
    untouched.

    Raises:
        ProtocolError: something in the frame is no command, or it has too many; the exception
            carries the commands before it.
    """
    if not frame.isascii():
        _check_utf8(frame)
    try:
        if _NEWLINE not in frame:
            return [_command(_decoder.decode(frame))]
        if frame.count(b"\n") <= COMMANDS_A_FRAME:
            return _all_commands(_decoder.decode_lines(frame))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    return _taken_apart(frame)


def _check_utf8(frame: bytes) -> None:
    try:
        frame.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(Disconnect.BAD_REQUEST, f"not UTF-8 at byte {error.start}") from None


def _command(envelope: _Envelope) -> Command:
    """The command an envelope holds.

    Raises:
        ProtocolError: it holds none.
    """
    fields = _fields(envelope)
    id = fields[0]
    # All but the id and one method are None: counting is faster than asking field by field.
    if fields.count(None) == _METHODS - 1 and 0 < id <= LARGEST_ID:
        return Command(id, envelope.publish or next(filter(None, fields[1:])))
    return _rare_command(envelope, _METHODS - fields.count(None))


def _rare_command(envelope: _Envelope, methods: int) -> Command:
    if not 0 <= envelope.id <= LARGEST_ID:
        raise ProtocolError(Disconnect.BAD_REQUEST, "id is not a 32-bit number")
    if methods > 1:
        raise ProtocolError(Disconnect.BAD_REQUEST, "two methods in one command")
    if envelope.id:
        raise ProtocolError(Disconnect.BAD_REQUEST, "unknown method")
    return PONG if envelope.send is None else Command(0, envelope.send)


def _all_commands(envelopes: list[_Envelope]) -> list[Command]:
    """The commands of a frame's envelopes.

    Raises:
        ProtocolError: as `decode_frame`.
    """
    if len(envelopes) > COMMANDS_A_FRAME:
        raise _too_many(_collected(map(_command, envelopes[:COMMANDS_A_FRAME])))
    if not envelopes:
        raise ProtocolError(Disconnect.BAD_REQUEST, "empty frame")
    return _collected(map(_command, envelopes))


def _taken_apart(frame: bytes) -> list[Command]:
    """What `decode_frame` promises, object by object.

    Raises:
        ProtocolError: as `decode_frame`.
    """
    return _collected(_commands_apart(frame))


def _commands_apart(frame: bytes) -> Iterator[Command]:
    start = next_start(frame, 0)
    if start == len(frame):
        raise ProtocolError(Disconnect.BAD_REQUEST, "empty frame")
    count = 0
    while start < len(frame):
        if count == COMMANDS_A_FRAME:
            raise _too_many()
        end = object_end(frame, start)
        if end is None:
            raise ProtocolError(Disconnect.BAD_REQUEST, "not a JSON object")
        yield _one_command(frame[start:end])
        count += 1
        start = next_start(frame, end)


def _one_command(text: bytes) -> Command:
    """The command in one object, an odd one included.

    Raises:
        ProtocolError: it is no command.
    """
    try:
        return _command(_decoder.decode(text))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _odd_command(text)


def _odd_command(text: bytes) -> Command:
    """A command that msgspec refuses: with nulls for what is optional, or malformed.

    Raises:
        ProtocolError: not even its id and method are clear.
    """
    envelope = members(text)
    if envelope is None:
        raise ProtocolError(Disconnect.BAD_REQUEST, "not a JSON object")
    methods = [key for key in envelope if key in _METHOD_KEYS]
    id = _id(envelope.get(b"id", b"0"))
    if id is None or len(methods) != 1 or not envelope[methods[0]].startswith(b"{"):
        raise ProtocolError(Disconnect.BAD_REQUEST, "not a command")
    method = methods[0]
    if id == 0 and method != b"send":
        return PONG
    request = members(envelope[method])
    if request is not None and b"null" in request.values():
        try:
            return _command(_decoder.decode(_written(envelope | {method: _without_nulls(request)})))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            pass
    return Command(id, Malformed(method.decode(), _MALFORMED))


def _id(text: bytes) -> int | None:
    is_number = text.isdigit() and len(text) <= 10 and (text == b"0" or text[:1] != b"0")
    return int(text) if is_number and int(text) <= LARGEST_ID else None


def _without_nulls(request: dict[bytes, bytes]) -> bytes:
    return _written(
        {key: value for key, value in request.items() if value != b"null" or key in _PAYLOAD_KEYS}
    )


def _written(object_members: dict[bytes, bytes]) -> bytes:
    return b"{%b}" % b",".join(b'"%b":%b' % member for member in object_members.items())


def _collected(commands: Iterator[Command]) -> list[Command]:
    """All commands, or the error with those before it.

    Raises:
        ProtocolError: one of them is none.
    """
    found: list[Command] = []
    try:
        found.extend(commands)
    except ProtocolError as error:
        raise ProtocolError(error.disconnect, error.why, found) from None
    return found


def _too_many(before: Sequence[Command] = ()) -> ProtocolError:
    why = f"over {COMMANDS_A_FRAME} commands in one frame"
    return ProtocolError(Disconnect.BAD_REQUEST, why, before)


# ---- replies and pushes to bytes


def encode_reply(id: int, result: Result) -> bytes:
    """The reply to the command `id`; the result's type says which method it answers."""
    return b'{"id":%d,"%b":%b}' % (id, RESULTS[type(result)].encode(), _encode(result))


def encode_error(id: int, error: Error) -> bytes:
    """The reply that refuses the command `id`."""
    return b'{"id":%d,"error":%b}' % (id, _encode(error))


def encode_push(channel: str, push: Push) -> bytes:
    """A push of anything but a publication; `channel` is empty where the protocol has none."""
    kind = PUSHES[type(push)].encode()
    if not channel:
        return b'{"push":{"%b":%b}}' % (kind, _encode(push))
    return b'{"push":{"channel":%b,"%b":%b}}' % (orjson.dumps(channel), kind, _encode(push))


def push_prefix(channel: str) -> bytes:
    """What stands before each publication pushed into a channel; made once a channel and kept."""
    return b'{"push":{"channel":%b,"pub":' % orjson.dumps(channel)


def encode_publication_push(prefix: bytes, publication: bytes) -> bytes:
    """The push of an encoded publication, given the channel's `push_prefix`."""
    return prefix + publication + PUSH_END


def encode_client_info(client: ClientInfo) -> bytes:
    """Who published, made once a session and kept: `encode_publication` takes it as it is."""
    return _encode(client)


def encode_publication(
    data: bytes, info: bytes | None = None, offset: int = 0, epoch: str = ""
) -> bytes:
    """A publication, for pushes, history and recovery alike.

    `info` is what `encode_client_info` made, `offset` 0 where the channel keeps no history, `epoch`
    given only with a channel's first publication.
    """
    if info is not None and offset and not epoch:
        return b'{"data":%b,"info":%b,"offset":%d}' % (data, info, offset)
    parts = [b'{"data":', data]
    if info is not None:
        parts += b',"info":', info
    if offset:
        parts.append(b',"offset":%d' % offset)
    if epoch:
        parts += b',"epoch":', orjson.dumps(epoch)
    parts.append(b"}")
    return b"".join(parts)


def join_replies(replies: Sequence[bytes]) -> bytes:
    """Several replies and pushes as one frame."""
    return b"\n".join(replies)
