"""The vectors once more, over each transport that needs no WebSocket."""

import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.conformance.client import ConnectionEnded
from tests.conformance.conftest import Server, serving
from tests.conformance.http_client import HttpClient, PollClient, SseClient, StreamClient
from tests.conformance.test_vectors import EVERYTHING, LAST_ID, named
from tests.conformance.vector import ABSENT, Vector, differences

MESSAGE_TOO_LARGE = 1009
# What goes into the URL of an SSE request.
LONGEST = 5000


def can_be_said(vector: Vector) -> bool:
    """Whether its frames are text, of a size for any transport, and told of by replies."""
    frames = [turn.send for turn in vector.turns]
    try:
        texts = [frame.decode() for frame in frames]
    except UnicodeDecodeError:
        return False
    is_small = all(len(text) < LONGEST for text in texts)
    return vector.close != MESSAGE_TOO_LARGE and is_small and all(text.strip() for text in texts)


def goes_on_without_a_session(vector: Vector) -> bool:
    """Whether there are frames after a connect that failed: no request can bring them."""
    first = vector.turns[0]
    return vector.connect is None and len(vector.turns) > 1 and "error" in first.expect[0]


SAID = [
    pair for pair in EVERYTHING if can_be_said(pair[1]) and not goes_on_without_a_session(pair[1])
]


def test_most_vectors_can_be_said() -> None:
    assert len(SAID) > len(EVERYTHING) * 0.8


@pytest.fixture(scope="module", params=[StreamClient, SseClient, PollClient])
def spoken(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[type[HttpClient], Server]]:
    """A kind of client, and a front of its own: vectors begin with channels nobody has used."""
    for server in serving(tmp_path_factory.mktemp("http"), {"FOREBAY_CLIENT__POLL_WAIT": "1"}):
        yield request.param, server


@pytest.mark.parametrize("pair", SAID, ids=named)
async def test_a_client_gets_what_the_protocol_names(
    pair: tuple[str, Vector], spoken: tuple[type[HttpClient], Server]
) -> None:
    kind, server = spoken
    async with aiohttp.ClientSession() as http:
        client = kind(http, server.port)
        try:
            await holds(pair[1], client)
        finally:
            client.leave()


async def holds(vector: Vector, client: HttpClient) -> None:
    """Play a vector with this client."""
    if vector.connect is not None:
        await client.say(_line({"id": 1, "connect": vector.connect}))
        assert "connect" in await client.line()
    for turn in vector.turns:
        await client.say(turn.send)
        for expected in turn.expect:
            got = await client.line()
            wrong = list(differences(_expected(expected, client), got))
            assert not wrong, f"{wrong} in {got}"
    if vector.close is not None:
        with pytest.raises(ConnectionEnded) as end:
            await client.line()
        assert end.value.code == vector.close
    elif vector.connect is not None:
        await client.say(_line({"id": LAST_ID, "unsubscribe": {"channel": "never-followed"}}))
        assert await client.line() == {"id": LAST_ID, "unsubscribe": {}}


def _expected(reply: Any, client: HttpClient) -> Any:
    """What a reply is to this client: who polls is not pinged."""
    if client.is_pinged or "connect" not in reply:
        return reply
    return {**reply, "connect": {**reply["connect"], "ping": ABSENT, "pong": ABSENT}}


def _line(command: dict[str, object]) -> bytes:
    return json.dumps(command).encode()
