"""The subscribe handler: whom it lets into a channel, and what it says of its stay there."""

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
import pytest

from forebay.hooks import SubscribeAsk, SubscribeReply, decode_hook, encode_hook
from services.auth import make_token
from services.front.encodings.one_way import ONE_WAY_FRAMES
from services.front.one_way import receive as receive_one_way
from services.front.plain.answers import PlainAnswers
from services.front.plain.conversation import PlainConversation
from services.front.plain.encoding import PlainText
from services.orders import SubscribeOrder, UnsubscribeOrder, encode_order
from services.settings import Config, PlainConfig
from services.template import Template
from services.worker.handling.interface import Handled, Kind, Question, Verdict
from tests.unit.front.apps import NOW, AppStage, staging_apps
from tests.unit.front.handlers import Handler, Handlers, passes, refuses
from tests.unit.front.stage import OPEN_CHANNELS, SECRET, Client, open_config

ASKED = {"subscribe_handler": True}


def hook_config(client: Mapping[str, Any] | None = None, **app: Any) -> Config:
    config = open_config(app=app, client={"token": {"hmac_secret_key": SECRET}, **(client or {})})
    changed = config.model_dump(exclude_unset=True)
    changed["namespace"] = [
        {"name": "open", **OPEN_CHANNELS, **ASKED},
        {"name": "kept", "history_size": 9, "history_ttl": "1m", "force_recovery": True, **ASKED},
        {"name": "shut", "allow_user_limited_channels": True, **ASKED},
        {"name": "unasked", **OPEN_CHANNELS},
    ]
    return Config.model_validate(changed)


def team(handler: Handler) -> Handlers:
    return Handlers({Kind.SUBSCRIBE: handler})


def replies(**reply: Any) -> Handler:
    return lambda question: Handled(Verdict.REPLIED, encode_hook(SubscribeReply(**reply)))


async def subscribe(client: Client, channel: str, **request: Any) -> Any:
    await client.send({"id": 2, "subscribe": {"channel": channel, **request}})
    (reply,) = [news for news in client.news() if news.get("id") == 2]
    return reply.get("subscribe", reply.get("error"))


async def test_the_handler_is_asked_and_may_let_a_client_have_the_channel() -> None:
    handlers = team(passes)
    config = hook_config()
    async with staging_apps(config, handlers) as stage:
        token = make_token(config.client.token, "ann", info={"name": "Ann"})
        client = await stage.client(token=token)
        assert await subscribe(client, "open:1", data={"seat": 4}) == {}
        assert await subscribe(client, "unasked:1") == {}
    (question,) = handlers.asked
    ask = decode_hook(question.data, SubscribeAsk)
    assert (ask.channel, ask.user, ask.client) == ("open:1", "ann", client.session.id)
    assert not ask.has_token
    assert json.loads(bytes(ask.data or b"")) == {"seat": 4}
    assert json.loads(bytes(ask.info or b"")) == {"name": "Ann"}
    assert question.name == "open:1"


async def test_the_handler_lets_in_whom_nothing_else_does() -> None:
    async with staging_apps(hook_config(), team(passes)) as stage:
        client = await stage.client()
        assert await subscribe(client, "shut:1") == {}
        assert stage.parts.hub.is_subscribed("shut:1")


@pytest.mark.parametrize("channel", ["$shut:1", "shut:1#bob", "$open:1"])
async def test_nobody_is_asked_where_the_name_keeps_a_client_out(channel: str) -> None:
    handlers = team(passes)
    async with staging_apps(hook_config(), handlers) as stage:
        client = await stage.client()
        assert (await subscribe(client, channel))["code"] == 103
    assert handlers.asked == []


async def test_a_token_does_not_spare_the_handler() -> None:
    config = hook_config()
    async with staging_apps(config, team(refuses(1001, "full"))) as stage:
        client = await stage.client(token=make_token(config.client.token, "ann"))
        token = make_token(config.client.token, "ann", channel="$shut:1")
        refused = await subscribe(client, "$shut:1", token=token)
        assert refused == {"code": 1001, "message": "full"}
        assert len(stage.parts.hub) == 0


