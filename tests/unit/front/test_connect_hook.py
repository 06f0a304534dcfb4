"""The connect handler: who is let in, as whom, and what becomes of those who wait for its word."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from broker.registry import Node, open_registry
from forebay.hooks import ConnectAsk, ConnectReply, ServerSubscription, decode_hook, encode_hook
from services.auth import make_token
from services.front.encoding import Language
from services.front.encodings.one_way import ONE_WAY_FRAMES
from services.front.encodings.websocket_json import WEBSOCKET_JSON
from services.front.neighbours import SETTLING_SECONDS
from services.front.one_way import receive as receive_one_way
from services.front.plain.answers import PlainAnswers
from services.front.plain.conversation import PlainConversation
from services.front.plain.encoding import PlainText
from services.hook_messages import HookQuestions, decode_questions
from services.orders import DisconnectOrder, encode_order
from services.settings import Config, PlainConfig
from services.template import Template
from services.worker.handling.interface import Handled, Kind, Question, Verdict
from tests.unit.front.apps import NOW, AppStage, staging_apps
from tests.unit.front.handlers import Handler, Handlers, passes, refuses
from tests.unit.front.stage import SECRET, Client, ProtobufClient, open_config

CONNECT = {"id": 1, "connect": {}}


def hook_config(**app: Any) -> Config:
    return open_config(
        app={"connect_handler": True, **app}, client={"token": {"hmac_secret_key": SECRET}}
    )


def team(handler: Handler) -> Handlers:
    return Handlers({Kind.CONNECT: handler})


def replies(**reply: Any) -> Handler:
    return lambda question: Handled(Verdict.REPLIED, encode_hook(ConnectReply(**reply)))


async def connecting(stage: AppStage, **request: Any) -> tuple[Client, asyncio.Task[None]]:
    """A client that has asked to come in."""
    client = stage.stranger()
    task = asyncio.create_task(client.send({"id": 1, "connect": request}))
    return client, task


async def test_the_handler_is_asked_who_comes_and_may_let_it_in_as_it_is() -> None:
    handlers = team(passes)
    config = hook_config()
    async with staging_apps(config, handlers) as stage:
        token = make_token(config.client.token, "ann", info={"name": "Ann"})
        client = stage.stranger()
        result = await client.connect(token=token, data={"lang": "de"}, name="js", version="5")
    (question,) = handlers.asked
    ask = decode_hook(question.data, ConnectAsk)
    assert (ask.user, ask.has_token, ask.name, ask.version) == ("ann", True, "js", "5")
    assert ask.client == result["client"]
    assert json.loads(bytes(ask.data or b"")) == {"lang": "de"}
    assert json.loads(bytes(ask.info or b"")) == {"name": "Ann"}
    assert ask.remote == "192.0.2.1"
    assert client.session.user == "ann"
    assert "data" not in result


async def test_the_handler_says_who_a_client_is_and_what_it_follows() -> None:
    reply = replies(
        user="bob",
        info=msgspec.Raw(b'{"name":\n"Bob"}'),
        data=msgspec.Raw(b'{"motd":"hi"}'),
        subs={"plain:news": ServerSubscription(data=msgspec.Raw(b'{"n":1}'))},
    )
    async with staging_apps(hook_config(), team(reply)) as stage:
        for client in (stage.stranger(), ProtobufClient(stage.parts)):
            result = await client.connect()
            assert result["data"] == {"motd": "hi"}
            assert result["subs"] == {"plain:news": {"data": {"n": 1}}}
            assert client.session.user == "bob"
            assert json.loads(client.session.info(b""))["conn_info"] == {"name": "Bob"}
            assert stage.parts.hub.is_subscribed("plain:news")
            client.session.leave()


@pytest.mark.parametrize("hook_unanswered", ["deny", "allow"])
async def test_the_handlers_refusal_is_the_clients_error(hook_unanswered: str) -> None:
    config = hook_config(hook_unanswered=hook_unanswered)
    async with staging_apps(config, team(refuses(1001, "members only"))) as stage:
        client = stage.stranger()
        assert await client.ask({"id": 1, "connect": {}}) == [
            {"id": 1, "error": {"code": 1001, "message": "members only"}}
        ]
        assert not client.session.is_connected


async def test_a_refusal_with_a_disconnect_code_ends_the_session() -> None:
    async with staging_apps(hook_config(), team(refuses(4501, "banned"))) as stage:
        client = stage.stranger()
        await client.send({"id": 1, "connect": {}})
        assert client.line.closed == (4501, "banned")
        assert len(stage.parts.sessions) == 0


async def test_who_has_a_bad_token_is_not_even_asked_about() -> None:
    handlers = team(passes)
    async with staging_apps(hook_config(), handlers) as stage:
        client = stage.stranger()
        await client.send({"id": 1, "connect": {"token": "nonsense"}})
        assert client.closed == 3500
    assert handlers.asked == []


@pytest.mark.parametrize("hook_unanswered", ["deny", "allow"])
@pytest.mark.parametrize(
    "handled",
    [
        Handled(Verdict.FAILED, text="it raised"),
        Handled(Verdict.SWALLOWED),
        Handled(Verdict.REPLIED, b"nonsense"),
        Handled(Verdict.REPLIED, b'{"user":1}'),
        Handled(Verdict.REPLIED, b'{"info":1e999}'),
        Handled(Verdict.REPLIED, b'{"info":"' + b"x" * 5000 + b'"}'),
        Handled(Verdict.REPLIED, b'{"data":"' + b"x" * 70_000 + b'"}'),
    ],
    ids=lambda handled: str(handled.data[:20]),
)
async def test_a_handler_that_fails_lets_nobody_in(handled: Handled, hook_unanswered: str) -> None:
    config = hook_config(hook_unanswered=hook_unanswered)
    async with staging_apps(config, team(lambda question: handled)) as stage:
        client = stage.stranger()
        (reply,) = await client.ask({"id": 1, "connect": {}})
        assert (reply["error"]["code"], reply["error"]["temporary"]) == (100, True)


@pytest.mark.parametrize(("hook_unanswered", "is_in"), [("deny", False), ("allow", True)])
async def test_without_a_worker_the_settings_decide_at_once(
    hook_unanswered: str, is_in: bool
) -> None:
    async with staging_apps(hook_config(hook_unanswered=hook_unanswered)) as stage:
        client = stage.stranger()
        (reply,) = await client.ask({"id": 1, "connect": {}})
        assert client.session.is_connected is is_in
        assert is_in or (reply["error"]["code"], reply["error"]["temporary"]) == (100, True)


async def test_a_worker_whose_app_has_no_such_handler_is_as_good_as_none() -> None:
    async with staging_apps(hook_config(), Handlers({})) as stage:
        client = stage.stranger()
        (reply,) = await client.ask({"id": 1, "connect": {}})
        assert reply["error"]["code"] == 100


async def test_a_handler_that_takes_too_long_is_not_waited_for() -> None:
    handlers = team(passes)
    handlers.gate.clear()
    async with staging_apps(hook_config(hook_timeout=2), handlers) as stage:
        client, task = await connecting(stage)
        await stage.until(lambda: len(handlers.asked) == 1)
        await stage.pass_time(1.5)
        assert client.news() == []
        await stage.pass_time(1.0)
        await task
        (reply,) = client.news()
        assert reply["error"]["code"] == 100
        assert len(stage.parts.hooks) == 0


async def test_another_worker_is_asked_when_one_has_left() -> None:
    slow, quick = team(passes), team(passes)
    slow.gate.clear()
    async with staging_apps(hook_config(), slow, quick) as stage:
        tasks = [(await connecting(stage))[1] for _ in range(2)]
        await stage.until(lambda: len(slow.asked) == len(quick.asked) == 1)
        await stage.stop_worker(0)
        await stage.pass_time(0.5)
        await asyncio.wait_for(asyncio.gather(*tasks), 5)
        assert len(quick.asked) == 2
        assert all(each.is_connected for each in stage.parts.sessions)


async def test_another_worker_is_asked_when_one_is_killed_before_it_counts_as_gone() -> None:
    killed, other = team(passes), team(passes)
    killed.gate.clear()
    async with staging_apps(hook_config(hook_timeout=3), killed) as stage:
        (gone,) = stage.parts.neighbours.with_app()
        _, task = await connecting(stage)
        await stage.until(lambda: len(killed.asked) == 1)
        stage.broker.disconnect(gone)
        async with stage.another_worker(other):
            await stage.pass_time(2.25)
            # Workers say in real time that they are live.
            await stage.until(lambda: stage.parts.neighbours.overdue() == {gone})
            await stage.pass_time(0.25)
            await asyncio.wait_for(task, 5)
            assert gone in stage.parts.neighbours.with_app()
            assert len(other.asked) == 1
            _, task = await connecting(stage)
            await asyncio.wait_for(task, 5)
            assert (len(killed.asked), len(other.asked)) == (1, 2)
    assert all(each.is_connected for each in stage.parts.sessions)


async def test_busy_workers_are_passed_over_and_at_last_the_client_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.worker.hooks.UNDER_WAY_AT_MOST", 1)
    teams = team(passes), team(passes)
    for each in teams:
        each.gate.clear()
    async with staging_apps(hook_config(), *teams) as stage:
        waiting = [await connecting(stage) for _ in range(2)]
        await stage.until(lambda: all(len(each.asked) == 1 for each in teams))
        (reply,) = await stage.stranger().ask({"id": 1, "connect": {}})
        assert (reply["error"]["code"], reply["error"]["temporary"]) == (100, True)
        for each in teams:
            each.gate.set()
        await asyncio.wait_for(asyncio.gather(*(task for _, task in waiting)), 5)
        assert all(client.session.is_connected for client, _ in waiting)


async def test_a_front_that_has_just_started_waits_until_it_knows_its_workers() -> None:
    handlers = team(passes)
    async with staging_apps(hook_config(), handlers, settles=False) as stage:
        client, task = await connecting(stage)
        await stage.until(lambda: len(stage.parts.neighbours.with_app()) == 1)
        await stage.pass_time(0.5)
        await asyncio.wait_for(task, 5)
        assert client.session.is_connected


async def test_a_client_that_waits_for_the_handler_is_not_stale() -> None:
    handlers = team(passes)
    handlers.gate.clear()
    config = open_config(app={"connect_handler": True}, client={"stale_close_delay": 1})
    async with staging_apps(config, handlers) as stage:
        client, task = await connecting(stage)
        await stage.until(lambda: len(handlers.asked) == 1)
        await stage.pass_time(2.5)
        assert client.closed is None
        handlers.gate.set()
        await asyncio.wait_for(task, 5)
        assert client.session.is_connected


async def test_a_session_that_ends_while_it_waits_leaves_nothing() -> None:
    handlers = team(passes)
    handlers.gate.clear()
    config = hook_config(disconnect_handler=True)
    async with staging_apps(config, handlers) as stage:
        ended, ended_task = await connecting(stage)
        cancelled, cancelled_task = await connecting(stage)
        await stage.until(lambda: len(handlers.asked) == 2)
        ended.session.leave()
        cancelled_task.cancel()
        await asyncio.wait([cancelled_task])
        cancelled.session.leave()
        handlers.gate.set()
        await asyncio.wait_for(ended_task, 5)
        await stage.pass_time(4)
        assert len(stage.parts.hooks) == len(stage.parts.sessions) == len(stage.parts.wheel) == 0
        assert ended.news() == []
        assert [question.kind for question in handlers.asked] == [Kind.CONNECT] * 2


async def test_a_session_that_ended_before_it_was_refused_has_ended() -> None:
    handlers = team(refuses(103, "no"))
    handlers.gate.clear()
    async with staging_apps(hook_config(), handlers) as stage:
        client, task = await connecting(stage)
        await stage.until(lambda: len(handlers.asked) == 1)
        client.session.leave()
        handlers.gate.set()
        await asyncio.wait_for(task, 5)
        assert client.session.is_over
        assert client.closed is None
        assert client.news() == []


@pytest.mark.parametrize("encoding", [WEBSOCKET_JSON, ONE_WAY_FRAMES])
async def test_who_is_ordered_to_leave_while_the_handler_is_asked_does_not_come_in(
    encoding: Language,
) -> None:
    handlers = team(replies(user="ann"))
    handlers.gate.clear()
    async with staging_apps(hook_config(), handlers) as stage:
        client = Client(stage.parts, encoding=encoding)
        is_one_way = encoding is ONE_WAY_FRAMES
        comes = receive_one_way(client.session, b"{}") if is_one_way else client.send(CONNECT)
        task = asyncio.create_task(comes)
        await stage.until(lambda: len(handlers.asked) == 1)
        order = DisconnectOrder(user="ann", code=4500, reason="banned")
        stage.parts.ordering.carry_out(encode_order(order))
        handlers.gate.set()
        await asyncio.wait_for(task, 5)
        assert client.line.closed == (4500, "banned")
        later = await stage.client()
        assert later.session.is_connected


async def test_a_plain_client_that_is_ordered_to_leave_meanwhile_does_not_come_in() -> None:
    handlers = team(replies(user="ann"))
    handlers.gate.clear()
    async with staging_apps(hook_config(), handlers) as stage:
        plain = PlainConfig(enabled=True)
        language = PlainText(Template(plain.relay))
        client = Client(stage.parts, encoding=language)
        conversation = PlainConversation(language, PlainAnswers(plain), "plain:a", "")
        task = asyncio.create_task(conversation.open(client.session))
        await stage.until(lambda: len(handlers.asked) == 1)
        stage.parts.ordering.carry_out(encode_order(DisconnectOrder(user="ann")))
        handlers.gate.set()
        await asyncio.wait_for(task, 5)
        assert client.closed == 3503


async def test_who_has_given_up_is_forgotten_though_its_question_is_not_answered() -> None:
    handlers = team(passes)
    handlers.gate.clear()
    async with staging_apps(hook_config(), handlers) as stage:
        client, task = await connecting(stage)
        other, other_task = await connecting(stage)
        await stage.until(lambda: len(handlers.asked) == 2)
        other_task.cancel()
        await asyncio.wait([other_task])
        await stage.pass_time(0.5)
        assert len(stage.parts.hooks) == 1
        handlers.gate.set()
        await asyncio.wait_for(task, 5)
        assert client.session.is_connected
        other.session.leave()


async def test_questions_of_one_turn_travel_in_one_message_as_far_as_they_fit() -> None:
    messages: list[HookQuestions] = []

    def hear(body: bytes) -> None:
        message = decode_questions(body)
        if message is not None:
            messages.append(message)

    async with staging_apps(hook_config(hook_unanswered="allow")) as stage:
        node = Node("app", "worker", "app", ("main",), 0.0, has_app=True)
        async with (
            stage.broker.open("app") as access,
            open_registry(access.bus, node, pass_on=hear),
        ):
            await stage.until(lambda: bool(stage.parts.neighbours.with_app()))
            small = [await connecting(stage) for _ in range(100)]
            await stage.until(lambda: sum(len(m.questions) for m in messages) == 100)
            assert len(messages) == 1
            large = [await connecting(stage, data="x" * 30_000) for _ in range(4)]
            await stage.until(lambda: sum(len(m.questions) for m in messages) == 104)
            assert len(messages) == 5
            await stage.pass_time(4)
            await asyncio.wait_for(asyncio.gather(*(task for _, task in small + large)), 5)


async def test_more_questions_than_may_be_under_way_are_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.front.hooks.UNDER_WAY_AT_MOST", 1)
    handlers = team(passes)
    handlers.gate.clear()
    async with staging_apps(hook_config(), handlers) as stage:
        client, task = await connecting(stage)
        await stage.until(lambda: len(stage.parts.hooks) == 1)
        (reply,) = await stage.stranger().ask({"id": 1, "connect": {}})
        assert reply["error"]["code"] == 100
        handlers.gate.set()
        await asyncio.wait_for(task, 5)
        assert client.session.is_connected


async def test_a_term_that_the_handler_sets_is_not_told_and_no_token_changes_it() -> None:
    config = hook_config()
    async with staging_apps(config, team(replies(expire_at=NOW + 20))) as stage:
        token = make_token(config.client.token, "ann", expire_at=NOW + 600)
        client = stage.stranger()
        result = await client.connect(token=token)
        assert "expires" not in result
        (reply,) = await client.ask({"id": 2, "refresh": {"token": token}})
        assert reply["error"]["code"] == 108
        await stage.pass_time(21)
        assert client.closed == 3005


async def test_the_handler_may_lift_a_tokens_term() -> None:
    config = hook_config()
    async with staging_apps(config, team(replies(expire_at=0))) as stage:
        token = make_token(config.client.token, "ann", expire_at=NOW + 5)
        client = stage.stranger()
        assert "expires" not in await client.connect(token=token)
        for _ in range(10):
            await stage.pass_time(5)
            client.session.take_pong()
        assert client.closed is None


async def test_what_the_handler_adds_is_no_matter_of_the_tokens_that_refresh() -> None:
    config = hook_config()
    reply = replies(subs={"plain:news": ServerSubscription()})
    async with staging_apps(config, team(reply)) as stage:
        client = stage.stranger()
        await client.connect(token=make_token(config.client.token, "ann", expire_at=NOW + 60))
        token = make_token(config.client.token, "ann", expire_at=NOW + 600)
        (refreshed,) = await client.ask({"id": 2, "refresh": {"token": token}})
        assert refreshed["refresh"]["ttl"] == 600 - SETTLING_SECONDS


async def test_data_that_is_no_json_is_refused_before_anybody_is_asked() -> None:
    handlers = team(passes)
    async with staging_apps(hook_config(), handlers) as stage:
        client = stage.stranger()
        (reply,) = await client.ask(b'{"id":1,"connect":{"data":1e999}}')
        assert reply["error"]["code"] == 107
    assert handlers.asked == []


async def test_a_one_way_client_is_asked_about_too() -> None:
    def decide(question: Question) -> Handled:
        ask = decode_hook(question.data, ConnectAsk)
        if ask.name == "bad":
            return Handled(Verdict.REFUSED, code=1001, text="no")
        return Handled(Verdict.REPLIED, encode_hook(ConnectReply(data=msgspec.Raw(b"1"))))

    async with staging_apps(hook_config(), team(decide)) as stage:
        good, bad = (Client(stage.parts, encoding=ONE_WAY_FRAMES) for _ in range(2))
        await receive_one_way(good.session, b'{"name":"good"}')
        (push,) = good.news()
        assert push["connect"]["data"] == 1
        await receive_one_way(bad.session, b'{"name":"bad"}')
        assert bad.closed == 3507


async def test_a_plain_client_is_asked_about_too() -> None:
    plain = PlainConfig(enabled=True, welcome="hi {name}")

    async def come(stage: AppStage) -> Client:
        language = PlainText(Template(plain.relay))
        client = Client(stage.parts, encoding=language)
        conversation = PlainConversation(language, PlainAnswers(plain), "plain:a", "")
        await conversation.open(client.session)
        return client

    async with staging_apps(hook_config(), team(replies(user="bob"))) as stage:
        client = await come(stage)
        assert client.session.user == "bob"
        assert stage.parts.hub.is_subscribed("plain:a")
    async with staging_apps(hook_config(), team(refuses(103, "no"))) as stage:
        assert (await come(stage)).closed == 3507
