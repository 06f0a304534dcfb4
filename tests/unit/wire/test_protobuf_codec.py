"""Frames to commands and values to bytes, in Protobuf, beside the same in JSON."""

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.wire import client_pb2, json_codec, protobuf_commands
from services.wire import protobuf_codec as codec
from services.wire.command import (
    EMPTY,
    METHODS,
    PONG,
    Command,
    ConnectRequest,
    HistoryRequest,
    Payload,
    PingRequest,
    Position,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    RPCRequest,
    SendRequest,
    SubRefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
    method_of,
)
from services.wire.errors import Disconnect, Error, ErrorCode, ProtocolError
from services.wire.reply import (
    ClientInfo,
    ConnectResult,
    DisconnectPush,
    HistoryResult,
    JoinPush,
    LeavePush,
    MessagePush,
    PresenceResult,
    PresenceStatsResult,
    PublishResult,
    Push,
    RefreshPush,
    RefreshResult,
    Result,
    RPCResult,
    SubRefreshResult,
    SubscribePush,
    SubscribeResult,
    UnsubscribePush,
    UnsubscribeResult,
)
from tests.conformance.protobuf import cut, delimited, encode_commands, read_replies

PUBLISH = Command(4, PublishRequest("chat:1", Payload(b'{"text":"hi"}')))

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PAYLOADS = st.builds(
    lambda value: Payload(json.dumps({"v": value}).encode()),
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | WORDS | st.lists(WORDS, max_size=2),
)
PERHAPS_PAYLOADS = st.just(EMPTY) | PAYLOADS
POSITIVE32, SIGNED32 = st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1)
POSITIVE64, SIGNED64 = st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1)

SUBSCRIBES = st.builds(
    SubscribeRequest,
    channel=WORDS,
    token=WORDS,
    recover=st.booleans(),
    epoch=WORDS,
    offset=POSITIVE64,
    data=PERHAPS_PAYLOADS,
    positioned=st.booleans(),
    recoverable=st.booleans(),
    join_leave=st.booleans(),
    delta=WORDS,
    tf=PERHAPS_PAYLOADS,
    flag=SIGNED64,
    type=SIGNED32,
    phase=SIGNED32,
    cursor=WORDS,
    limit=SIGNED32,
    asc=st.booleans(),
)
REQUESTS = st.one_of(
    st.builds(
        ConnectRequest,
        token=WORDS,
        data=PERHAPS_PAYLOADS,
        subs=st.dictionaries(WORDS, SUBSCRIBES, max_size=2),
        name=WORDS,
        version=WORDS,
        headers=st.dictionaries(WORDS, WORDS, max_size=2),
        flag=SIGNED64,
        profile=WORDS,
        dictionary=WORDS,
    ),
    SUBSCRIBES,
    st.builds(UnsubscribeRequest, WORDS),
    st.builds(PublishRequest, WORDS, PERHAPS_PAYLOADS, SIGNED32, WORDS, st.booleans()),
    st.builds(PresenceRequest, WORDS),
    st.builds(PresenceStatsRequest, WORDS),
    st.builds(
        HistoryRequest,
        WORDS,
        SIGNED32,
        st.none() | st.builds(Position, POSITIVE64, WORDS),
        st.booleans(),
    ),
    st.builds(PingRequest),
    st.builds(SendRequest, PERHAPS_PAYLOADS),
    st.builds(RPCRequest, PERHAPS_PAYLOADS, WORDS),
    st.builds(RefreshRequest, WORDS),
    st.builds(
        SubRefreshRequest,
        WORDS,
        WORDS,
        SIGNED32,
        st.lists(PAYLOADS, max_size=2),
        st.lists(WORDS, max_size=2),
    ),
)
COMMANDS = st.just(PONG) | st.builds(Command, st.integers(1, json_codec.LARGEST_ID), REQUESTS)

