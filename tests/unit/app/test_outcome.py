"""What a handler gives, and what becomes of it."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson
import pytest

from forebay import (
    SWALLOW,
    Admission,
    App,
    Call,
    Connect,
    Disconnect,
    Left,
    Message,
    Publication,
    Refuse,
    Subscribe,
    Welcome,
)
from forebay.link import Answer, Kind, SideKind, Verdict
from tests.unit.app.trial import task, tried

CONNECT, SUBSCRIBE = b"{}", b'{"channel":"chat:1"}'


async def given(kind: Kind, result: Any, data: bytes = b"{}", *, is_binary: bool = False) -> Answer:
    """What becomes of what a handler of this kind gives, or raises."""
    app = App()

    def handler(event):  # type: ignore[no-untyped-def]
        if isinstance(result, Exception):
            raise result
        return result

    decorators: dict[Kind, Any] = {
        Kind.PUBLISH: app.publish("*"),
        Kind.RPC: app.rpc("*"),
        Kind.SEND: app.send(),
        Kind.DISCONNECT: app.disconnect(),
        Kind.CONNECT: app.connect(),
        Kind.SUBSCRIBE: app.subscribe("*"),
    }
    decorators[kind](handler)
    return await tried(app, task(1, data, kind=kind, is_binary=is_binary))


@pytest.mark.parametrize(
    ("kind", "result", "verdict", "data"),
    [
        (Kind.PUBLISH, None, Verdict.PASSED, b""),
        (Kind.PUBLISH, {"a": 1}, Verdict.CHANGED, b'{"a":1}'),
        (Kind.PUBLISH, SWALLOW, Verdict.SWALLOWED, b""),
        (Kind.RPC, None, Verdict.REPLIED, b"null"),
        (Kind.RPC, 3, Verdict.REPLIED, b"3"),
        (Kind.SEND, None, Verdict.PASSED, b""),
        (Kind.DISCONNECT, None, Verdict.PASSED, b""),
        (Kind.CONNECT, None, Verdict.PASSED, b""),
        (Kind.CONNECT, Welcome(user="ada"), Verdict.REPLIED, b'{"user":"ada"}'),
        (Kind.SUBSCRIBE, None, Verdict.PASSED, b""),
        (Kind.SUBSCRIBE, Admission(data=[1]), Verdict.REPLIED, b'{"data":[1]}'),
    ],
)
async def test_what_a_handler_returns_decides(
    kind: Kind, result: Any, verdict: Verdict, data: bytes
) -> None:
    asked = SUBSCRIBE if kind is Kind.SUBSCRIBE else b"{}"
    answer = await given(kind, result, asked)
    assert (answer.verdict, answer.data) == (verdict, data), answer


@pytest.mark.parametrize(
    ("kind", "result", "why"),
    [
        (Kind.PUBLISH, b"bytes", "bytes are no JSON"),
        (Kind.PUBLISH, object(), "a value of type object cannot be written as JSON"),
        (Kind.PUBLISH, Refuse("returned, not raised"), None),
        (Kind.PUBLISH, Welcome(), "it returned a Welcome, which is no data"),
        (Kind.RPC, SWALLOW, "it returned a Swallow, which is no data"),
        (Kind.SEND, 1, "nobody waits for an answer"),
        (Kind.DISCONNECT, False, "nobody waits for an answer"),
        (Kind.CONNECT, True, "a Welcome or None is wanted"),
        (Kind.CONNECT, Welcome(channels="chat:1"), "channels is a text"),
        (Kind.CONNECT, Welcome(user=7), "the reply is of no use"),  # type: ignore[arg-type]
        (Kind.CONNECT, Welcome(expire_at=datetime(2026, 1, 1)), "a time needs its zone"),  # noqa: DTZ001
        (Kind.SUBSCRIBE, Welcome(), "an Admission or None is wanted"),
        (Kind.PUBLISH, ValueError("broken"), "ValueError: broken"),
        (Kind.PUBLISH, Disconnect(), "Disconnect: "),
        (Kind.RPC, "x" * 1_100_000, "the answer has 1100002 bytes"),
    ],
)
async def test_what_means_nothing_is_a_failure(kind: Kind, result: Any, why: str | None) -> None:
    answer = await given(kind, result, SUBSCRIBE)
    if why is None:  # exceptions are raised here
        assert answer.verdict is Verdict.REFUSED
        return
    assert answer.verdict is Verdict.FAILED
    assert why in answer.text


async def test_binary_channels_take_bytes_as_they_are() -> None:
    answer = await given(Kind.PUBLISH, b"\x00\xff", b"\x01", is_binary=True)
    assert (answer.verdict, answer.data) == (Verdict.CHANGED, b"\x00\xff")
    assert (await given(Kind.PUBLISH, "text", b"\x01", is_binary=True)).verdict is Verdict.FAILED


async def test_binary_data_is_bytes_for_the_handler() -> None:
    app, seen = App(), []

    @app.publish("*")
    def look(event: Publication) -> None:
        seen.append((event.is_binary, event.data, event.raw))

    await tried(app, task(1, b"\x00{", is_binary=True))
    assert seen == [(True, b"\x00{", b"\x00{")]


@pytest.mark.parametrize(
    ("refusal", "code", "text"),
    [
        (Refuse("no links here", code=600), 600, "no links here"),
        (Refuse("no"), 402, "no"),
        (Refuse(), 402, "refused"),
        (Refuse(code=103), 103, "permission denied"),
        (Refuse("x" * 600), 402, "x" * 500),
        (Refuse("a\ud800b"), 402, "a?b"),
    ],
)
async def test_a_refusal_has_a_code_and_words(refusal: Refuse, code: int, text: str) -> None:
    answer = await given(Kind.PUBLISH, refusal)
    assert (answer.verdict, answer.code, answer.text) == (Verdict.REFUSED, code, text)


@pytest.mark.parametrize("code", [0, 99, 105, 109, 112, 400, 401, 499, 2000, 3000, 4000])
def test_codes_that_are_not_a_teams_own_are_none_to_refuse_with(code: int) -> None:
    with pytest.raises(ValueError, match="500 to 1999 are yours"):
        Refuse("no", code=code)


@pytest.mark.parametrize("kind", [Kind.CONNECT, Kind.SUBSCRIBE])
async def test_a_hook_may_end_the_session(kind: Kind) -> None:
    answer = await given(kind, Disconnect(4_501, "banned"), SUBSCRIBE)
    assert (answer.verdict, answer.code, answer.text) == (Verdict.REFUSED, 4_501, "banned")


@pytest.mark.parametrize(("code", "reason"), [(2_999, "no"), (5_000, "no"), (4_500, "x" * 124)])
def test_a_session_is_not_ended_with_what_no_close_frame_says(code: int, reason: str) -> None:
    with pytest.raises(ValueError, match="disconnect"):
        Disconnect(code, reason)


async def test_data_that_does_not_fit_is_refused_before_the_handler_is_called() -> None:
    app = App()

    @app.publish("*")
    def never(event: Publication[int]) -> None:
        raise AssertionError("it was called")

    answer = await tried(app, task(1, b'"secret"'))
    assert (answer.verdict, answer.code) == (Verdict.REFUSED, 401)
    assert answer.text == "invalid data: expected `int`, got `str`"


async def test_a_welcome_says_all_that_a_front_reads() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    welcome = Welcome(
        user="",
        info={"name": "Ada"},
        data=msgspec.Raw(b"[1]"),
        channels={"news": Admission(info=1, override={"presence": True}), "chat:1": Admission()},
        expire_at=moment,
    )
    answer = await given(Kind.CONNECT, welcome, CONNECT)
    assert orjson.loads(answer.data) == {
        "user": "",
        "info": {"name": "Ada"},
        "data": [1],
        "expire_at": moment.timestamp(),
        "subs": {"news": {"info": 1, "override": {"presence": True}}, "chat:1": {}},
    }


async def test_channels_may_be_a_list_of_names() -> None:
    answer = await given(Kind.CONNECT, Welcome(channels=["a", "b"]), CONNECT)
    assert orjson.loads(answer.data) == {"subs": {"a": {}, "b": {}}}


@pytest.mark.parametrize(
    ("kind", "verdict", "code"),
    [
        (Kind.PUBLISH, Verdict.PASSED, 0),
        (Kind.SEND, Verdict.PASSED, 0),
        (Kind.DISCONNECT, Verdict.PASSED, 0),
        (Kind.RPC, Verdict.REFUSED, 104),
        (Kind.CONNECT, Verdict.FAILED, 0),
        (Kind.SUBSCRIBE, Verdict.FAILED, 0),
    ],
)
async def test_without_a_handler_nobody_is_let_in(kind: Kind, verdict: Verdict, code: int) -> None:
    answer = await tried(App(), task(1, kind=kind))
    assert (answer.verdict, answer.code) == (verdict, code)


async def test_an_event_says_who_asks() -> None:
    app, seen = App(), []

    @app.send()
    def message(event: Message[str]) -> None:
        seen.append((event.user, event.client, event.conn_info, event.key, event.attempt))

    sender = b'{"user":"ada","client":"c1","conn_info":{"name":"Ada"}}'
    await tried(app, task(1, b'"hi"', kind=Kind.SEND, name="", sender=sender))
    await tried(app, task(2, b'"hi"', kind=Kind.SEND, name="", sender=b"null"))
    assert seen == [("ada", "c1", {"name": "Ada"}, "key-1", 1), ("", "", None, "key-2", 1)]


async def test_who_has_left_is_said_with_the_reason() -> None:
    app, seen = App(), []

    @app.disconnect()
    def left(event: Left) -> None:
        seen.append((event.user, event.code, event.reason))

    said = b'{"code":3001,"reason":"shutdown"}'
    await tried(app, task(1, said, kind=Kind.DISCONNECT, name=""))
    await tried(app, task(1, b"", kind=Kind.DISCONNECT, name=""))
    assert seen == [("ada", 3001, "shutdown"), ("ada", 0, "")]


async def test_a_subscribe_hook_sees_what_is_asked() -> None:
    app = App()

    @app.subscribe(namespace="chat")
    def subscribe(event: Subscribe[dict[str, int]]) -> Admission | None:
        assert (event.channel, event.user, event.client) == ("chat:1", "ada", "c1")
        assert (event.conn_info, event.has_token, event.data) == ([1], False, {"a": 1})
        return None

    asked = b'{"channel":"chat:1","user":"ada","client":"c1","info":[1],"data":{"a":1}}'
    answer = await tried(app, task(1, asked, kind=Kind.SUBSCRIBE))
    assert answer.verdict is Verdict.PASSED, answer


async def test_what_a_handler_does_besides_comes_with_its_answer() -> None:
    app = App()

    @app.publish("*")
    async def busy(event: Publication) -> None:
        event.publish("log:1", {"by": event.user})
        event.send("bob", "hi", client="c7")
        event.disconnect("eve", reason="spam")
        event.unsubscribe("eve", "chat:1")
        event.subscribe("bob", "vip", info={"a": 1}, expire_at=datetime(2030, 1, 1, tzinfo=UTC))
        event.refresh("bob", expire_at=5)
        event.expire("", client="c9")

    answer = await tried(app, task(1))
    assert answer.verdict is Verdict.PASSED
    first, *orders = answer.sides
    assert (first.kind, first.target, first.data) == (SideKind.PUBLISH, "log:1", b'{"by":"ada"}')
    assert [(side.target, orjson.loads(side.data)) for side in orders] == [
        ("bob", {"order": "send", "user": "bob", "client": "c7", "data": "hi"}),
        ("eve", {"order": "disconnect", "user": "eve", "code": 3503, "reason": "spam"}),
        ("eve", {"order": "unsubscribe", "user": "eve", "channel": "chat:1"}),
        (
            "bob",
            {
                "order": "subscribe",
                "user": "bob",
                "channel": "vip",
                "info": {"a": 1},
                "expire_at": datetime(2030, 1, 1, tzinfo=UTC).timestamp(),
            },
        ),
        ("bob", {"order": "refresh", "user": "bob", "expire_at": 5.0}),
        ("c9", {"order": "refresh", "client": "c9", "expired": True}),
    ]


async def test_a_refusal_takes_what_was_done_besides_along_and_a_failure_drops_it() -> None:
    app = App()

    @app.publish("*")
    def strict(event: Publication[str]) -> None:
        event.disconnect(event.user)
        raise Refuse("spam") if event.data == "spam" else ValueError("broken")

    assert len((await tried(app, task(1, b'"spam"'))).sides) == 1
    assert not (await tried(app, task(1, b'"ham"'))).sides


def refuse_with_much(event: Call[Any]) -> None:
    event.publish("a", "x" * 1_048_572)
    raise Refuse("no")


@pytest.mark.parametrize(
    "act",
    [
        refuse_with_much,
        lambda event: event.publish("", 1),
        lambda event: event.publish("x" * 256, 1),
        lambda event: event.publish("a", object()),
        lambda event: event.send("", 1),
        lambda event: event.disconnect("ada", code=17),
        lambda event: event.subscribe("x" * 1_001, "a"),
        lambda event: [event.publish("a", 1) for _ in range(101)],
        lambda event: [event.publish("a", "x" * 600_000) for _ in range(2)],
    ],
)
async def test_what_cannot_be_done_fails_the_handler(act: Any) -> None:
    app = App()

    @app.rpc("*")
    def handler(event: Call) -> None:
        act(event)

    answer = await tried(app, task(1, kind=Kind.RPC))
    assert (answer.verdict, answer.sides) == (Verdict.FAILED, [])


async def test_a_hook_of_nonsense_fails() -> None:
    app = App()

    @app.connect()
    def connect(event: Connect) -> None: ...

    answer = await tried(app, task(1, b"no", kind=Kind.CONNECT))
    assert answer.verdict is Verdict.FAILED
