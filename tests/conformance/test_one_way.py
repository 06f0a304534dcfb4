"""The vectors of one-way clients, over each transport that they have."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import aiohttp
import pytest

from tests.conformance.client import WAIT_SECONDS, ConnectionEnded, RawClient, raw_client
from tests.conformance.conftest import Server
from tests.conformance.vector import ANY, Vector, differences
from tests.conformance.vectors.one_way import ALIVE, VECTORS

pytestmark = pytest.mark.usefixtures("undisturbed")


class Listener(Protocol):
    """A client that sends one frame."""

    async def begin(self, frame: bytes) -> None:
        """Send it."""

    async def line(self) -> Any:
        """The next push."""

    async def end(self, code: int) -> None:
        """Hold the server to have ended the connection, for this reason."""


class WebSocketListener:
    """Told by frames."""

    def __init__(self, client: RawClient) -> None:
        self._client = client

    async def begin(self, frame: bytes) -> None:
        """See `Listener.begin`."""
        await self._client.upgrade("/connection/uni_websocket")
        self._client.say(frame)

    async def line(self) -> Any:
        """See `Listener.line`."""
        return await self._client.line()

    async def end(self, code: int) -> None:
        """See `Listener.end`; the close frame says why, too."""
        with pytest.raises(ConnectionEnded) as end:
            await self._client.line()
        assert end.value.code == code


class LineListener:
    """Told by lines."""

    def __init__(self, http: aiohttp.ClientSession, port: int) -> None:
        self._http = http
        self._url = f"http://127.0.0.1:{port}/connection"
        self._response: aiohttp.ClientResponse | None = None

    async def begin(self, frame: bytes) -> None:
        """See `Listener.begin`."""
        self._response = await self._ask(frame)
        assert self._response.status == 200

    async def line(self) -> Any:
        """See `Listener.line`."""
        assert self._response is not None
        text = b""
        async with asyncio.timeout(WAIT_SECONDS):
            while not text:
                line = await self._response.content.readline()
                assert line, "the response ended without a word"
                text = line.removeprefix(b"data: ").strip()
        return json.loads(text)

    async def end(self, code: int) -> None:
        """See `Listener.end`."""
        assert self._response is not None
        async with asyncio.timeout(WAIT_SECONDS):
            assert not (await self._response.content.read()).strip()

    def leave(self) -> None:
        """Go without a word."""
        if self._response is not None:
            self._response.close()

    async def _ask(self, frame: bytes) -> aiohttp.ClientResponse:
        return await self._http.post(f"{self._url}/uni_http_stream", data=frame)


class EventListener(LineListener):
    """Told by Server-Sent Events."""

    async def _ask(self, frame: bytes) -> aiohttp.ClientResponse:
        params = {"cf_connect": frame.decode()}
        return await self._http.get(f"{self._url}/uni_sse", params=params)


@asynccontextmanager
async def listener_of(kind: str, port: int) -> AsyncIterator[Listener]:
    if kind == "uni_websocket":
        async with raw_client(port) as client:
            yield WebSocketListener(client)
        return
    async with aiohttp.ClientSession() as http:
        streamed = EventListener if kind == "uni_sse" else LineListener
        listener = streamed(http, port)
        try:
            yield listener
        finally:
            listener.leave()


@pytest.mark.parametrize("kind", ["uni_websocket", "uni_sse", "uni_http_stream"])
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.claim)
async def test_a_client_is_told_what_the_protocol_names(
    vector: Vector, kind: str, server: Server
) -> None:
    (turn,) = vector.turns
    async with listener_of(kind, server.port) as listener:
        await listener.begin(turn.send)
        for expected in turn.expect:
            holds(expected, await listener.line())
        if vector.close is not None:
            why = {"code": vector.close, "reason": ANY, "reconnect": vector.close < 3500}
            holds({"disconnect": why}, await listener.line())
            await listener.end(vector.close)
        else:
            await is_alive(listener, server.port)


def holds(expected: Any, got: Any) -> None:
    wrong = list(differences(expected, got))
    assert not wrong, f"{wrong} in {got}"


async def is_alive(listener: Listener, port: int) -> None:
    word = secrets.token_hex(4)
    async with raw_client(port) as publisher:
        await publisher.begin()
        publisher.say({"id": 2, "publish": {"channel": ALIVE, "data": word}})
        holds({"channel": ALIVE, "pub": {"data": word}}, await listener.line())