INFOS = st.builds(
    ClientInfo, WORDS, WORDS, conn_info=st.none() | PAYLOADS, chan_info=st.none() | PAYLOADS
)


def refused(frame: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        protobuf_commands.decode_frame(frame)
    assert caught.value.disconnect is Disconnect.BAD_REQUEST
    return caught.value


def only(frame: bytes) -> Command:
    [command] = protobuf_commands.decode_frame(frame)
    return command


def plain(value: Any) -> Any:
    """A command as values that compare."""
    match value:
        case msgspec.Raw():
            return bytes(value)
        case msgspec.Struct():
            named = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
            return type(value).__name__, named
        case list():
            return [plain(each) for each in value]
        case dict():
            return {key: plain(each) for key, each in value.items()}
        case _:
            return value


def in_json(command: Command) -> bytes:
    """A command as a client says it in JSON."""
    if command.request is None:
        return b"{}"
    return msgspec.json.encode(
        {"id": command.id, method_of(command.request): _given(command.request)}
    )


def _given(value: Any) -> Any:
    match value:
        case msgspec.Struct():
            names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
            fields = {encoded: getattr(value, name) for name, encoded in names}
            return {k: _given(v) for k, v in fields.items() if v is not None and not _is_empty(v)}
        case dict():
            return {key: _given(each) for key, each in value.items()}
        case _:
            return value


def _is_empty(value: Any) -> bool:
    return isinstance(value, msgspec.Raw) and not bytes(value)


# ---- frames to commands


@given(st.lists(COMMANDS, min_size=1, max_size=4))
def test_json_and_protobuf_decode_to_the_same_values(commands: list[Command]) -> None:
    from_json = json_codec.decode_frame(b"\n".join(map(in_json, commands)))
    from_protobuf = protobuf_commands.decode_frame(encode_commands(commands))
    assert plain(from_protobuf) == plain(from_json) == plain(commands)


@given(st.binary(max_size=40))
def test_a_payload_keeps_every_byte_the_client_sent(payload: bytes) -> None:
    command = only(encode_commands([Command(1, PublishRequest("c", Payload(payload)))]))
    assert isinstance(command.request, PublishRequest)
    assert bytes(command.request.data) == payload


@pytest.mark.parametrize("kind", METHODS)
def test_every_method_of_the_protocol_is_read(kind: Callable[[], Any]) -> None:
    assert plain(only(encode_commands([Command(7, kind())]))) == plain(Command(7, kind()))


def test_an_empty_command_is_a_pong() -> None:
    assert only(b"\x00").is_pong


def test_what_has_no_id_is_a_pong_but_a_send() -> None:
    assert only(encode_commands([Command(0, SubscribeRequest("c"))])).is_pong
    sent = only(encode_commands([Command(0, SendRequest(Payload(b"1")))]))
    assert isinstance(sent.request, SendRequest)


def test_unknown_fields_are_ignored() -> None:
    [message] = cut(encode_commands([PUBLISH]))
    unknown = b"\x82\x06\x03abc" + b"\x88\x06\x01" + b"\x8d\x06abcd"
    assert plain(only(delimited(message + unknown))) == plain(PUBLISH)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x80",
        b"\xff\xff\xff\xff\x0f",
        b"\x80\x80\x80\x80\x80\x00",
        b"\x05\x08\x01",
        b"\x02\x08\x01",
        b"\x03\x08\x80\x80",
        delimited(b"\x08\x01\x3a\x7f"),
        delimited(b"\x08\x01\x3a\x03\x0a\x01\xff"),
        delimited(b"\x08\x01\x3a\x00\x2a\x00"),
        delimited(b"\x3a\x00\x2a\x00"),
        delimited(b"\x08\x01\x1b" + b"\x1b" * 1000),
        b'{"id":1,"connect":{}}',
    ],
    ids=[
        "nothing",
        "a length without an end",
        "a length beyond the frame",
        "a length padded without need",
        "a message cut off",
        "an id alone",
        "an id without an end",
        "a request cut off",
        "a channel that is not UTF-8",
        "two methods",
        "two methods without an id",
        "groups without an end",
        "JSON",
    ],
)
def test_a_frame_that_is_no_command_ends_the_session(frame: bytes) -> None:
    assert not refused(frame).commands