async def test_a_refusal_with_a_disconnect_code_ends_the_session() -> None:
    async with staging_apps(hook_config(), team(refuses(4501, "banned"))) as stage:
        client = await stage.client()
        await client.send({"id": 2, "subscribe": {"channel": "open:1"}})
        assert client.line.closed == (4501, "banned")


async def test_the_handler_says_what_others_see_and_what_the_client_is_told() -> None:
    reply = replies(info=msgspec.Raw(b'{"role":"host"}'), data=msgspec.Raw(b'{\n"topic":1}'))
    async with staging_apps(hook_config(), team(reply)) as stage:
        client = await stage.client()
        assert await subscribe(client, "open:1") == {"data": {"topic": 1}}
        await client.send({"id": 3, "publish": {"channel": "open:1", "data": 1}})
        pushes = [news["push"]["pub"] for news in await client.next(2) if "push" in news]
        assert pushes[0]["info"]["chan_info"] == {"role": "host"}


async def test_a_term_that_the_handler_sets_is_not_told_and_no_token_changes_it() -> None:
    config = hook_config()
    async with staging_apps(config, team(replies(expire_at=NOW + 20))) as stage:
        client = await stage.client(token=make_token(config.client.token, "ann"))
        token = make_token(config.client.token, "ann", channel="$open:1", expire_at=NOW + 600)
        assert await subscribe(client, "$open:1", token=token) == {}
        (reply,) = await client.ask(
            {"id": 3, "sub_refresh": {"channel": "$open:1", "token": token}}
        )
        assert reply["error"]["code"] == 108
        await stage.pass_time(21)
        pushes = [news["push"] for news in client.news() if "push" in news]
        assert pushes == [
            {"channel": "$open:1", "unsubscribe": {"code": 2501, "reason": "subscription expired"}}
        ]


async def test_who_comes_back_to_recover_is_asked_about_again() -> None:
    may = [True, True, False]

    def decide(question: Question) -> Handled:
        return passes(question) if may.pop(0) else Handled(Verdict.REFUSED, code=103, text="no")

    async with staging_apps(hook_config(), team(decide)) as stage:
        client = await stage.client()
        result = await subscribe(client, "kept:1")
        await client.ask({"id": 3, "unsubscribe": {"channel": "kept:1"}})
        back = await subscribe(client, "kept:1", recover=True, epoch=result["epoch"])
        assert back["recovered"] is True
        await client.ask({"id": 3, "unsubscribe": {"channel": "kept:1"}})
        denied = await subscribe(client, "kept:1", recover=True, epoch=result["epoch"])
        assert denied["code"] == 103


@pytest.mark.parametrize(
    ("hook_unanswered", "channel", "code"),
    [
        ("deny", "open:1", 100),
        ("deny", "shut:1", 100),
        ("allow", "open:1", None),
        ("allow", "shut:1", 103),
    ],
)
async def test_without_an_answer_the_settings_decide(
    hook_unanswered: str, channel: str, code: int | None
) -> None:
    async with staging_apps(hook_config(hook_unanswered=hook_unanswered)) as stage:
        client = await stage.client()
        result = await subscribe(client, channel)
        assert result.get("code") == code
        assert result.get("temporary") == (True if code == 100 else None)


@pytest.mark.parametrize(
    "handled", [Handled(Verdict.FAILED, text="it raised"), Handled(Verdict.REPLIED, b'{"info":{')]
)
async def test_a_handler_that_fails_lets_nobody_in(handled: Handled) -> None:
    config = hook_config(hook_unanswered="allow")
    async with staging_apps(config, team(lambda question: handled)) as stage:
        client = await stage.client()
        assert (await subscribe(client, "open:1"))["code"] == 100
        assert len(stage.parts.hub) == 0


