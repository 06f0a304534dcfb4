"""Two fronts on one embedded broker, with clients of both; time passes when it is told to.

Rules: only what is outside the process is replaced: the transports and the clock.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from broker.embedded import EmbeddedBroker
from broker.registry import Node, open_registry
from services.config import load_config
from services.front.neighbours import SETTLING_SECONDS
from services.front.parts import Parts
from services.front.presence import REUSE_SECONDS
from services.front.run import assemble, running
from services.settings import Config
from tests.unit.front.stage import OPEN, OPEN_CHANNELS, Client, FakeClock

# Enough for every task to get as far as it can.
_TURNS = 60
_STEP_SECONDS = 0.25

ROOM = "room:1"
SEEN = {
    "presence": True,
    "join_leave": True,
    "allow_presence_for_client": True,
    "allow_presence_for_anonymous": True,
    **OPEN_CHANNELS,
}


def seen_config(**client: Any) -> Config:
    """A namespace where everybody sees everybody, and some that tell less."""
    return load_config(
        environ={},
        defaults={
            **OPEN,
            "client": {"allow_anonymous_connect_without_token": True, **client},
            "namespace": [
                {"name": "room", **SEEN},
                {"name": "lobby", **SEEN, "force_push_join_leave": True},
                {"name": "dark", **OPEN_CHANNELS},
                {"name": "members", "presence": True, "allow_presence_for_subscriber": True},
            ],
        },
    )


async def turns() -> None:
    """Let everybody do what can be done without time passing."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


class TwoFronts:
    """Both fronts' parts, and their time."""

    def __init__(self, broker: EmbeddedBroker, clock: FakeClock, parts: list[Parts]) -> None:
        self.broker = broker
        self.clock = clock
        self.parts = parts

    async def client(self, front: int = 0) -> Client:
        """A client that is connected to one of them."""
        client = Client(self.parts[front])
        await client.connect()
        return client

    async def subscriber(
        self, front: int = 0, channel: str = ROOM, *, join_leave: bool = False
    ) -> Client:
        """A client that follows a channel; what it heard until then is forgotten."""
        client = await self.client(front)
        await client.ask({"id": 2, "subscribe": {"channel": channel, "join_leave": join_leave}})
        await turns()
        client.news()
        return client

    async def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps, and everybody do what is due."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.turn(min(_STEP_SECONDS, end - self.clock.now))
            await turns()

    async def forget_answers(self) -> None:
        """Let what was asked before be too old to be reused."""
        await self.pass_time(REUSE_SECONDS)

    @asynccontextmanager
    async def mute_front(self) -> AsyncIterator[str]:
        """A front that lives and answers nothing; gives its id."""
        node = Node("mute", "front", "mute", ("main",), 0.0)
        async with (
            self.broker.open(node.id) as access,
            open_registry(access.bus, node, clock=self.clock, jitter=lambda: 0.5),
        ):
            await self.pass_time(2 * _STEP_SECONDS)
            yield node.id


@asynccontextmanager
async def two_fronts(
    config: Config | None = None, *, settles: bool = True
) -> AsyncIterator[TwoFronts]:
    """Run two fronts that know each other, unless they are not given the time to."""
    config = config or seen_config()
    broker = EmbeddedBroker({name: lane.partitions for name, lane in config.lanes.items()})
    clock = FakeClock()
    async with broker.open("a") as a, broker.open("b") as b:
        assembled = [
            assemble(config, access, clock=clock, jitter=lambda low, high: high)
            for access in (a, b)
        ]
        parts = [each for _, each in assembled]
        async with running(parts[0], assembled[0][0]), running(parts[1], assembled[1][0]):
            fronts = TwoFronts(broker, clock, parts)
            await turns()
            while not all(each.view.is_caught_up for each in parts):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            if settles:
                await fronts.pass_time(SETTLING_SECONDS)
            yield fronts
