"""Clients that publish steadily, whatever they are answered, and keep what that was and when."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count

from broker.partition import partition_number
from tests.system.client import Client, client_of
from tests.system.connection import ConnectionLost
from tests.system.deployment import LANES

CHANNELS = [f"open:pressed-{number}" for number in range(16)]
PARTITION_OF = {channel: partition_number(channel, LANES["main"]) for channel in CHANNELS}
PARTITIONS = set(PARTITION_OF.values())

CLIENTS = 4
# A session may await 100 answers, and "outcome unknown" takes four seconds: less than that many.
PAUSE_SECONDS = 0.05

ACKNOWLEDGED = 0
TEMPORARY = 111
UNKNOWN = 400


@dataclass(frozen=True)
class Answered:
    """A publication, when it was sent, and the error code of its answer, if it was one."""

    number: int
    channel: str
    sent: float
    seconds: float
    code: int


class Steady:
    """Some clients of one front, publishing; `publishing_steadily` makes them."""

    def __init__(self) -> None:
        self.answers: list[Answered] = []
        self._numbers = count()
        # One node serves several tests, and what they publish is told apart by it.
        self._name = secrets.token_hex(4)
        self._news = asyncio.Event()

    def text_of(self, number: int) -> str:
        """What the publication says."""
        return f"{self._name}/{number}"

    def acknowledged(self, since: float = 0.0) -> list[Answered]:
        """What was sent since a moment and acknowledged."""
        return [a for a in self.answers if a.code == ACKNOWLEDGED and a.sent >= since]

    def sent_between(self, first: float, last: float) -> list[Answered]:
        """What was sent and answered in a span of time."""
        return [a for a in self.answers if a.sent >= first and a.sent + a.seconds <= last]

    async def until(self, holds: Callable[[], bool], timeout_seconds: float) -> float:
        """Wait until the answers are as wanted; give the time then.

        Raises:
            TimeoutError: they were not in time.
        """
        async with asyncio.timeout(timeout_seconds):
            while not holds():
                self._news.clear()
                await self._news.wait()
        return time.monotonic()

    def has_answers_everywhere(self, code: int, since: float) -> bool:
        """Whether something sent to each partition since a moment was answered so."""
        answered = {
            PARTITION_OF[a.channel] for a in self.answers if a.code == code and a.sent >= since
        }
        return answered == PARTITIONS

    async def publish(self, client: Client, tasks: asyncio.TaskGroup) -> None:
        """Publish, and wait for no answer, until the connection is lost."""
        while not client.is_lost:
            number = next(self._numbers)
            tasks.create_task(self._publish(client, number))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _publish(self, client: Client, number: int) -> None:
        channel = CHANNELS[number % len(CHANNELS)]
        sent = time.monotonic()
        with suppress(ConnectionLost):
            reply = await client.ask(publish={"channel": channel, "data": self.text_of(number)})
            code = reply["error"]["code"] if "error" in reply else ACKNOWLEDGED
            answered = Answered(number, channel, sent, time.monotonic() - sent, code)
            self.answers.append(answered)
            self._news.set()


@asynccontextmanager
async def publishing_steadily(url: str) -> AsyncIterator[Steady]:
    """Publish to every partition until the context ends, and then wait for the last answers.

    Raises:
        TimeoutError: in an exception group: a publication was not answered at all.
    """
    steady = Steady()
    async with asyncio.TaskGroup() as clients:
        leaving = asyncio.Event()

        async def run() -> None:
            async with client_of(url) as client, asyncio.TaskGroup() as publications:
                publishing = publications.create_task(steady.publish(client, publications))
                await leaving.wait()
                publishing.cancel()

        for _ in range(CLIENTS):
            clients.create_task(run())
        try:
            yield steady
        finally:
            leaving.set()
