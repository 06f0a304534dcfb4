"""The polling endpoint over real sockets: bodies, origins, aborted requests, the end of a front."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.unit.front.stream_client import listening_fronts, raw, request, until_settled
from tests.unit.front.test_streams import CONFIG, JSON, ORIGIN
from tests.unit.front.test_websocket import Front, read

POLL = "/connection/poll"
CONNECT = {"data": '{"id":1,"connect":{}}'}
SETTINGS = CONFIG.model_copy(
    update={"client": CONFIG.client.model_copy(update={"poll_wait": 1.0, "poll_return_delay": 1.0})}
)


@pytest_asyncio.fixture
async def fronts() -> AsyncIterator[list[Front]]:
    async with listening_fronts(SETTINGS) as fronts:
        yield fronts


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers=JSON) as http:
        yield http


async def poll(http: aiohttp.ClientSession, front: Front, body: Any) -> tuple[int, Any]:
    async with http.post(f"http://{front.address}{POLL}", data=json.dumps(body)) as response:
        text = await response.text()
        return response.status, json.loads(text) if text.startswith("{") else text


def next_of(answer: Any, **more: Any) -> Any:
    """What to send after an answer."""
    return {
        "session": answer["session"],
        "node": answer["node"],
        "ack": answer["seq"],
        "sent": answer["taken"],
        **more,
    }


@pytest.mark.parametrize("at", [0, 1], ids=["here", "there"])
async def test_a_publication_is_what_a_poll_waits_for(
    at: int, http: aiohttp.ClientSession, fronts: list[Front]
) -> None:
    _, answer = await poll(http, fronts[0], CONNECT)
    subscribe = '{"id":2,"subscribe":{"channel":"a"}}'
    _, answer = await poll(http, fronts[at], next_of(answer, data=subscribe))
    assert json.loads(answer["data"])["id"] == 2
    waiting = asyncio.create_task(poll(http, fronts[at], next_of(answer)))
    async with fronts[1].connect() as other:
        await other.send('{"id":1,"connect":{}}\n{"id":2,"publish":{"channel":"a","data":"hi"}}')
        await read(other, 2)
    status, answer = await waiting
    assert status == 200
    assert json.loads(answer["data"])["push"]["pub"]["data"] == "hi"
    assert await poll(http, fronts[at], next_of(answer, leave=True)) == (204, "")
    assert (await poll(http, fronts[at], next_of(answer)))[0] == 404


@pytest.mark.parametrize("at", [0, 1], ids=["here", "there"])
async def test_a_client_that_goes_in_the_middle_of_a_request_is_noticed(
    at: int, http: aiohttp.ClientSession, fronts: list[Front]
) -> None:
    async with fronts[1].connect() as watcher:
        await watcher.send(
            '{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"room:1","join_leave":true}}'
        )
        await read(watcher, 3)
        _, answer = await poll(http, fronts[0], CONNECT)
        subscribe = '{"id":2,"subscribe":{"channel":"room:1"}}'
        _, answer = await poll(http, fronts[0], next_of(answer, data=subscribe))
        await read(watcher, 1)
        async with raw(fronts[at]) as (_, writer):
            writer.write(request(POLL, json.dumps(next_of(answer)).encode()))
            await writer.drain()
            await asyncio.sleep(0.1)
        # A second is what it has to come back, and one more what the request would have waited.
        async with asyncio.timeout(1.7):
            assert "leave" in (await read(watcher, 1))[0]["push"]


async def test_a_front_that_ends_says_so_to_who_waits(
    http: aiohttp.ClientSession, fronts: list[Front]
) -> None:
    _, answer = await poll(http, fronts[0], CONNECT)
    await until_settled(fronts)
    waiting = asyncio.create_task(poll(http, fronts[1], next_of(answer)))
    await asyncio.sleep(0.1)
    fronts[0].stop.set()
    status, told = await waiting
    assert status == 200
    assert json.loads(told["data"])["push"]["disconnect"]["code"] == 3001
    async with asyncio.timeout(5):
        while (await poll(http, fronts[1], next_of(told)))[0] != 404:
            pass


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b"{}", 400),
        (b'{"session":1}', 400),
        (b'{"data":1}', 400),
        (b'{"session":"a","node":"b","ack":-2}', 400),
        (b'{"session":"a","node":"b","ack":1.5}', 400),
        (b'{"session":"a","node":"b","ack":9223372036854775808}', 400),
        (b'{"session":"a","node":"b","sent":-2}', 400),
        (b'{"session":"%b","node":"b"}' % (b"a" * 101), 400),
        (b'{"data":"%b"}' % (b"x" * 4097), 413),
        (b"x" * 20_000, 413),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_is_no_poll_is_refused(
    body: bytes, status: int, http: aiohttp.ClientSession, fronts: list[Front]
) -> None:
    url = f"http://{fronts[0].address}{POLL}"
    async with http.post(url, data=body, headers={"Origin": ORIGIN}) as response:
        assert response.status == status
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


async def test_a_poll_is_for_allowed_origins(
    http: aiohttp.ClientSession, fronts: list[Front]
) -> None:
    url = f"http://{fronts[0].address}{POLL}"
    evil = {"Origin": "https://evil.example"}
    async with http.post(url, data=json.dumps(CONNECT), headers=evil) as response:
        assert response.status == 403
    async with http.options(url, headers={"Origin": ORIGIN}) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Methods"] == "POST, OPTIONS"
    async with http.get(url) as response:
        assert response.status == 405
