"""Frames to commands and values to bytes, in JSON."""

import contextlib
import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.wire import json_codec as codec
from services.wire.command import (
    METHODS,
    Command,
    ConnectRequest,
    HistoryRequest,
    Malformed,
    PublishRequest,
    RPCRequest,
    SendRequest,
    SubscribeRequest,
    UnsubscribeRequest,
    method_of,
)
from services.wire.errors import Disconnect, ErrorCode, ProtocolError, Unsubscribed
from services.wire.reply import (
    ClientInfo,
    ConnectResult,
    DisconnectPush,
    HistoryResult,
    JoinPush,
    MessagePush,
    PresenceResult,
    PublishResult,
    SubscribeResult,
    UnsubscribePush,
    UnsubscribeResult,
)

PUBLISH = b'{"id":4,"publish":{"channel":"chat:1","data":{"text":"hi"}}}'


def refused(frame: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        codec.decode_frame(frame)
    assert caught.value.disconnect is Disconnect.BAD_REQUEST
    return caught.value


def only(frame: bytes) -> Command:
    [command] = codec.decode_frame(frame)
    return command


def test_a_payload_keeps_every_byte_the_client_sent() -> None:
    payload = b'{"b" : 1.00,"a":12345678901234567890123, "b":"\\u00e9"}'
    command = only(b'{"id":1,"publish":{"channel":"c","data":%b}}' % payload)
    assert isinstance(command.request, PublishRequest)
    assert bytes(command.request.data) == payload


@pytest.mark.parametrize("method", METHODS.values())
def test_every_method_of_the_protocol_is_read(method: str) -> None:
    command = only(json.dumps({"id": 7, method: {}}).encode())
    assert command.id == 7
    assert command.request is not None
    assert method_of(command.request) == method


def test_a_frame_of_the_js_sdk_yields_its_commands_in_order() -> None:
    frame = (
        b'{"connect":{"token":"t","name":"js"},"id":1}\n'
        b'{"subscribe":{"channel":"news","flag":1},"id":2}\n'
        b'{"subscribe":{"channel":"chat:1","recover":true,"epoch":"QwEr","offset":10},"id":3}\n'
    )
    assert codec.decode_frame(frame) == [
        Command(1, ConnectRequest(token="t", name="js")),
        Command(2, SubscribeRequest(channel="news", flag=1)),
        Command(3, SubscribeRequest(channel="chat:1", recover=True, epoch="QwEr", offset=10)),
    ]


def test_unknown_fields_are_ignored() -> None:
    command = only(b'{"id":1,"new":[1],"unsubscribe":{"channel":"c","why":{"x":1}}}')
    assert command == Command(1, UnsubscribeRequest("c"))


def test_null_means_the_zero_value_for_what_is_optional() -> None:
    command = only(b'{"id":1,"connect":{"token":null,"name":"x","data":null,"subs":null}}')
    assert isinstance(command.request, ConnectRequest)
    assert (command.request.token, command.request.name) == ("", "x")
    assert bytes(command.request.data) == b"null"
    history = only(b'{"id":1,"history":{"channel":"c","since":null}}')
    assert history.request == HistoryRequest("c")


@pytest.mark.parametrize("frame", [b"{}", b"{}\n", b'{"id":0}', b'{"id":0,"connect":{}}'])
def test_what_has_no_id_is_a_pong(frame: bytes) -> None:
    assert only(frame).is_pong


def test_a_send_needs_no_id() -> None:
    command = only(b'{"send":{"data":1}}')
    assert command.id == 0
    assert isinstance(command.request, SendRequest)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\n",
        b" \n ",
        b"[]",
        b"null",
        b"5",
        b'"connect"',
        b"{",
        b"}",
        b'{"id":1',
        b'{"id":1}',
        b'{"id":1,"dance":{}}',
        b'{"id":1,"publish":{},"rpc":{}}',
        b'{"id":1,"publish":null}',
        b'{"id":1,"publish":5}',
        b'{"id":-1,"publish":{}}',
        b'{"id":4294967296,"publish":{}}',
        b'{"id":"1","publish":{}}',
        b'{"id":1.5,"publish":{}}',
        b'{"id":1 "publish":{}}',
        b'{"id":1,"publish":{"data":{]}}}',
        b'{"id":1,"publish":{"data":"}}',
        b'{"id":1,"rpc":{"data":"\xff"}}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_a_frame_that_is_no_command_ends_the_session(frame: bytes) -> None:
    assert refused(frame).commands == ()


def test_commands_before_a_broken_line_are_kept() -> None:
    error = refused(PUBLISH + b'\n{"id":5,"rpc":{}}\n{"id":6,"rpc\n' + PUBLISH)
    assert [command.id for command in error.commands] == [4, 5]
    error = refused(PUBLISH + b'\n{"id":6}\n' + PUBLISH)
    assert [command.id for command in error.commands] == [4]


@pytest.mark.parametrize(
    "payload",
    [
        b'"\\ud800"',
        b'{"a":["\\udc00x"]}',
        b"NaN",
        b"01",
        b"1.",
        b"nope",
        b'"\\q"',
        b'"\x01"',
        b"[" * 3000 + b"]" * 3000,
        b'{"a":1,}',
    ],
)
def test_an_odd_payload_spoils_only_its_own_command(payload: bytes) -> None:
    odd = b'{"id":5,"publish":{"channel":"c","data":%b}}' % payload
    first, second, third = codec.decode_frame(b"\n".join([PUBLISH, odd, PUBLISH]))
    assert second.id == 5
    assert isinstance(second.request, Malformed)
    assert method_of(second.request) == "publish"
    assert isinstance(first.request, PublishRequest)
    assert isinstance(third.request, PublishRequest)
    assert isinstance(only(odd).request, Malformed)


def test_a_field_of_the_wrong_type_makes_the_command_malformed() -> None:
    command = only(b'{"id":9,"subscribe":{"channel":5}}')
    assert command.id == 9
    assert isinstance(command.request, Malformed)


def test_a_newline_within_a_command_does_not_end_it() -> None:
    frame = b'{"id":1,"publish":{"channel":"c",\n"data":{\n"a":\r\n1}}}\n{"id":2,"rpc":{}}'
    first, second = codec.decode_frame(frame)
    assert isinstance(first.request, PublishRequest)
    assert bytes(first.request.data) == b'{\n"a":\r\n1}'
    assert isinstance(second.request, RPCRequest)


def test_a_frame_of_more_commands_than_allowed_ends_the_session() -> None:
    allowed = b"\n".join([b"{}"] * codec.COMMANDS_A_FRAME)
    assert len(codec.decode_frame(allowed)) == codec.COMMANDS_A_FRAME
    error = refused(allowed + b"\n{}")
    assert len(error.commands) == codec.COMMANDS_A_FRAME


@pytest.mark.parametrize("odd", [b'{"id":1,"rpc":{"method":null}}', b'{"id":1,"rpc":{"data":NaN}}'])
def test_an_odd_command_counts_as_several(odd: bytes) -> None:
    at_most = codec.COMMANDS_A_FRAME // codec.ODD_COUNTS_AS
    allowed = b"\n".join([odd] * at_most)
    assert len(codec.decode_frame(allowed)) == at_most
    assert len(refused(allowed + b"\n{}").commands) == at_most
    assert len(refused(b" ".join([b"{}"] * (at_most + 1))).commands) == at_most


def test_blank_lines_between_odd_commands_do_no_harm() -> None:
    odd = b'{"id":5,"rpc":{"data":NaN}}'
    frame = b"\n \n".join([b"", odd, PUBLISH, b" " + odd + PUBLISH + b" ", b""])
    assert [command.id for command in codec.decode_frame(frame)] == [5, 4, 5, 4]


@pytest.mark.parametrize(
    "frame",
    [
        b'{"id":1,"publish":{"data":"' + b'\\"' * 32000,
        b"{" * 65000,
        b'{"a":' * 13000,
        b'"' * 65000,
        b"[" * 65000,
        b'{"id":1,"rpc":{"data":' + b"[" * 32000 + b"]" * 32000 + b"}}",
        b'{"id":1,"rpc":{"data":NaN}}\n' * 2000,
        b"{" + b" " * 65000 + b"x}",
        b'{"id":1,"rpc":{' + b'"a":1,' * 10000 + b"}}",
        b'{"id":1,"rpc":{"data":' + b"9" * 65000,
        b'{"id":1,"rpc":{"data":[' + b"[[]]," * 13000,
    ],
    ids=range(11),
)
def test_a_hostile_frame_is_read_in_linear_time(frame: bytes) -> None:
    began = time.process_time()
    with contextlib.suppress(ProtocolError):
        codec.decode_frame(frame)
    # Under 5 ms on a processor of its own; `python -m bench.decode` has the worst there are.
    assert time.process_time() - began < 0.25


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_commands_or_a_protocol_error(frame: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert codec.decode_frame(frame)


VALID = [
    PUBLISH,
    b'{"id":1,"connect":{"token":"a\\u00e9","subs":{"c":{"recover":true,"offset":3}}}}\n{}',
    b'{"id":3,"history":{"channel":"c","limit":-1,"since":{"offset":1,"epoch":"x"}}}',
    b'{"id":5,"publish":{"channel":"c","data":"\\ud800"}}\n{"id":6,"rpc":{"method":null}}',
]
PIECES = st.sampled_from([*b'{}[]",:\\\n 09-.eEnu\xff'])


@given(st.sampled_from(VALID), st.lists(st.tuples(st.integers(0, 120), PIECES), max_size=6))
def test_a_mutated_frame_yields_commands_or_a_protocol_error(
    frame: bytes, edits: list[tuple[int, int]]
) -> None:
    mutated = bytearray(frame)
    for at, piece in edits:
        mutated[at % len(mutated)] = piece
    try:
        commands = codec.decode_frame(bytes(mutated))
    except ProtocolError as error:
        commands = list(error.commands)
    assert all(0 <= command.id <= codec.LARGEST_ID for command in commands)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.integers(1, codec.LARGEST_ID), st.text(), JSON_VALUES)
def test_a_publish_round_trips(id: int, channel: str, data: object) -> None:
    text = json.dumps({"id": id, "publish": {"channel": channel, "data": data}}, ensure_ascii=False)
    try:
        frame = text.encode()
    except UnicodeEncodeError:
        return
    command = only(frame)
    assert command.id == id
    assert isinstance(command.request, PublishRequest)
    assert command.request.channel == channel
    assert json.loads(bytes(command.request.data)) == data


@given(
    st.lists(st.sampled_from([PUBLISH, b'{"id":1,"rpc":{"data":"\\ud800"}}', b"{}"]), min_size=1)
)
def test_commands_do_not_depend_on_their_neighbours(lines: list[bytes]) -> None:
    together = codec.decode_frame(b"\n".join(lines))
    alone = [only(line) for line in lines]
    assert [(c.id, type(c.request)) for c in together] == [(c.id, type(c.request)) for c in alone]


# ---- encoding


def test_an_empty_result_still_has_its_key() -> None:
    assert codec.encode_reply(4, PublishResult()) == b'{"id":4,"publish":{}}'
    assert codec.encode_reply(5, UnsubscribeResult()) == b'{"id":5,"unsubscribe":{}}'
    assert codec.encode_reply(3, SubscribeResult()) == b'{"id":3,"subscribe":{}}'


def test_required_fields_are_sent_even_when_zero() -> None:
    history = codec.encode_reply(1, HistoryResult([], "", 0))
    assert history == b'{"id":1,"history":{"publications":[],"epoch":"","offset":0}}'
    assert codec.encode_client_info(ClientInfo("", "")) == b'{"user":"","client":""}'
    assert codec.encode_reply(1, PresenceResult({})) == b'{"id":1,"presence":{"presence":{}}}'


def test_zero_values_are_left_out() -> None:
    connect = ConnectResult(client="c", version="1", ping=25, pong=True)
    assert (
        codec.encode_reply(1, connect)
        == b'{"id":1,"connect":{"client":"c","version":"1","ping":25,"pong":true}}'
    )


def test_recovered_publications_are_the_bytes_of_live_ones() -> None:
    publication = codec.encode_publication(b'{"a": 1}', None, 11)
    result = SubscribeResult(
        recoverable=True,
        positioned=True,
        epoch="QwEr",
        offset=10,
        recovered=True,
        was_recovering=True,
        publications=[msgspec.Raw(publication)],
    )
    assert b'"publications":[{"data":{"a": 1},"offset":11}]' in codec.encode_reply(3, result)
    pushed = codec.encode_publication_push(codec.push_prefix("chat:1"), publication)
    assert pushed == b'{"push":{"channel":"chat:1","pub":{"data":{"a": 1},"offset":11}}}'


@given(
    JSON_VALUES,
    st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(0, 2**64 - 1),
    st.text("abcXYZ09", max_size=8),
)
def test_a_publication_says_what_it_was_given(
    data: object, user: str | None, offset: int, epoch: str
) -> None:
    info = None if user is None else codec.encode_client_info(ClientInfo(user, "c"))
    encoded = codec.encode_publication(json.dumps(data).encode(), info, offset, epoch)
    assert b"\n" not in encoded
    found = json.loads(encoded)
    assert found.pop("data") == data
    assert found.pop("info", None) == (None if user is None else {"user": user, "client": "c"})
    assert found == ({"offset": offset} if offset else {}) | ({"epoch": epoch} if epoch else {})


def test_an_error_reply_says_whether_it_is_temporary() -> None:
    refusal = codec.encode_error(5, ErrorCode.BAD_REQUEST.error)
    assert refusal == b'{"id":5,"error":{"code":107,"message":"bad request"}}'
    busy = codec.encode_error(5, ErrorCode.TOO_MANY_REQUESTS.error)
    assert json.loads(busy)["error"]["temporary"] is True


def test_pushes_carry_their_channel_where_the_protocol_has_one() -> None:
    join = codec.encode_push('a"b', JoinPush(ClientInfo("u", "c")))
    assert json.loads(join) == {
        "push": {"channel": 'a"b', "join": {"info": {"user": "u", "client": "c"}}}
    }
    ended = codec.encode_push("c", UnsubscribePush.because(Unsubscribed.INSUFFICIENT_STATE))
    assert json.loads(ended)["push"]["unsubscribe"] == {
        "code": 2500,
        "reason": "insufficient state",
    }
    bye = codec.encode_push("", DisconnectPush.because(Disconnect.SHUTDOWN))
    assert bye == b'{"push":{"disconnect":{"code":3001,"reason":"shutdown","reconnect":true}}}'
    message = codec.encode_push("", MessagePush(msgspec.Raw(b'"x"')))
    assert message == b'{"push":{"message":{"data":"x"}}}'
    assert DisconnectPush.custom(4600, "banned") == DisconnectPush(4600, "banned", False)


def test_joined_replies_are_lines() -> None:
    assert codec.join_replies([codec.PING, codec.PING]) == b"{}\n{}"


@given(st.text())
def test_a_payload_where_deltas_are_told_is_a_string_of_itself(text: str) -> None:
    payload = json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")
    encoded = codec.encode_publication(codec.quote_data(payload), None, 3)
    assert json.loads(encoded) == {"data": payload.decode(), "offset": 3}
    assert b"\n" not in encoded
    assert json.loads(codec.mark_delta(encoded)) == {**json.loads(encoded), "delta": True}


def test_a_payload_that_is_no_text_ends_nobodys_fan_out() -> None:
    assert json.loads(codec.quote_data(b'"\xff"')) == '"\ufffd"'
