import msgspec
import pytest

from forebay.hooks import (
    ConnectAsk,
    ConnectReply,
    Hook,
    LeaveNote,
    ServerSubscription,
    SubscribeAsk,
    SubscribeReply,
    decode_hook,
    encode_hook,
)

RAW = msgspec.Raw(b'{"a": 1}')
VALUES: list[Hook] = [
    ConnectAsk(user="ada", client="c", info=RAW, data=RAW, headers={"cookie": "a=b"}),
    ConnectReply(user="ada", subs={"news": ServerSubscription(info=RAW)}, expire_at=12.5),
    SubscribeAsk(channel="room:1", user="ada", has_token=True, data=RAW),
    SubscribeReply(info=RAW, override={"presence": True}),
    LeaveNote(code=3001, reason="shutdown"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_is_asked_and_answered_comes_over_whole(value: Hook) -> None:
    # Raw values compare by identity, so they are compared as what they are written as.
    encoded = encode_hook(value)
    assert encode_hook(decode_hook(encoded, type(value))) == encoded


def test_a_reply_that_says_nothing_changes_nothing() -> None:
    reply = decode_hook(b"{}", ConnectReply)
    assert (reply.user, reply.info, reply.data, reply.expire_at, reply.subs) == (
        None,
        None,
        None,
        None,
        {},
    )


def test_what_a_later_version_says_besides_is_ignored() -> None:
    assert decode_hook(b'{"channel":"a","mood":3}', SubscribeAsk).channel == "a"


def test_nonsense_is_no_reply() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_hook(b'{"expire_at":"soon"}', SubscribeReply)