async def test_an_order_that_comes_while_the_handler_is_asked_is_not_doubled() -> None:
    handlers = team(passes)
    handlers.gate.clear()
    async with staging_apps(hook_config(), handlers) as stage:
        client = await stage.client()
        task = asyncio.create_task(client.send({"id": 2, "subscribe": {"channel": "open:1"}}))
        await stage.until(lambda: len(handlers.asked) == 1)
        order = SubscribeOrder(client=client.session.id, channel="open:1")
        stage.parts.ordering.carry_out(encode_order(order))
        handlers.gate.set()
        await asyncio.wait_for(task, 5)
        news = client.news()
        assert [each["error"]["code"] for each in news if "id" in each] == [105]
        assert stage.parts.hub.subscriptions == 1
        order_to_leave = UnsubscribeOrder(client=client.session.id)
        stage.parts.ordering.carry_out(encode_order(order_to_leave))
        assert len(stage.parts.hub) == 0


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (UnsubscribeOrder(user="ann", channel="open:1"), 103),
        (UnsubscribeOrder(user="ann", code=2502), 100),
        (UnsubscribeOrder(user="ann", channel="open:2"), 0),
        (UnsubscribeOrder(user="bob"), 0),
    ],
)
async def test_who_is_taken_out_while_the_handler_is_asked_does_not_get_in(
    order: UnsubscribeOrder, code: int
) -> None:
    handlers = team(passes)
    handlers.gate.clear()
    config = hook_config()
    async with staging_apps(config, handlers) as stage:
        client = await stage.client(token=make_token(config.client.token, "ann"))
        task = asyncio.create_task(subscribe(client, "open:1"))
        await stage.until(partial(is_asked, handlers, 1))
        stage.parts.ordering.carry_out(encode_order(order))
        handlers.gate.set()
        answer = await asyncio.wait_for(task, 5)
        assert answer.get("code", 0) == code
        assert stage.parts.hub.is_subscribed("open:1") == (code == 0)


async def test_a_session_that_ends_while_it_waits_joins_nothing() -> None:
    handlers = team(passes)
    handlers.gate.clear()
    async with staging_apps(hook_config(), handlers) as stage:
        client = await stage.client()
        task = asyncio.create_task(client.send({"id": 2, "subscribe": {"channel": "open:1"}}))
        await stage.until(lambda: len(handlers.asked) == 1)
        client.session.leave()
        handlers.gate.set()
        await asyncio.wait_for(task, 5)
        assert len(stage.parts.hub) == len(stage.parts.hooks) == 0


async def test_a_one_way_client_is_asked_about_for_each_channel_at_once() -> None:
    def decide(question: Question) -> Handled:
        reply = SubscribeReply(data=msgspec.Raw(json.dumps(question.name).encode()))
        return Handled(Verdict.REPLIED, encode_hook(reply))

    handlers = team(decide)
    handlers.gate.clear()
    async with staging_apps(hook_config(), handlers) as stage:
        client = Client(stage.parts, encoding=ONE_WAY_FRAMES)
        frame = json.dumps({"subs": {"open:1": {}, "shut:1": {}, "unasked:1": {}}}).encode()
        task = asyncio.create_task(receive_one_way(client.session, frame))
        await stage.until(lambda: len(handlers.asked) == 2)
        handlers.gate.set()
        await asyncio.wait_for(task, 5)
        (push,) = client.news()
        assert push["connect"]["subs"] == {
            "open:1": {"data": "open:1"},
            "shut:1": {"data": "shut:1"},
            "unasked:1": {},
        }


async def test_a_one_way_client_that_waits_for_the_handler_is_not_stale() -> None:
    handlers = team(passes)
    handlers.gate.clear()
    async with staging_apps(hook_config({"stale_close_delay": 1}), handlers) as stage:
        client = Client(stage.parts, encoding=ONE_WAY_FRAMES)
        frame = b'{"subs":{"open:1":{}}}'
        task = asyncio.create_task(receive_one_way(client.session, frame))
        await stage.until(lambda: len(handlers.asked) == 1)
        await stage.pass_time(2)
        assert client.closed is None
        handlers.gate.set()
        await asyncio.wait_for(task, 5)
        assert client.session.is_connected