def test_a_method_of_the_wrong_type_is_unknown() -> None:
    assert "unknown method" in refused(delimited(b"\x08\x01\x38\x05")).why


def test_commands_before_a_broken_one_are_kept() -> None:
    frame = encode_commands([PUBLISH, PUBLISH]) + b"\x7f"
    assert plain(list(refused(frame).commands)) == plain([PUBLISH, PUBLISH])


def test_a_frame_of_more_commands_than_allowed_ends_the_session() -> None:
    assert len(protobuf_commands.decode_frame(b"\x00" * json_codec.COMMANDS_A_FRAME)) == 2048
    assert len(refused(b"\x00" * 65_536).commands) == json_codec.COMMANDS_A_FRAME


@pytest.mark.parametrize(
    "connect_with",
    [
        lambda members: ConnectRequest(subs=dict.fromkeys(members, SubscribeRequest())),
        lambda members: ConnectRequest(headers=dict.fromkeys(members, "")),
    ],
    ids=["positions", "headers"],
)
def test_a_connect_of_more_members_than_allowed_ends_the_session(
    connect_with: Callable[[list[str]], ConnectRequest],
) -> None:
    members = [str(number) for number in range(protobuf_commands.MEMBERS_A_CONNECT + 1)]
    refused(encode_commands([Command(1, connect_with(members))]))
    only(encode_commands([Command(1, connect_with(members[1:]))]))


HOSTILE = {
    "pongs": b"\x00" * 65_536,
    "unknown methods": delimited(b"\x08\x01") * 21_845,
    "groups": delimited(b"\x1b" * 65_000),
    "tracks": delimited(b"\x08\x01\x7a" + delimited(b"\x22\x00" * 32_000)),
    "the same position": delimited(b"\x08\x01\x22" + delimited(b"\x1a\x00" * 32_000)),
    "numbers without an end": b"\x80" * 65_536,
    "unknown fields": delimited(b"\xf8\x07\x01" * 21_000),
}


@pytest.mark.parametrize("frame", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_frame_is_read_in_linear_time(frame: bytes) -> None:
    # Ten times what the slowest takes on a busy machine; quadratic work would take minutes.
    began = time.process_time()
    with contextlib.suppress(ProtocolError):
        protobuf_commands.decode_frame(frame)
    assert time.process_time() - began < 0.5


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_commands_or_a_protocol_error(frame: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert protobuf_commands.decode_frame(frame)


@given(
    st.lists(COMMANDS, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3), st.integers(0, 3)), max_size=4),
)
def test_a_mutated_frame_yields_commands_or_a_protocol_error(
    commands: list[Command], changes: list[tuple[int, bytes, int]]
) -> None:
    frame = bytearray(encode_commands(commands))
    for at, piece, cut_bytes in changes:
        at %= len(frame) + 1
        frame[at : at + cut_bytes] = piece
    try:
        found: Sequence[Command] = protobuf_commands.decode_frame(bytes(frame))
    except ProtocolError as error:
        found = error.commands
    for command in found:
        assert 0 <= command.id <= json_codec.LARGEST_ID
        assert command.request is None or method_of(command.request) in METHODS.values()


# ---- values to bytes


# What the protocol leaves out with its zero value, and JSON writes all the same where it must.
def without_zeros(value: Any, name: str = "") -> Any:
    if name in ("data", "conn_info", "chan_info"):
        return value
    match value:
        case dict():
            cleaned = {key: without_zeros(each, key) for key, each in value.items()}
            return {k: v for k, v in cleaned.items() if v not in (0, "", [])}
        case list():
            return [without_zeros(each) for each in value]
        case _:
            return value


