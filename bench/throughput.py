"""Durable throughput: how many publications a second go through everything, and what they cost.

50 channels with a subscriber each; publishers in a closed loop, bodies of 200 bytes. A publication
counts when its subscriber got it; at the end each must have been answered and delivered once.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median, quantiles

from bench.clients import (
    Client,
    Endpoint,
    Publisher,
    PublishFrames,
    Subscriber,
    open_client,
)
from bench.usage import Meter, Usage
from bench.waiting import wait_until

CHANNELS = 50
BODY_BYTES = 200
DRAIN_SECONDS = 10.0
# Opening more at once only fills the listener's backlog.
OPENING_AT_ONCE = 50


@dataclass(frozen=True)
class Load:
    """How many publish, and how many publications each keeps in flight."""

    publishers: int
    in_flight: int

    def __str__(self) -> str:
        return f"{self.publishers} publishers x {self.in_flight}"


@dataclass(frozen=True)
class Throughput:
    """What one run measured."""

    publications: int
    usage: Usage
    latencies_ms: Sequence[float]
    sent: int
    accepted: int
    refused: int
    delivered: int

    @property
    def per_second(self) -> float:
        """Publications that reached their subscriber, a second."""
        return self.publications / self.usage.seconds

    @property
    def is_complete(self) -> bool:
        """Whether each publication was accepted and delivered, over the whole run."""
        return self.sent == self.accepted == self.delivered

    @property
    def latency_ms(self) -> tuple[float, float]:
        """Median and 99th percentile from publish to delivery, under this load."""
        if len(self.latencies_ms) < 2:
            return (0.0, 0.0)
        return median(self.latencies_ms), quantiles(self.latencies_ms, n=100)[-1]


async def measure_throughput(
    endpoint: Endpoint,
    load: Load,
    pids: Mapping[str, int],
    seconds: float,
    warm_up_seconds: float,
) -> Throughput:
    """Put the load on for a while and measure the middle of it."""
    meter = Meter({"generator": os.getpid(), **pids})
    async with _clients(endpoint, load) as (publishers, subscribers):
        for publisher in publishers:
            publisher.start()
        await asyncio.sleep(warm_up_seconds)
        before = sum(each.received for each in subscribers)
        for subscriber in subscribers:
            subscriber.latencies_ms.clear()
        meter.start()
        await asyncio.sleep(seconds)
        usage = meter.stop()
        publications = sum(each.received for each in subscribers) - before
        latencies = [ms for subscriber in subscribers for ms in subscriber.latencies_ms]
        for publisher in publishers:
            publisher.stop()
        await _drain(publishers, subscribers)
        return Throughput(
            publications,
            usage,
            latencies,
            sent=sum(each.sent for each in publishers),
            accepted=sum(each.accepted for each in publishers),
            refused=sum(each.refused for each in publishers),
            delivered=sum(each.received for each in subscribers),
        )


@asynccontextmanager
async def _clients(
    endpoint: Endpoint, load: Load
) -> AsyncIterator[tuple[list[Publisher], list[Subscriber]]]:
    channels = [f"bench{number}" for number in range(CHANNELS)]
    frames = [PublishFrames(channel, BODY_BYTES) for channel in channels]
    opening = asyncio.Semaphore(OPENING_AT_ONCE)

    async def open_one(channel: str | None) -> Client:
        async with opening:
            client = await open_client(endpoint)
            if channel is not None:
                await client.subscribe(channel)
            return client

    wanted = [*channels, *[None] * load.publishers]
    clients = await asyncio.gather(*map(open_one, wanted))
    subscribers = [Subscriber(client) for client in clients[:CHANNELS]]
    publishers = [
        # Each starts elsewhere in its frames, so that the stamped ones spread over time.
        Publisher(client, frames[number % CHANNELS], load.in_flight, first=number * 7)
        for number, client in enumerate(clients[CHANNELS:])
    ]
    try:
        yield publishers, subscribers
        for client in clients:
            client.check()
    finally:
        for client in clients:
            client.close()


async def _drain(publishers: Sequence[Publisher], subscribers: Sequence[Subscriber]) -> None:
    """Wait for the rest of replies and deliveries; what does not come shows in the counts."""

    def is_drained() -> bool:
        delivered = sum(each.received for each in subscribers)
        accepted = sum(each.accepted for each in publishers)
        return delivered >= accepted and not any(each.unanswered for each in publishers)

    await wait_until(is_drained, DRAIN_SECONDS)
