"""Clients of the transports without WebSockets, which send the frames they are told to.

Rules: as for `client`: none answers, corrects or retries by itself.
"""

import asyncio
import json
from typing import Any

import aiohttp

from tests.conformance.client import WAIT_SECONDS, ConnectionEnded


class HttpClient:
    """One session: its first frame begins it, those after it are requests of their own."""

    is_pinged = True
    """Whether its connects are answered with how often it is pinged."""

    def __init__(self, http: aiohttp.ClientSession, port: int) -> None:
        self._http = http
        self._url = f"http://127.0.0.1:{port}"
        self._lines: list[Any] = []
        self._session: dict[str, str] = {}

    async def say(self, frame: bytes) -> None:
        """Send a frame."""
        raise NotImplementedError

    async def line(self) -> Any:
        """The next reply or push.

        Raises:
            ConnectionEnded: the server has said that the session ends.
        """
        async with asyncio.timeout(WAIT_SECONDS):
            while not self._lines:
                await self._fetch()
        line = self._lines.pop(0)
        why = line.get("push", {}).get("disconnect")
        if why is not None:
            raise ConnectionEnded(why["code"], why["reason"])
        if "session" in line.get("connect", {}):
            self._session = {name: line["connect"][name] for name in ("session", "node")}
        return line

    def leave(self) -> None:
        """Go without a word."""

    async def _fetch(self) -> None:
        """Wait for some lines."""
        raise NotImplementedError


class StreamClient(HttpClient):
    """Told by a streamed response."""

    _response: aiohttp.ClientResponse | None = None

    async def say(self, frame: bytes) -> None:
        """See `HttpClient.say`."""
        if self._response is None:
            self._response = await self._begin(frame)
            assert self._response.status == 200
            return
        body = json.dumps({**self._session, "data": frame.decode()})
        async with self._http.post(f"{self._url}/emulation", data=body) as answer:
            assert answer.status == 204

    def leave(self) -> None:
        """See `HttpClient.leave`."""
        if self._response is not None:
            self._response.close()

    async def _begin(self, frame: bytes) -> aiohttp.ClientResponse:
        json_type = {"Content-Type": "application/json"}
        url = f"{self._url}/connection/http_stream"
        return await self._http.post(url, data=frame, headers=json_type)

    async def _fetch(self) -> None:
        assert self._response is not None
        line = await self._response.content.readline()
        assert line, "the response ended without a word"
        text = line.strip().removeprefix(b"data: ")
        if text:
            self._lines.append(json.loads(text))


class SseClient(StreamClient):
    """Told by Server-Sent Events."""

    async def _begin(self, frame: bytes) -> aiohttp.ClientResponse:
        url = f"{self._url}/connection/sse"
        return await self._http.get(url, params={"cf_connect": frame.decode()})


class PollClient(HttpClient):
    """Told when it asks."""

    is_pinged = False

    def __init__(self, http: aiohttp.ClientSession, port: int) -> None:
        super().__init__(http, port)
        self._place: dict[str, Any] = {}

    async def say(self, frame: bytes) -> None:
        """See `HttpClient.say`; it is sent with the next request, alone."""
        await self._ask(frame.decode())

    async def _fetch(self) -> None:
        await self._ask("")

    async def _ask(self, commands: str) -> None:
        body = json.dumps({**self._place, "data": commands})
        async with self._http.post(f"{self._url}/connection/poll", data=body) as response:
            assert response.status == 200, await response.text()
            answer = await response.json()
        names = ("session", "node")
        self._place = {**{name: answer[name] for name in names}, "ack": answer["seq"]}
        self._lines += [json.loads(line) for line in answer["data"].splitlines()]