def told(frame: bytes) -> Any:
    [reply] = read_replies(frame)
    return without_zeros(reply)


def told_in_json(line: bytes) -> Any:
    return without_zeros(json.loads(line))


PUBLICATIONS = st.lists(
    st.tuples(
        PAYLOADS.map(bytes),
        st.none() | INFOS.map(json_codec.encode_client_info),
        POSITIVE64,
        WORDS,
    ),
    max_size=3,
)
Twins = tuple[Any, Any]
"""A value for the JSON codec, and the same for that of Protobuf."""


def _twins(kind: type, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Twins]:
    """A result with publications, which each codec takes in its own encoding."""

    def build(publications: list[Any], rest: dict[str, Any]) -> Twins:
        in_json = [Payload(json_codec.encode_publication(*each)) for each in publications]
        in_protobuf = [Payload(codec.encode_publication(*each)) for each in publications]
        return kind(publications=in_json, **rest), kind(publications=in_protobuf, **rest)

    return st.builds(build, PUBLICATIONS, st.fixed_dictionaries(fields))


def _same(results: st.SearchStrategy[Any]) -> st.SearchStrategy[Twins]:
    return results.map(lambda result: (result, result))


NULLABLE = st.none() | PAYLOADS
SUBSCRIBE_RESULTS = _twins(
    SubscribeResult,
    expires=st.booleans(),
    ttl=POSITIVE32,
    recoverable=st.booleans(),
    epoch=WORDS,
    recovered=st.booleans(),
    offset=POSITIVE64,
    positioned=st.booleans(),
    data=NULLABLE,
    was_recovering=st.booleans(),
)


def _connect_twins(subs: dict[str, Twins], rest: dict[str, Any]) -> Twins:
    return (
        ConnectResult(subs={k: v[0] for k, v in subs.items()}, **rest),
        ConnectResult(subs={k: v[1] for k, v in subs.items()}, **rest),
    )


CONNECT_RESULTS = st.builds(
    _connect_twins,
    st.dictionaries(WORDS, SUBSCRIBE_RESULTS, max_size=2),
    st.fixed_dictionaries(
        {
            "client": WORDS,
            "version": WORDS,
            "expires": st.booleans(),
            "ttl": POSITIVE32,
            "data": NULLABLE,
            "ping": POSITIVE32,
            "pong": st.booleans(),
            "session": WORDS,
            "node": WORDS,
            "time": SIGNED64,
        }
    ),
)
MEMBERS = st.dictionaries(WORDS, INFOS, max_size=3) | st.dictionaries(
    WORDS, INFOS.map(lambda info: Payload(json_codec.encode_client_info(info))), max_size=3
)
RESULTS: st.SearchStrategy[Twins] = st.one_of(
    CONNECT_RESULTS,
    SUBSCRIBE_RESULTS,
    _twins(HistoryResult, epoch=WORDS, offset=POSITIVE64),
    _same(st.builds(PresenceResult, MEMBERS)),
    _same(st.builds(PresenceStatsResult, POSITIVE32, POSITIVE32)),
    _same(st.just(UnsubscribeResult()) | st.just(PublishResult())),
    _same(st.builds(RPCResult, NULLABLE)),
    _same(st.builds(RefreshResult, WORDS, WORDS, st.booleans(), POSITIVE32)),
    _same(st.builds(SubRefreshResult, st.booleans(), POSITIVE32)),
)
MOVED = INFOS | INFOS.map(lambda info: Payload(json_codec.encode_client_info(info)))
PUSHES: st.SearchStrategy[Twins] = st.one_of(
    CONNECT_RESULTS,
    _same(st.builds(JoinPush, MOVED)),
    _same(st.builds(LeavePush, MOVED)),
    _same(st.builds(UnsubscribePush, POSITIVE32, WORDS)),
    _same(st.builds(SubscribePush, st.booleans(), WORDS, POSITIVE64, st.booleans(), NULLABLE)),
    _same(st.builds(MessagePush, NULLABLE)),
    _same(st.builds(RefreshPush, st.booleans(), POSITIVE32)),
    _same(st.builds(DisconnectPush, POSITIVE32, WORDS, st.booleans())),
)


