"""A client that is cut off again and again and recovers what it missed, as the SDKs do.

Its position is the offset of the last publication it was given, with the epoch of the subscribe
reply; connect and subscribe leave in one frame. What it was told goes into a journal of the fault
tests, whose checker decides.

Not here: how often it is cut off, and what is made of it all (jitter.py).
"""

import asyncio
import time
from array import array
from collections.abc import Callable
from random import Random
from typing import Any, cast

import orjson

from bench.clients import PING, PONG_FRAME, Endpoint
from bench.websocket import HANDSHAKE_END, FrameReader, ServerClosed, text_frame
from tests.faults.journal import Interrupted, Journal, Received, Resumption, Subscribed

ANSWER_SECONDS = 20.0
CONNECT_ID, SUBSCRIBE_ID = 1, 2

Reply = dict[str, Any]


class Tallies:
    """What all clients of a run found, together."""

    def __init__(self) -> None:
        self.replays_ms = array("d")
        """From the start of connecting to the arrival of what was missed, where something was."""
        self.recovered = 0
        """Subscribes that went on without a hole, whether something was missed or not."""
        self.unrecovered = 0
        self.replayed = 0
        """Publications that came with a subscribe reply."""
        self.cuts = 0


class _Line(asyncio.Protocol):
    """One connection: hands on whole replies until it ends."""

    def __init__(self, endpoint: Endpoint, first: bytes, take: Callable[[Reply], None]) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._endpoint = endpoint
        self._first = first
        self._take = take
        self._frames = FrameReader()
        self._response: bytes | None = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._endpoint.request)

    def data_received(self, data: bytes) -> None:
        if self._response is not None:
            head, end, data = (self._response + data).partition(HANDSHAKE_END)
            if not end:
                self._response = head
                return
            self._response = None
            self._transport.write(self._first)
        try:
            messages = self._frames.feed(data)
        except ServerClosed as closed:
            self._end(str(closed))
            return
        for message in messages:
            for line in message.split(b"\n"):
                if line == PING:
                    self._transport.write(PONG_FRAME)
                else:
                    self._take(orjson.loads(line))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc or "connection lost"))

    def cut(self) -> None:
        """End it without a word."""
        self._transport.abort()

    def _end(self, why: str) -> None:
        if not self.lost.done():
            self.lost.set_result(why)


class Recovering:
    """One client of one channel, over as many connections as it takes."""

    def __init__(self, name: str, channel: str, fronts: list[Endpoint], random: Random) -> None:
        self.journal = Journal(name)
        self.offsets: list[int] = []
        """Of all publications, in the order in which they came."""
        self.subscribed = asyncio.Event()
        self._channel = channel
        self._fronts = fronts
        self._random = random
        self._epoch = ""
        self._offset = 0
        self._may_recover = False
        self._tallies = Tallies()
        self._began_at = 0.0

    async def run(
        self, tallies: Tallies, stay: Callable[[], float], away: Callable[[], float]
    ) -> None:
        """Follow the channel until cancelled; `stay` and `away` say for how many seconds each time.

        Cancelling: the connection is cut.
        """
        self._tallies = tallies
        loop = asyncio.get_running_loop()
        while True:
            endpoint = self._random.choice(self._fronts)
            self._began_at = time.perf_counter()
            _, line = await loop.create_connection(
                lambda at=endpoint: _Line(at, self._first_frame(), self._take),  # type: ignore[misc]
                endpoint.host,
                endpoint.port,
            )
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self.subscribed.wait()
                await asyncio.wait((line.lost,), timeout=stay())
            finally:
                line.cut()
            self.subscribed.clear()
            if line.lost.done():
                self.journal.note(Interrupted(line.lost.result()))
            else:
                tallies.cuts += 1
                self.journal.note(Interrupted("cut"))
            await asyncio.sleep(away())

    def _first_frame(self) -> bytes:
        subscribe: Reply = {"channel": self._channel, "recoverable": True}
        if self._may_recover:
            subscribe |= {"recover": True, "epoch": self._epoch, "offset": self._offset}
        commands = ({"id": CONNECT_ID, "connect": {}}, {"id": SUBSCRIBE_ID, "subscribe": subscribe})
        return text_frame(b"\n".join(map(orjson.dumps, commands)))

    def _take(self, reply: Reply) -> None:
        if "push" in reply:
            self._note(reply["push"]["pub"])
        elif reply.get("id") == SUBSCRIBE_ID and "subscribe" in reply:
            self._take_subscribed(reply["subscribe"])
        elif reply.get("id") != CONNECT_ID or "connect" not in reply:
            raise ConnectionError(f"a client was refused: {reply}")

    def _take_subscribed(self, result: Reply) -> None:
        missed = result.get("publications", [])
        resumption = Resumption.FRESH
        if self._may_recover:
            is_recovered = result.get("recovered", False)
            resumption = Resumption.RECOVERED if is_recovered else Resumption.UNRECOVERED
            self._tallies.recovered += is_recovered
            self._tallies.unrecovered += not is_recovered
            self._tallies.replayed += len(missed)
            if missed:
                self._tallies.replays_ms.append((time.perf_counter() - self._began_at) * 1e3)
        self._epoch, self._offset = result.get("epoch", ""), result.get("offset", 0)
        self._may_recover = result.get("recoverable", False)
        self.journal.note(Subscribed(self._channel, self._epoch, self._offset, resumption))
        for publication in missed:
            self._note(publication)
        self.subscribed.set()

    def _note(self, publication: Reply) -> None:
        self._offset = publication["offset"]
        self.offsets.append(self._offset)
        attempt = publication["data"]["attempt"]
        self.journal.note(Received(self._channel, self._epoch, self._offset, attempt))
