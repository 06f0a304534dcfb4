"""Each vector, played over a WebSocket against a running front."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conformance.client import ConnectionEnded, RawClient, raw_client_of
from tests.conformance.conftest import Server
from tests.conformance.vector import Vector, differences
from tests.conformance.vectors import FAMILIES

LAST_ID = 4_000_000_000
EVERYTHING = [(family, vector) for family, vectors in FAMILIES.items() for vector in vectors]


pytestmark = pytest.mark.usefixtures("undisturbed")


def named(pair: tuple[str, Vector]) -> str:
    return f"{pair[0]}: {pair[1].claim}"


@pytest.mark.parametrize("pair", EVERYTHING, ids=named)
async def test_a_client_gets_what_the_protocol_names(
    pair: tuple[str, Vector], server: Server
) -> None:
    await holds(pair[1], RawClient, server)


async def holds(vector: Vector, kind: type[RawClient], server: Server) -> None:
    """Play a vector with a client of this kind."""
    async with raw_client_of(kind, server.port) as client:
        await client.upgrade()
        if vector.connect is not None:
            client.say({"id": 1, "connect": vector.connect})
            reply = await client.line()
            assert "connect" in reply, reply
        await play(client, vector)
        if vector.close is not None:
            assert await ended(client) == vector.close
        elif vector.connect is not None:
            await is_alive(client)


async def play(client: RawClient, vector: Vector) -> None:
    for turn in vector.turns:
        client.say(turn.send)
        for expected in turn.expect:
            try:
                got: Any = await client.line()
            except ConnectionEnded as end:
                pytest.fail(f"closed with {end}, expected {expected}")
            wrong = list(differences(expected, got))
            assert not wrong, f"{wrong} in {got}"


async def ended(client: RawClient) -> int:
    try:
        got: Mapping[str, Any] = await client.line()
    except ConnectionEnded as end:
        return end.code
    except (TimeoutError, asyncio.CancelledError):
        pytest.fail("the session lives")
    pytest.fail(f"not asked for: {got}")


async def is_alive(client: RawClient) -> None:
    client.say({"id": LAST_ID, "unsubscribe": {"channel": "never-followed"}})
    assert await client.line() == {"id": LAST_ID, "unsubscribe": {}}


def test_no_claim_is_made_twice() -> None:
    claims = [vector.claim for _, vector in EVERYTHING]
    assert len(claims) == len(set(claims))