@given(st.integers(1, json_codec.LARGEST_ID), RESULTS)
def test_a_reply_says_the_same_in_json_and_protobuf(id: int, twins: tuple[Result, Result]) -> None:
    expected = told_in_json(json_codec.encode_reply(id, twins[0]))
    assert told(codec.encode_reply(id, twins[1])) == expected


@given(st.text("abc:#", max_size=8), PUSHES)
def test_a_push_says_the_same_in_json_and_protobuf(channel: str, twins: tuple[Push, Push]) -> None:
    expected = told_in_json(json_codec.encode_push(channel, twins[0]))
    assert told(codec.encode_push(channel, twins[1])) == expected


@given(st.text("abc:#", min_size=1, max_size=300), PUBLICATIONS)
def test_a_publication_says_the_same_in_json_and_protobuf(
    channel: str, publications: list[Any]
) -> None:
    for each in publications:
        line = json_codec.encode_publication_push(
            json_codec.push_prefix(channel), json_codec.encode_publication(*each)
        )
        frame = codec.encode_publication_push(
            codec.push_prefix(channel), codec.encode_publication(*each)
        )
        assert told(frame) == told_in_json(line)


@given(st.integers(1, json_codec.LARGEST_ID), st.builds(Error, POSITIVE32, WORDS, st.booleans()))
def test_an_error_says_the_same_in_json_and_protobuf(id: int, error: Error) -> None:
    assert told(codec.encode_error(id, error)) == told_in_json(json_codec.encode_error(id, error))


@given(st.binary(max_size=300), POSITIVE64)
def test_a_publication_carries_any_bytes(data: bytes, offset: int) -> None:
    message = client_pb2.Publication.FromString(codec.encode_publication(data, None, offset))
    assert (message.data, message.offset) == (data, offset)


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 70_000])
def test_a_message_of_any_size_stands_behind_its_length(size: int) -> None:
    frame = codec.encode_publication_push(b"", codec.encode_publication(b"x" * size))
    [message] = cut(frame)
    assert client_pb2.Reply.FromString(message).push.pub.data == b"x" * size


def test_an_empty_result_still_has_its_key() -> None:
    assert read_replies(codec.encode_reply(4, PublishResult())) == [{"id": 4, "publish": {}}]


def test_the_ping_is_an_empty_reply() -> None:
    assert read_replies(codec.PING) == [{}]


def test_joined_replies_are_read_one_by_one() -> None:
    replies = [codec.PING, codec.encode_error(1, ErrorCode.INTERNAL.error), codec.PING]
    assert [bool(reply) for reply in read_replies(codec.join_replies(replies))] == [0, 1, 0]


@pytest.mark.parametrize("info", [b"null", b"1", b'{"user":1,"client":"c"}', b'{"user":"\xff"}'])
def test_a_sender_that_is_no_client_is_left_out(info: bytes) -> None:
    publication = client_pb2.Publication.FromString(codec.encode_publication(b"1", info))
    assert not publication.HasField("info")
    assert told(codec.encode_push("c", JoinPush(Payload(info)))) == {
        "push": {"channel": "c", "join": {"info": {}}}
    }


@given(st.binary(min_size=1))
def test_a_payload_where_deltas_are_told_is_as_it_is(payload: bytes) -> None:
    encoded = codec.encode_publication(codec.quote_data(payload), None, 3, "epoch")
    whole = client_pb2.Publication.FromString(encoded)
    changed = client_pb2.Publication.FromString(codec.mark_delta(encoded))
    assert (whole.data, whole.delta) == (payload, False)
    assert (changed.data, changed.delta, changed.offset, changed.epoch) == (
        payload,
        True,
        3,
        "epoch",
    )
