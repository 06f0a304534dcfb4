"""A front on a stage: its own parts, an embedded broker and worker, clients without sockets.

Rules: only what is outside the process is replaced: the transport (`Wire`) and the clock.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from broker.clock import Clock
from broker.embedded import EmbeddedBroker
from services.config import load_config
from services.front.encoding import Language
from services.front.encodings.websocket_json import WEBSOCKET_JSON
from services.front.encodings.websocket_protobuf import WEBSOCKET_PROTOBUF
from services.front.fanout import Fanout
from services.front.outbox import Outbox
from services.front.parts import Parts
from services.front.receiving import receive
from services.front.run import assemble
from services.front.session import Session
from services.settings import Config
from services.wire.protobuf_commands import decode_frame
from services.worker.app import run_worker
from services.worker.counting import WorkerCounters
from services.worker.handling.interface import Handling
from tests.conformance.protobuf import read_replies, translate

NODE = "front"
OPEN_CHANNELS = {
    "allow_subscribe_for_client": True,
    "allow_subscribe_for_anonymous": True,
    "allow_publish_for_client": True,
    "allow_publish_for_anonymous": True,
    "allow_history_for_client": True,
    "allow_history_for_anonymous": True,
}
OPEN = {
    "client": {"allow_anonymous_connect_without_token": True},
    "without_namespace": {
        "history_size": 100,
        "history_ttl": "10m",
        "force_recovery": True,
        **OPEN_CHANNELS,
    },
    "namespace": [
        {"name": "plain", **OPEN_CHANNELS},
        {"name": "queued", "reply": "queued", **OPEN_CHANNELS},
        {
            "name": "bytes",
            "data": "binary",
            "history_size": 10,
            "history_ttl": "1m",
            "force_recovery": True,
            **OPEN_CHANNELS,
        },
        {"name": "closed"},
    ],
    "lanes": {"main": {"partitions": 1}},
}
SECRET = "a secret of more than thirty-two bytes"


def open_config(**sections: dict[str, Any]) -> Config:
    """Everything allowed to everybody, with some sections' settings changed."""
    merged: dict[str, Any] = dict(OPEN)
    for name, section in sections.items():
        merged[name] = {**merged.get(name, {}), **section}
    return load_config(environ={}, defaults=merged)


class FakeClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._turned = asyncio.Event()

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            await self._turned.wait()

    def turn(self, seconds: float) -> None:
        self.now += seconds
        turned, self._turned = self._turned, asyncio.Event()
        turned.set()


class Wire:
    """A transport that remembers what it was given; it can stall, and it can be closed."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.unsent_bytes = 0
        self.is_stalled = False
        self.is_closed = False

    def write(self, data: bytes, /) -> None:
        if self.is_closed:
            raise RuntimeError("the transport is closed")
        self.writes.append(data)
        if self.is_stalled:
            self.unsent_bytes += len(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def is_closing(self) -> bool:
        return self.is_closed


class Line:
    """The connection under a session, as a value."""

    def __init__(self, outbox: Outbox, *, pings_by_frame: bool = False) -> None:
        self.pings_by_frame = pings_by_frame
        self.answers_pings = True
        self.remote = "192.0.2.1"
        self.closed: tuple[int, str] | None = None
        self._outbox = outbox

    def close(self, code: int, reason: str, *, is_slow: bool) -> None:
        self.closed = (code, reason)
        self._outbox.close()


class Client:
    """A session, and what its client sees of it."""

    def __init__(
        self,
        parts: Parts,
        *,
        pings_by_frame: bool = False,
        encoding: Language = WEBSOCKET_JSON,
    ) -> None:
        self.wire = Wire()
        outbox = Outbox(self.wire, parts.flusher, parts.config.client.queue_max_size)
        self.line = Line(outbox, pings_by_frame=pings_by_frame)
        self.session = Session(parts, self.line, outbox, encoding)
        self._parts = parts
        self._seen = 0

    async def send(self, *commands: object) -> None:
        """Send commands in one frame, as JSON or as they are."""
        lines = [c if isinstance(c, bytes) else json.dumps(c).encode() for c in commands]
        await receive(self.session, b"\n".join(lines))

    def news(self) -> list[Any]:
        """What came since the last look."""
        self._parts.flusher.flush()
        lines = self._told()
        seen, self._seen = self._seen, len(lines)
        return lines[seen:]

    def _told(self) -> list[Any]:
        return [json.loads(line) for line in text_lines(self.wire.writes)]

    async def ask(self, *commands: object) -> list[Any]:
        """Send commands and give what came at once."""
        await self.send(*commands)
        return self.news()

    async def connect(self, **request: object) -> Any:
        """Connect, and give the result."""
        (reply,) = await self.ask({"id": 1, "connect": request})
        return reply["connect"]

    async def next(self, count: int) -> list[Any]:
        """Wait for that many replies and pushes."""
        news = self.news()
        async with asyncio.timeout(5):
            while len(news) < count:
                await asyncio.sleep(0.001)
                news += self.news()
        return news

    @property
    def closed(self) -> int | None:
        """The code with which the server ended the session."""
        return self.line.closed[0] if self.line.closed else None


class ProtobufClient(Client):
    """The same of a session in Protobuf: it says and hears what is given, and compared, in JSON."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts, encoding=WEBSOCKET_PROTOBUF)

    async def send(self, *commands: object) -> None:
        """Send commands in one frame: in JSON, or a whole frame as it is."""
        [frame, *_] = commands
        if not isinstance(frame, bytes):
            frame = translate(b"\n".join(json.dumps(command).encode() for command in commands))
        await receive(self.session, frame, decode_frame)

    def _told(self) -> list[Any]:
        messages = [content for head, content in frames(self.wire.writes) if head == 0x82]
        return [reply for message in messages for reply in read_replies(message)]