async def test_a_client_is_not_taken_for_gone_while_its_pong_stands_behind_questions() -> None:
    def decide(question: Question) -> Handled:
        handlers.gate.clear()
        return passes(question)

    handlers = team(decide)
    handlers.gate.clear()
    config = hook_config({"ping_interval": 1, "pong_timeout": 0.75}, hook_timeout=0.5)
    async with staging_apps(config, handlers) as stage:
        client = await stage.client()
        await stage.pass_time(1.25)
        commands = [{"id": n, "subscribe": {"channel": f"open:{n}"}} for n in (2, 3, 4)]
        # Those that stand together would be asked about together.
        between = {"id": 9, "unsubscribe": {"channel": "open:9"}}
        frame = [commands[0], between, commands[1], between, commands[2], {}]
        task = asyncio.create_task(client.send(*frame))
        for asked in range(1, 4):
            await stage.until(partial(is_asked, handlers, asked))
            await stage.pass_time(0.25)
            handlers.gate.set()
        await asyncio.wait_for(task, 5)
        assert client.session.is_connected


async def test_of_subscribes_that_come_together_some_are_asked_about_at_once() -> None:
    def decide(question: Question) -> Handled:
        is_full = question.name == "open:3"
        return Handled(Verdict.REFUSED, code=1001) if is_full else passes(question)

    handlers = team(decide)
    handlers.gate.clear()
    async with staging_apps(hook_config(), handlers) as stage:
        client = stage.stranger()
        numbers = range(2, 22)
        asks = [{"id": n, "subscribe": {"channel": f"open:{n}"}} for n in numbers]
        task = asyncio.create_task(client.send({"id": 1, "connect": {}}, *asks))
        await stage.until(partial(is_asked, handlers, 16))
        assert [news["id"] for news in client.news()] == [1]
        handlers.gate.set()
        await asyncio.wait_for(task, 5)
        replies = client.news()
        assert [reply["id"] for reply in replies] == list(numbers)
        assert [reply["id"] for reply in replies if "error" in reply] == [3]
        assert stage.parts.hub.subscriptions == len(numbers) - 1


async def test_subscribes_that_come_together_are_carried_out_in_turn_with_what_is_between() -> None:
    async with staging_apps(hook_config({"channel_limit": 3}), team(passes)) as stage:
        client = await stage.client()
        channels = ["open:1", "open:1", "nowhere:1", "shut:1#bob", "unasked:2", "open:3", "open:4"]
        asks = [{"id": n, "subscribe": {"channel": c}} for n, c in enumerate(channels, 2)]
        again = [{"unsubscribe": {"channel": "open:1"}}, {"subscribe": {"channel": "open:1"}}]
        replies = await client.ask(*asks, *({"id": n, **c} for n, c in enumerate(again, 9)))
        assert [reply["id"] for reply in replies] == list(range(2, 11))
        codes = [reply["error"]["code"] if "error" in reply else 0 for reply in replies]
        assert codes == [0, 105, 102, 103, 0, 0, 106, 0, 0]


def is_asked(handlers: Handlers, times: int) -> bool:
    return len(handlers.asked) == times


async def test_a_one_way_client_that_may_not_have_one_channel_is_turned_away() -> None:
    async with staging_apps(hook_config(), team(refuses(1001, "full"))) as stage:
        client = Client(stage.parts, encoding=ONE_WAY_FRAMES)
        await receive_one_way(client.session, b'{"subs":{"open:1":{}}}')
        assert client.closed == 3507


async def come_plainly(stage: AppStage, channel: str) -> Client:
    plain = PlainConfig(enabled=True, welcome="hi")
    language = PlainText(Template(plain.relay))
    client = Client(stage.parts, encoding=language)
    conversation = PlainConversation(language, PlainAnswers(plain), channel, "")
    await conversation.open(client.session)
    return client


async def test_a_plain_client_is_let_in_by_the_handler_for_as_long_as_it_says() -> None:
    async with staging_apps(hook_config(), team(replies(expire_at=NOW + 5))) as stage:
        client = await come_plainly(stage, "shut:1")
        assert stage.parts.hub.is_subscribed("shut:1")
        await stage.pass_time(6)
        assert client.closed == 3006


async def test_a_plain_client_that_the_handler_refuses_is_turned_away() -> None:
    async with staging_apps(hook_config(), team(refuses(103, "no"))) as stage:
        assert (await come_plainly(stage, "open:1")).closed == 3507
