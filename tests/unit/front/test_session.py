"""The life of a session: connect, pings, expiry, and what ends it."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.auth import make_token
from services.settings import TokenConfig
from services.wire.errors import Disconnect
from tests.unit.front.stage import SECRET, FakeClock, Stage, open_config, staging

TOKENS = TokenConfig(hmac_secret_key=SECRET)
NOW = 1_000_000.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def strict(clock: FakeClock) -> AsyncIterator[Stage]:
    """A front that lets in nobody without a token."""
    config = open_config(
        client={
            "allow_anonymous_connect_without_token": False,
            "disallow_anonymous_connection_tokens": True,
            "token": {"hmac_secret_key": SECRET},
        }
    )
    async with staging(config, clock=clock, wall_clock=lambda: NOW + clock.now - 1000) as stage:
        yield stage


@pytest_asyncio.fixture
async def ticking(clock: FakeClock) -> AsyncIterator[Stage]:
    """A front open to everybody whose clock is the test's."""
    async with staging(clock=clock) as stage:
        yield stage


def pass_time(stage: Stage, clock: FakeClock, seconds: float) -> None:
    clock.turn(seconds)
    stage.parts.wheel.turn()


async def test_a_connect_reply_has_what_sdks_need(stage: Stage) -> None:
    result = await stage.stranger().connect(name="js")
    assert len(result["client"]) == 36
    assert result["version"]
    assert (result["ping"], result["pong"]) == (25, True)
    assert "expires" not in result


async def test_subscribes_in_the_connect_frame_are_answered_after_it(stage: Stage) -> None:
    client = stage.stranger()
    replies = await client.ask(
        {"id": 1, "connect": {}},
        {"id": 2, "subscribe": {"channel": "a"}},
        {"id": 3, "subscribe": {"channel": "b"}},
    )
    assert [reply["id"] for reply in replies] == [1, 2, 3]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b'{"id":1,"subscribe":{"channel":"a"}}', 3501),
        (b"{}", 3501),
        (b"", 3501),
        (b"[]", 3501),
        (b'{"id":1,"connect":{}}\n{"id":2,"connect":{}}', 3501),
        (b'{"id":1,"connect":{}}\n{"id":2,"ping":{}}', 3501),
        (b'{"id":1,"connect":{}}\nnonsense', 3501),
    ],
)
async def test_a_client_that_does_not_speak_the_protocol_is_let_go(
    stage: Stage, frame: bytes, code: int
) -> None:
    client = stage.stranger()
    await client.send(frame)
    assert client.closed == code
    assert len(stage.parts.sessions) == 0


async def test_commands_before_a_broken_one_are_carried_out(stage: Stage) -> None:
    client = stage.stranger()
    await client.send(b'{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}\n{"id":')
    assert client.closed == 3501
    assert [reply["id"] for reply in client.news()] == [1, 2]


async def test_a_malformed_request_is_refused_and_the_session_lives(stage: Stage) -> None:
    client = await stage.client()
    (reply,) = await client.ask(b'{"id":2,"publish":{"channel":"a","data":"\\ud800"}}')
    assert (reply["id"], reply["error"]["code"]) == (2, 107)
    assert client.closed is None


@pytest.mark.parametrize("method", ["presence", "presence_stats"])
async def test_what_is_not_served_is_not_available(stage: Stage, method: str) -> None:
    client = await stage.client()
    (reply,) = await client.ask({"id": 2, method: {"channel": "a"}})
    assert reply == {"id": 2, "error": {"code": 108, "message": "not available"}}


async def test_nobody_comes_in_without_a_token(strict: Stage) -> None:
    client = strict.stranger()
    await client.send({"id": 1, "connect": {}})
    assert client.closed == 3501


async def test_a_forged_token_ends_the_session(strict: Stage) -> None:
    client = strict.stranger()
    await client.send({"id": 1, "connect": {"token": make_token(TOKENS, "ann") + "x"}})
    assert client.closed == 3500


async def test_a_token_without_a_user_ends_the_session_where_it_is_disallowed(
    strict: Stage,
) -> None:
    client = strict.stranger()
    await client.send({"id": 1, "connect": {"token": make_token(TOKENS, "")}})
    assert client.closed == 3507


async def test_an_expired_token_is_an_error_and_the_rest_of_the_frame_is_discarded(
    strict: Stage,
) -> None:
    client = strict.stranger()
    token = make_token(TOKENS, "ann", expire_at=NOW - 1)
    replies = await client.ask(
        {"id": 1, "connect": {"token": token}}, {"id": 2, "subscribe": {"channel": "a"}}
    )
    assert replies == [{"id": 1, "error": {"code": 109, "message": "token expired"}}]
    assert client.closed is None
    await client.send({"id": 3, "subscribe": {"channel": "a"}})
    assert client.closed == 3501