def text_lines(writes: Sequence[bytes]) -> list[bytes]:
    """The lines of all text frames in what a server wrote."""
    texts = [content for head, content in frames(writes) if head == 0x81]
    return [line for text in texts for line in text.split(b"\n")]


def frames(writes: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """The frames a server wrote: each one's first byte and content."""
    stream = b"".join(writes)
    while stream:
        size, head = stream[1], 2
        if size == 126:
            size, head = int.from_bytes(stream[2:4], "big"), 4
        elif size == 127:
            size, head = int.from_bytes(stream[2:10], "big"), 10
        yield stream[0], stream[head : head + size]
        stream = stream[head + size :]


class Stage:
    """A front, its broker, and clients that come and go."""

    def __init__(self, broker: EmbeddedBroker, parts: Parts, fanout: Fanout) -> None:
        self.broker = broker
        self.parts = parts
        self.fanout = fanout

    async def client(self, **request: object) -> Client:
        """A client that is connected."""
        client = Client(self.parts)
        await client.connect(**request)
        return client

    def stranger(self, *, pings_by_frame: bool = False) -> Client:
        """A client that is not connected yet."""
        return Client(self.parts, pings_by_frame=pings_by_frame)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for something to become true."""
        async with asyncio.timeout(5):
            while not is_so():  # noqa: ASYNC110  (many things are waited for, none tells)
                await asyncio.sleep(0.001)


@asynccontextmanager
async def staging(
    config: Config | None = None,
    *,
    clock: Clock | None = None,
    wall_clock: Callable[[], float] = lambda: 1_000_000.0,
    has_worker: bool = True,
    handling: Handling | None = None,
) -> AsyncIterator[Stage]:
    """Run a front's parts, but its timers, and a worker; with the team's handlers, if given."""
    config = config or open_config()
    broker = EmbeddedBroker({name: lane.partitions for name, lane in config.lanes.items()})
    stop = asyncio.Event()
    async with (
        broker.open(NODE) as access,
        broker.open("worker") as worker_access,
        asyncio.TaskGroup() as tasks,
    ):
        fanout, parts = assemble(
            config,
            access,
            clock=clock or FakeClock(),
            wall_clock=wall_clock,
            jitter=lambda low, high: high,
        )
        endless = [
            tasks.create_task(parts.producer.run()),
            tasks.create_task(fanout.run()),
            *(tasks.create_task(reader.run()) for reader in parts.view.readers),
        ]
        if has_worker:
            endless.append(
                tasks.create_task(
                    run_worker(config, worker_access, stop, WorkerCounters(), handling)
                )
            )
        stage = Stage(broker, parts, fanout)
        await stage.until(lambda: parts.view.is_caught_up)
        yield stage
        for task in endless:
            task.cancel()
