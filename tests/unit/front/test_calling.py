"""Calls and messages to the team's handlers, and the note of who has left."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from broker.record import Done, Refused, Replied
from forebay.hooks import LeaveNote, decode_hook
from services.front.calling import METHOD_BYTES_AT_MOST, Call
from services.wire import client_pb2
from services.worker.handling.interface import Handled, Kind, Question, Verdict
from tests.unit.front.handlers import Handlers, echoes, passes, refuses
from tests.unit.front.stage import NODE, ProtobufClient, Stage, open_config, staging


@pytest.fixture
def handlers() -> Handlers:
    """A team that answers each call with what came, and hears messages and who has left."""
    return Handlers({Kind.RPC: echoes, Kind.SEND: passes, Kind.DISCONNECT: passes})


@pytest_asyncio.fixture
async def app(handlers: Handlers) -> AsyncIterator[Stage]:
    """A front whose worker has these handlers."""
    config = open_config(app={"disconnect_handler": True}, client={"unanswered_publish_limit": 3})
    async with staging(config, handling=handlers) as stage:
        yield stage


async def test_a_call_is_answered_with_what_the_handler_gives_back(
    app: Stage, handlers: Handlers
) -> None:
    client = await app.client()
    await client.send({"id": 2, "rpc": {"method": "add", "data": {"a": [1, "ü"]}}})
    assert await client.next(1) == [{"id": 2, "rpc": {"data": {"a": [1, "ü"]}}}]
    (question,) = handlers.asked
    assert (question.kind, question.name) == (Kind.RPC, "add")
    assert client.session.id.encode() in question.sender
    assert client.session.unanswered == 0


async def test_a_call_in_protobuf_is_answered_alike(app: Stage) -> None:
    client = ProtobufClient(app.parts)
    await client.connect()
    await client.send({"id": 2, "rpc": {"method": "add", "data": {"a": 1}}})
    assert await client.next(1) == [{"id": 2, "rpc": {"data": {"a": 1}}}]


async def test_a_call_without_data_calls_with_null(app: Stage, handlers: Handlers) -> None:
    client = await app.client()
    await client.send({"id": 2, "rpc": {"method": "now"}})
    assert await client.next(1) == [{"id": 2, "rpc": {"data": None}}]
    assert handlers.asked[0].data == b"null"


async def test_a_reply_on_several_lines_does_not_break_the_frame(
    app: Stage, handlers: Handlers
) -> None:
    handlers.handlers[Kind.RPC] = lambda question: Handled(Verdict.REPLIED, b'{\n"a":\n1}')
    client = await app.client()
    await client.send({"id": 2, "rpc": {"method": "m", "data": 1}})
    assert await client.next(1) == [{"id": 2, "rpc": {"data": {"a": 1}}}]


async def test_a_handlers_refusal_is_the_callers_error(app: Stage, handlers: Handlers) -> None:
    handlers.handlers[Kind.RPC] = refuses(1042, "not on Sundays")
    client = await app.client()
    await client.send({"id": 2, "rpc": {"method": "m", "data": 1}})
    assert await client.next(1) == [{"id": 2, "error": {"code": 1042, "message": "not on Sundays"}}]


async def test_an_error_that_the_protocol_calls_temporary_is_told_as_such(stage: Stage) -> None:
    client = await stage.client()
    client.session.unanswered = 1
    Call(client.session, 3).settled(Refused(100, "internal server error"))
    assert client.news()[0]["error"]["temporary"] is True


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"method": "x" * (METHOD_BYTES_AT_MOST + 1)}, 107),
        ({"method": "ü" * (METHOD_BYTES_AT_MOST // 2 + 1)}, 107),
        ({"method": "a\u0007"}, 107),
    ],
)
async def test_what_is_no_call_is_refused(
    app: Stage, request_: dict[str, object], code: int
) -> None:
    client = await app.client()
    (reply,) = await client.ask({"id": 2, "rpc": request_})
    assert (reply["id"], reply["error"]["code"]) == (2, code)


@pytest.mark.parametrize("data", [b"{", b"\xff", b"1e999"])
async def test_what_is_no_json_is_no_call_in_protobuf_either(app: Stage, data: bytes) -> None:
    client = ProtobufClient(app.parts)
    await client.connect()
    command = client_pb2.Command(id=3, rpc=client_pb2.RPCRequest(method="m", data=data))
    message = command.SerializeToString()
    (reply,) = await client.ask(bytes((len(message),)) + message)
    assert (reply["id"], reply["error"]["code"]) == (3, 107)


async def test_without_handlers_a_call_is_not_available(stage: Stage) -> None:
    client = await stage.client()
    await client.send({"id": 2, "rpc": {"method": "m", "data": {}}})
    assert await client.next(1) == [{"id": 2, "error": {"code": 108, "message": "not available"}}]


async def test_without_handlers_a_message_to_the_server_ends_the_session(stage: Stage) -> None:
    client = await stage.client()
    await client.send({"send": {"data": 1}})
    await stage.until(lambda: client.closed == 3508)
    assert stage.parts.measures.lost_sends.value == 1


async def test_a_message_to_the_server_is_heard_and_not_answered(
    app: Stage, handlers: Handlers
) -> None:
    client = await app.client()
    await client.send({"send": {"data": {"x": 1}}})
    await app.until(lambda: client.session.unanswered == 0)
    assert [(q.kind, q.data) for q in handlers.asked] == [(Kind.SEND, b'{"x": 1}')]
    assert client.news() == []


async def test_a_refused_message_to_the_server_is_counted_and_the_client_stays(
    app: Stage, handlers: Handlers
) -> None:
    handlers.handlers[Kind.SEND] = refuses(1042, "no")
    client = await app.client()
    await client.send({"send": {"data": 1}})
    await app.until(lambda: client.session.unanswered == 0)
    assert client.closed is None
    assert app.parts.measures.lost_sends.value == 1


async def test_calls_and_publishes_share_what_may_be_unanswered(app: Stage) -> None:
    client = await app.client()
    (refused,) = await client.ask(
        {"id": 2, "publish": {"channel": "a", "data": 1}},
        {"id": 3, "rpc": {"method": "m", "data": 1}},
        {"send": {"data": 1}},
        {"id": 4, "rpc": {"method": "m", "data": 1}},
    )
    assert (refused["id"], refused["error"]["code"]) == (4, 111)
    assert refused["error"]["temporary"] is True
    assert {news["id"] for news in await client.next(2)} == {2, 3}


async def test_more_messages_to_the_server_than_may_be_unanswered_end_the_session(
    app: Stage,
) -> None:
    client = await app.client()
    await client.send(*({"send": {"data": n}} for n in range(4)))
    assert client.closed == 3013


async def test_what_is_no_message_to_the_server_ends_the_session(app: Stage) -> None:
    client = await app.client()
    await client.send(b'{"send":{"data":1e999}}')
    assert client.closed == 3501


async def test_while_the_broker_is_away_calls_are_refused_and_messages_lost(app: Stage) -> None:
    client = await app.client()
    app.broker.disconnect(NODE)
    (reply,) = await client.ask({"id": 2, "rpc": {"method": "m", "data": 1}}, {"send": {"data": 1}})
    assert (reply["id"], reply["error"]["code"]) == (2, 111)
    assert client.closed is None
    assert client.session.unanswered == 0
    assert app.parts.measures.lost_sends.value == 1


async def test_each_way_a_call_can_end_is_answered_once(stage: Stage) -> None:
    client = await stage.client()
    client.session.unanswered = 5
    calls = [Call(client.session, number) for number in range(2, 7)]
    for each in calls:
        each.confirmed()
    calls[0].settled(Done())
    calls[1].settled(Replied(b"1"))
    calls[2].refused()
    calls[3].given_up()
    calls[4].settled(Replied(b'"' + b"x" * 600_000 + b'"'))
    told = client.news()
    assert told[0] == {"id": 2, "rpc": {}}
    assert told[1] == {"id": 3, "rpc": {"data": 1}}
    assert [each["error"]["code"] for each in told[2:]] == [111, 400, 106]
    assert client.session.unanswered == 0


async def test_an_outcome_for_a_caller_that_has_left_goes_nowhere(
    app: Stage, handlers: Handlers
) -> None:
    client = await app.client()
    await client.send({"id": 2, "rpc": {"method": "m", "data": 1}}, {"send": {"data": 1}})
    client.session.leave()
    await app.until(lambda: client.session.unanswered == 0)
    assert client.news() == []


async def test_what_one_client_says_is_handled_in_order_and_its_leaving_last() -> None:
    heard: list[tuple[Kind, bytes]] = []

    def hear(question: Question) -> Handled:
        heard.append((question.kind, question.data))
        return Handled(Verdict.REPLIED if question.kind is Kind.RPC else Verdict.PASSED, b"1")

    handlers = Handlers({Kind.RPC: hear, Kind.SEND: hear, Kind.DISCONNECT: hear})
    config = open_config(app={"disconnect_handler": True}, lanes={"main": {"partitions": 4}})
    async with staging(config, handling=handlers) as stage:
        clients = [await stage.client() for _ in range(8)]
        for client in clients:
            await client.send(
                {"id": 2, "rpc": {"method": "m", "data": 1}},
                {"send": {"data": 2}},
                {"id": 3, "rpc": {"method": "m", "data": 3}},
            )
            client.session.leave()
        await stage.until(lambda: len(handlers.asked) == 32)
    for client in clients:
        own = [q for q in handlers.asked if client.session.id.encode() in q.sender]
        assert [q.data for q in own[:3]] == [b"1", b"2", b"3"]
        assert own[3].kind is Kind.DISCONNECT
    assert len(heard) == 32


async def test_the_team_is_told_with_what_code_a_client_was_ended(
    app: Stage, handlers: Handlers
) -> None:
    client, stranger = await app.client(), app.stranger()
    stranger.session.leave()
    await client.send({"id": 2, "ping": {}})
    await app.until(lambda: len(handlers.asked) == 1)
    assert decode_hook(handlers.asked[0].data, LeaveNote) == LeaveNote(
        code=3501, reason="bad request"
    )


async def test_of_a_leaving_that_nobody_could_be_told_of_there_is_a_count(app: Stage) -> None:
    client = await app.client()
    app.broker.disconnect(NODE)
    client.session.leave()
    assert app.parts.measures.lost_leavings.value == 1


async def test_without_a_disconnect_handler_nobody_is_told_who_left(handlers: Handlers) -> None:
    async with staging(handling=handlers) as stage:
        client = await stage.client()
        client.session.leave()
        await client.send({"id": 2, "rpc": {"method": "m"}})
        other = await stage.client()
        await other.send({"id": 2, "rpc": {"method": "m"}})
        await other.next(1)
        assert [question.kind for question in handlers.asked] == [Kind.RPC]
