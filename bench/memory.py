"""Memory: what an idle session with one subscription costs a front, in resident bytes.

The difference between 1,000 and 6,000 sessions of a front that has just started, so that neither
its code nor what earlier loads left behind counts.
"""

import asyncio
from dataclasses import dataclass

from bench.clients import Client, Endpoint, open_client
from bench.usage import rss_bytes

FEWER, MORE = 1_000, 6_000
SESSIONS_A_CHANNEL = 100
OPENING_AT_ONCE = 50
# A source address has some 28,000 ports, and those of the last run linger.
SOURCES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Memory:
    """The front's resident bytes with fewer and with more sessions."""

    fewer_bytes: int
    more_bytes: int

    @property
    def bytes_a_session(self) -> float:
        """What one more session costs."""
        return (self.more_bytes - self.fewer_bytes) / (MORE - FEWER)


async def measure_memory(endpoint: Endpoint, front_pid: int) -> Memory:
    """Open sessions and look at the front's memory twice."""
    clients: list[Client] = []
    try:
        await _open_until(FEWER, clients, endpoint)
        fewer = rss_bytes(front_pid)
        await _open_until(MORE, clients, endpoint)
        more = rss_bytes(front_pid)
        for client in clients:
            client.check()
        return Memory(fewer, more)
    finally:
        for client in clients:
            client.close()


async def _open_until(count: int, clients: list[Client], endpoint: Endpoint) -> None:
    opening = asyncio.Semaphore(OPENING_AT_ONCE)

    async def open_one(number: int) -> Client:
        async with opening:
            client = await open_client(endpoint, source=SOURCES[number % len(SOURCES)])
            await client.subscribe(f"idle{number // SESSIONS_A_CHANNEL}")
            return client

    clients += await asyncio.gather(*map(open_one, range(len(clients), count)))
    await asyncio.sleep(SETTLE_SECONDS)
