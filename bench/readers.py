"""Clients that read at once and tell how long each publication took, at a low cost.

Their sockets lie in one epoll set, which the event loop watches as one: a wake-up reads a batch of
them without a callback for each. A read was 4 us of CPU with 2 KB in it, and a front writes to a
client in some 8 us, so that this process is not what is measured; `Lateness` says how late it was.

Rules: bodies are ours (clients.py) and hold none of the marks that are looked for.
"""

import asyncio
import select
import socket
import time
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench.clients import CLOCK_START, PONG_FRAME, STAMP, STAMP_DIGITS
from bench.receivers import PING_FRAME, READ_BYTES

# A turn of the loop reads so many: some 0.3 ms, by which other work here is late.
BATCH = 64
SEAM_BYTES = len(STAMP) + STAMP_DIGITS - 1
LOOK_SECONDS = 0.005


class Readers:
    """Open sockets; what came, and how long it took."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self.latencies_ms = array("d")
        self.lost = 0
        """Sockets that the server closed."""
        self._received = {each.fileno(): 0 for each in sockets}
        self._seams = {each.fileno(): b"" for each in sockets}
        self._sockets = {each.fileno(): each for each in sockets}
        self._epoll = select.epoll()
        for each in sockets:
            self._epoll.register(each, select.EPOLLIN)

    @property
    def fewest(self) -> int:
        """How many publications the one with the fewest has got."""
        return min(self._received.values())

    @property
    def most(self) -> int:
        """How many publications the one with the most has got."""
        return max(self._received.values())

    def listen(self) -> None:
        """Begin to read."""
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._read_batch)

    def close(self) -> None:
        """Read no more. The sockets stay open."""
        asyncio.get_running_loop().remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _read_batch(self) -> None:
        for descriptor, _ in self._epoll.poll(0, BATCH):
            try:
                received = self._sockets[descriptor].recv(READ_BYTES)
            except ConnectionError:
                received = b""
            if received:
                self._take(descriptor, received)
            else:
                self.lost += 1
                self._epoll.unregister(descriptor)

    def _take(self, descriptor: int, received: bytes) -> None:
        joined = self._seams[descriptor] + received
        # Shorter than a whole stamp, so that none is found twice.
        self._seams[descriptor] = joined[-SEAM_BYTES:]
        if PING_FRAME in joined:
            self._sockets[descriptor].send(PONG_FRAME)
        at = joined.find(STAMP)
        while 0 <= at <= len(joined) - len(STAMP) - STAMP_DIGITS:
            sent = int(joined[at + len(STAMP) : at + len(STAMP) + STAMP_DIGITS])
            now = CLOCK_START + time.perf_counter_ns() // 1000
            self.latencies_ms.append((now - sent) / 1e3)
            self._received[descriptor] += 1
            at = joined.find(STAMP, at + len(STAMP))


class Lateness:
    """How much later than asked for this process's loop turns: what it adds to what it measures."""

    def __init__(self) -> None:
        self.milliseconds = array("d")

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
            self.milliseconds.append((loop.time() - due) * 1e3)


@asynccontextmanager
async def punctual() -> AsyncIterator[Lateness]:
    """Measure this loop's lateness for as long as the context lasts."""
    lateness = Lateness()
    async with asyncio.TaskGroup() as tasks:
        measuring = tasks.create_task(lateness.run())
        try:
            yield lateness
        finally:
            measuring.cancel()


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
