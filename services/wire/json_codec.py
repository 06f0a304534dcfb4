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

from collections.abc import Iterator, Mapping, Sequence

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
from services.wire.odd_json import OddFrame
from services.wire.reply import PUSHES, RESULTS, ClientInfo, Push, Result

# A 64 KiB frame has room for some 1,450 subscribes, the most an SDK sends at once (all it has when
# it reconnects); more is a flood of pongs, which cost us more to read than the sender to write.
COMMANDS_A_FRAME = 2048

# An odd command takes us some 10 µs, another 1 µs. This leaves room for 256 odd ones: a client that
# writes null for what it leaves out comes back with one for each subscription, 128 by default.
ODD_COUNTS_AS = 8

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
_connect_decoder = msgspec.json.Decoder(ConnectRequest)
_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOT_READ = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_encode = msgspec.json.Encoder().encode
_fields = msgspec.structs.astuple
_MALFORMED = "a field has the wrong type, or data is not valid JSON"
_METHODS = len(METHODS)
_METHOD_KEYS = frozenset(METHODS.values())
# Fields in which `null` is a value of the client's own.
_PAYLOAD_KEYS = frozenset(("data", "tf"))


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
    except _NOT_READ:
        pass
    return _collected(_commands_apart(frame))


def decode_connect(text: bytes) -> ConnectRequest:
    """The request of a connect without its command, which is all that a one-way client sends.

    Raises:
        ProtocolError: it is none.
    """
    if not text.isascii():
        _check_utf8(text)
    request = _read_connect(text)
    if request is None and b"null" in text:
        request = _read_connect(_without_nulls(text) or b"")
    if request is None:
        raise ProtocolError(Disconnect.BAD_REQUEST, f"not a connect request: {_MALFORMED}")
    return request


def _read_connect(text: bytes) -> ConnectRequest | None:
    try:
        return _connect_decoder.decode(text)
    except _NOT_READ:
        return None


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


def _commands_apart(frame: bytes) -> Iterator[Command]:
    """What `decode_frame` promises, line by line, and where that fails, object by object.

    Raises:
        ProtocolError: as `decode_frame`.
    """
    odd, end = OddFrame(frame), len(frame)
    start = odd.next_start(0)
    if start == end:
        raise ProtocolError(Disconnect.BAD_REQUEST, "empty frame")
    room = COMMANDS_A_FRAME
    while start < end:
        newline = frame.find(b"\n", start)
        line = frame[start : newline if newline >= 0 else end]
        envelope = _read(line)
        if envelope is None and (line.isspace() or not line):
            start = odd.next_start(start)
            continue
        room -= 1 if envelope is not None else ODD_COUNTS_AS
        if room < 0:
            raise _too_many()
        if envelope is not None:
            yield _command(envelope)
            start += len(line) + 1
        else:
            command, start = _odd_command(frame, line, start, odd)
            yield command
            start = odd.next_start(start)


def _read(text: bytes) -> _Envelope | None:
    try:
        return _decoder.decode(text)
    except _NOT_READ:
        return None


def _odd_command(frame: bytes, line: bytes, start: int, odd: OddFrame) -> tuple[Command, int]:
    """The command that begins at `start` and is more or less than its line, and where it ends.

    Raises:
        ProtocolError: there is none.
    """
    members = _members(line)
    if members is not None:
        return _command_of(members), start + len(line)
    outline = odd.outline(odd.next_start(start))
    if outline is None:
        raise ProtocolError(Disconnect.BAD_REQUEST, "not a JSON object")
    envelope = _read(frame[start : outline.end]) if outline.end != start + len(line) else None
    return _command_of(outline.members) if envelope is None else _command(envelope), outline.end


def _members(text: bytes) -> Mapping[str, bytes | msgspec.Raw] | None:
    """The members of an object, or None if it is not JSON."""
    try:
        return _members_decoder.decode(text)
    except _NOT_READ:
        return None


def _command_of(members: Mapping[str, bytes | msgspec.Raw]) -> Command:
    """An odd command: malformed, or with nulls for what is optional.

    Raises:
        ProtocolError: not even its id and method are clear.
    """
    methods = [key for key in members if key in _METHOD_KEYS]
    id = _id(bytes(members.get("id", b"0")))
    if id is None or len(methods) != 1:
        raise ProtocolError(Disconnect.BAD_REQUEST, "not a command")
    [method] = methods
    request = bytes(members[method])
    if not request.startswith(b"{"):
        raise ProtocolError(Disconnect.BAD_REQUEST, "not a command")
    if id == 0 and method != "send":
        return PONG
    without_nulls = _without_nulls(request) if b"null" in request else None
    envelope = _read(b'{"id":%d,"%b":%b}' % (id, method.encode(), without_nulls or b"0"))
    return Command(id, Malformed(method, _MALFORMED)) if envelope is None else _command(envelope)


def _id(text: bytes) -> int | None:
    is_number = text.isdigit() and len(text) <= 10 and (text == b"0" or text[:1] != b"0")
    return int(text) if is_number and int(text) <= LARGEST_ID else None


def _without_nulls(request: bytes) -> bytes | None:
    """A request without its members that are null, or None if it is not JSON."""
    members = _members(request)
    if members is None:
        return None
    return _encode(
        {
            key: value
            for key, value in members.items()
            if key in _PAYLOAD_KEYS or bytes(value) != b"null"
        }
    )


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
    why = f"over {COMMANDS_A_FRAME} commands in one frame, or too many odd ones"
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


def quote_data(data: bytes) -> bytes:
    """A payload, or a delta, as the data of a publication where deltas are told: a string of it."""
    # The worker has let nothing pass that is not UTF-8; if it had, fan-out would not end for it.
    return orjson.dumps(data.decode(errors="replace"))


def mark_delta(publication: bytes) -> bytes:
    """An encoded publication whose data is a delta, with the word that it is."""
    return publication[:-1] + b',"delta":true}'


def join_replies(replies: Sequence[bytes]) -> bytes:
    """Several replies and pushes as one frame."""
    return b"\n".join(replies)