async def test_a_refused_client_that_stays_is_let_go(strict: Stage, clock: FakeClock) -> None:
    client = strict.stranger()
    await client.send({"id": 1, "connect": {"token": make_token(TOKENS, "ann", expire_at=NOW - 1)}})
    pass_time(strict, clock, 10.5)
    assert client.closed == 3502


async def test_a_client_that_does_not_connect_in_time_is_let_go(
    ticking: Stage, clock: FakeClock
) -> None:
    client = ticking.stranger()
    pass_time(ticking, clock, 9.5)
    assert client.closed is None
    pass_time(ticking, clock, 1)
    assert client.closed == 3502


async def test_a_client_that_answers_pings_stays(ticking: Stage, clock: FakeClock) -> None:
    client = await ticking.client()
    client.news()
    for _ in range(4):
        pass_time(ticking, clock, 25.3)
        assert client.news() == [{}]
        await client.send({})
        pass_time(ticking, clock, 11)
        assert client.closed is None
        pass_time(ticking, clock, -11)


async def test_only_a_pong_counts_as_one(ticking: Stage, clock: FakeClock) -> None:
    client = await ticking.client()
    pass_time(ticking, clock, 25.3)
    await client.send({"id": 2, "subscribe": {"channel": "a"}})
    pass_time(ticking, clock, 10.3)
    assert client.closed == 3012


async def test_a_client_may_ask_for_websocket_pings(ticking: Stage, clock: FakeClock) -> None:
    client = ticking.stranger(pings_by_frame=True)
    result = await client.connect()
    assert "ping" not in result
    pass_time(ticking, clock, 25.3)
    ticking.parts.flusher.flush()
    assert client.wire.writes[-1] == b"\x89\x00"


async def test_a_session_expires_with_its_token_after_the_grace(
    strict: Stage, clock: FakeClock
) -> None:
    client = strict.stranger()
    result = await client.connect(token=make_token(TOKENS, "ann", expire_at=NOW + 60))
    assert (result["expires"], result["ttl"]) == (True, 60)
    for _ in range(4):
        pass_time(strict, clock, 21)
        client.session.take_pong()
    assert client.closed is None
    pass_time(strict, clock, 2)
    assert client.closed == 3005


async def test_a_refresh_prolongs_a_session(strict: Stage, clock: FakeClock) -> None:
    client = strict.stranger()
    await client.connect(token=make_token(TOKENS, "ann", expire_at=NOW + 60))
    token = make_token(TOKENS, "ann", expire_at=NOW + 600)
    (reply,) = await client.ask({"id": 2, "refresh": {"token": token}})
    assert reply["refresh"]["ttl"] == 600
    for _ in range(5):
        pass_time(strict, clock, 21)
        client.session.take_pong()
    assert client.closed is None


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (make_token(TOKENS, "bob"), 3500),
        ("nonsense", 3500),
        (make_token(TOKENS, "ann", expire_at=NOW - 1), 3005),
    ],
)
async def test_a_refresh_with_a_bad_token_ends_the_session(
    strict: Stage, token: str, code: int
) -> None:
    client = strict.stranger()
    await client.connect(token=make_token(TOKENS, "ann", expire_at=NOW + 60))
    await client.send({"id": 2, "refresh": {"token": token}})
    assert client.closed == code


async def test_a_refresh_without_a_token_is_refused(strict: Stage) -> None:
    client = strict.stranger()
    await client.connect(token=make_token(TOKENS, "ann"))
    (reply,) = await client.ask({"id": 2, "refresh": {}})
    assert reply["error"]["code"] == 107


async def test_a_session_that_has_ended_leaves_nothing_behind(stage: Stage) -> None:
    client = await stage.client()
    await client.send({"id": 2, "subscribe": {"channel": "a"}})
    client.session.disconnect(Disconnect.FORCED)
    client.session.disconnect(Disconnect.SLOW)
    assert client.line.closed == (3503, "force disconnect")
    assert (len(stage.parts.hub), len(stage.parts.sessions), len(stage.parts.wheel)) == (0, 0, 0)
    await client.send({"id": 3, "subscribe": {"channel": "a"}})
    assert (len(stage.parts.hub), client.news()[-1]["id"]) == (0, 2)


async def test_a_client_that_does_not_read_is_disconnected_as_slow(stage: Stage) -> None:
    client = await stage.client()
    client.wire.is_stalled = True
    client.wire.unsent_bytes = stage.parts.config.client.queue_max_size
    await client.send({"id": 2, "subscribe": {"channel": "a"}})
    assert client.closed == 3008
    assert len(stage.parts.hub) == 0


async def test_a_reply_is_one_line_of_json(stage: Stage) -> None:
    client = await stage.client()
    (reply,) = await client.ask({"id": 2, "unsubscribe": {"channel": "never subscribed"}})
    assert json.dumps(reply) == '{"id": 2, "unsubscribe": {}}'
