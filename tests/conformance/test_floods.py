"""Clients that send without end, never read, never speak or vanish: bounded, and nobody else's
trouble.
"""

import asyncio
import gc
import json
import time

import pytest

from tests.conformance.bystander import Bystander
from tests.conformance.client import (
    CONTINUATION,
    CUT_OFF,
    PING,
    ConnectionEnded,
    RawClient,
    frame,
    raw_client,
    request_of,
)
from tests.conformance.conftest import Server

pytestmark = pytest.mark.usefixtures("undisturbed")

MIB = 1024 * 1024
FLOOD_SECONDS = 1.0
# What a process takes more after a flood: buffers that were once filled are not given back.
GROWTH_BYTES = 24 * MIB


async def flood(client: RawClient, chunk: bytes, seconds: float = FLOOD_SECONDS) -> int | None:
    """Send the same without end; give the code if the server ends it."""
    deadline = time.monotonic() + seconds
    ending = asyncio.create_task(client.closed())
    try:
        while time.monotonic() < deadline and not ending.done():
            client.send(chunk)
            await client.drain()
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    if not ending.done() and time.monotonic() >= deadline:
        ending.cancel()
        return None
    return await ending


@pytest.mark.parametrize(
    ("chunk", "codes"),
    [
        (frame(b"", CONTINUATION, is_final=False) * 1000, (None,)),
        (frame(b"x", CONTINUATION, is_final=False) * 1000, (1009, CUT_OFF)),
        (frame(b"{}") * 1000, (None,)),
        (frame(b"\n".join([b"{}"] * 2048)), (None,)),
        (frame(b'{"id":2,"rpc":{}}') * 100, (None, 3008, CUT_OFF)),
        (frame(b'{"id":2,"publish":{"channel":"flood","data":NaN}}') * 100, (None, 3008, CUT_OFF)),
        (frame(b'{"id":2,"history":{"channel":"flood","limit":1}}') * 100, (None, 3008, CUT_OFF)),
        (frame(b'{"id":2,"subscribe":{"channel":"\\ud800"}}\n' * 200), (None, 3008, CUT_OFF)),
        (frame(b"x" * 100, PING) * 100, (None, 3008, CUT_OFF)),
    ],
    ids=[
        "endless empty fragments",
        "endless fragments",
        "endless pongs",
        "endless frames of pongs",
        "endless commands",
        "endless odd payloads",
        "endless histories",
        "endless odd commands",
        "endless pings",
    ],
)
async def test_a_flood_costs_bounded_memory(
    chunk: bytes, codes: tuple[int | None, ...], server: Server
) -> None:
    before = server.resident_bytes
    async with raw_client(server.port) as client:
        await client.begin()
        if chunk[0] & 0x0F == CONTINUATION:
            client.send(frame(b"", is_final=False))
        assert await flood(client, chunk) in codes
    assert server.resident_bytes - before < GROWTH_BYTES


async def test_a_flood_of_large_publishes_disturbs_nobody(server: Server) -> None:
    # What the pool and the log keep of them is memory here, where the broker is embedded.
    chunk = frame(b'{"id":2,"publish":{"channel":"plain:flood","data":"%b"}}' % (b"x" * 60_000))
    async with raw_client(server.port) as client:
        await client.begin()
        assert await flood(client, chunk) in (None, 3008, CUT_OFF)


async def test_a_client_that_never_reads_is_disconnected_as_slow(server: Server) -> None:
    before = server.resident_bytes
    known = len(ends(server, 3008))
    payload = "x" * 50_000
    async with (
        raw_client(server.port, receive_bytes=4096) as sleeper,
        raw_client(server.port) as publisher,
    ):
        await sleeper.begin()
        sleeper.say({"id": 2, "subscribe": {"channel": "plain:slow"}})
        await publisher.begin()
        async with asyncio.timeout(15):
            number = 2
            while len(ends(server, 3008)) == known:
                number += 1
                publisher.say({"id": number, "publish": {"channel": "plain:slow", "data": payload}})
                assert await publisher.line() == {"id": number, "publish": {}}
    assert server.resident_bytes - before < GROWTH_BYTES


async def test_a_reader_of_half_a_frame_at_a_time_gets_all_of_it(server: Server) -> None:
    async with raw_client(server.port, receive_bytes=4096) as client:
        await client.begin()
        for number in range(2, 6):
            client.say({"id": number, "publish": {"channel": "slowly", "data": "x" * 30_000}})
            assert (await client.line())["id"] == number
        client.say({"id": 9, "history": {"channel": "slowly", "limit": -1}})
        await asyncio.sleep(0.2)
        assert len((await client.line())["history"]["publications"]) == 3


async def test_a_client_that_never_connects_is_stale(hasty_server: Server) -> None:
    async with raw_client(hasty_server.port) as client:
        await client.upgrade()
        began = time.monotonic()
        assert await client.closed() == 3502
        assert 0.9 < time.monotonic() - began < 2.5


async def test_a_client_whose_connect_was_refused_is_stale(hasty_server: Server) -> None:
    async with raw_client(hasty_server.port) as client:
        await client.upgrade()
        client.say({"id": 1, "connect": {"token": "x.y.z"}})
        assert await client.closed() == 3500


async def test_a_client_that_answers_no_ping_is_disconnected(hasty_server: Server) -> None:
    async with raw_client(hasty_server.port) as client:
        await client.begin()
        assert await client.line() == {}
        with pytest.raises(ConnectionEnded) as end:
            await client.line()
        assert end.value.code == 3012


async def test_a_client_that_answers_pings_stays(hasty_server: Server) -> None:
    async with raw_client(hasty_server.port) as client:
        await client.begin()
        for _ in range(3):
            assert await client.line() == {}
            client.say({})


async def test_clients_that_vanish_leave_nothing(server: Server, undisturbed: Bystander) -> None:
    sessions = server_sessions(server)
    for _ in range(50):
        async with raw_client(server.port) as client:
            await client.begin()
            client.say({"id": 2, "subscribe": {"channel": "vanished"}})
            await client.line()
            client.cut()
    async with asyncio.timeout(5):
        while server_sessions(server) > sessions:  # noqa: ASYNC110  (asked from outside)
            await asyncio.sleep(0.05)


async def test_half_a_handshake_is_given_up(server: Server) -> None:
    sessions = server_sessions(server)
    clients = [await RawClient.connect(server.port) for _ in range(50)]
    for client in clients:
        client.send(request_of()[:-2])
    await asyncio.sleep(0.2)
    assert server_sessions(server) == sessions
    for client in clients:
        client.cut()


async def test_a_thousand_connections_come_and_go(server: Server) -> None:
    before = server.resident_bytes
    for _ in range(10):
        clients = [await RawClient.connect(server.port) for _ in range(100)]
        await asyncio.gather(*(client.begin() for client in clients))
        for client in clients:
            client.cut()
    gc.collect()
    assert server.resident_bytes - before < GROWTH_BYTES


def ends(server: Server, code: int) -> list[object]:
    """The sessions that the server ended with a code."""
    events = server.process.events("session ended by the server")
    return [event for event in events if event["code"] == code]


def server_sessions(server: Server) -> int:

    sessions: int = json.loads(server.get("/health")[1])["sessions"]
    return sessions
