"""The bytes of one-way clients: the request they send, and bare pushes."""

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.wire import json_codec, one_way
from services.wire.command import ConnectRequest, SubscribeRequest
from services.wire.errors import Disconnect, ProtocolError
from services.wire.reply import (
    PUSHES,
    ClientInfo,
    ConnectResult,
    DisconnectPush,
    JoinPush,
    LeavePush,
    MessagePush,
    Push,
    RefreshPush,
    SubscribePush,
    UnsubscribePush,
)

INFO = ClientInfo("alice", "c1")
ALL: tuple[Push, ...] = (
    JoinPush(INFO),
    LeavePush(INFO),
    UnsubscribePush(2000, "server unsubscribe"),
    SubscribePush(),
    MessagePush(msgspec.Raw(b'{"a":1}')),
    RefreshPush(expires=True, ttl=5),
    DisconnectPush.because(Disconnect.SHUTDOWN),
    ConnectResult("c1", "1"),
)


def test_every_push_is_tried() -> None:
    assert {type(push) for push in ALL} == PUSHES.keys()


@pytest.mark.parametrize("channel", ["", "a", 'quote"d\n'])
@pytest.mark.parametrize("push", ALL, ids=lambda push: type(push).__name__)
def test_a_push_is_that_of_the_client_protocol_without_its_envelope(
    push: Push, channel: str
) -> None:
    enveloped = json.loads(json_codec.encode_push(channel, push))
    assert json.loads(one_way.encode_push(channel, push)) == enveloped["push"]


@pytest.mark.parametrize("channel", ["a", 'quote"d\n'])
def test_a_publication_is_too(channel: str) -> None:
    publication = json_codec.encode_publication(b'{"a":[1]}', b'{"user":""}', 7, "e")
    told = [
        codec.encode_publication_push(codec.push_prefix(channel), publication)
        for codec in (json_codec, one_way)
    ]
    assert json.loads(told[1]) == json.loads(told[0])["push"]
    assert b"\n" not in told[1]


def test_the_answer_to_a_connect_is_a_push_without_what_is_of_no_use() -> None:
    result = ConnectResult("c1", "1", ping=25, pong=True, session="s", node="n")
    assert json.loads(one_way.encode_reply(0, result)) == {
        "connect": {"client": "c1", "version": "1", "ping": 25, "session": "s"}
    }


def test_a_request_is_read_as_within_its_command() -> None:
    text = b'{"token":"t","subs":{"a":{"recover":true,"offset":3,"epoch":"e"}},"of_tomorrow":[1]}'
    assert json_codec.decode_connect(text) == ConnectRequest(
        token="t", subs={"a": SubscribeRequest(recover=True, offset=3, epoch="e")}
    )


@given(st.binary() | st.text().map(str.encode))
def test_whatever_comes_is_a_request_or_none(text: bytes) -> None:
    with suppress(ProtocolError):
        assert isinstance(json_codec.decode_connect(text), ConnectRequest)


@pytest.mark.parametrize(
    "text", [b"", b"null", b"1", b"{", b"{}{}", b"[" * 100_000, b'{"a":' * 50_000, b"{\xff}"]
)
def test_no_request_is_read_from_what_is_none(text: bytes) -> None:
    with pytest.raises(ProtocolError) as refusal:
        json_codec.decode_connect(text)
    assert refusal.value.disconnect is Disconnect.BAD_REQUEST
