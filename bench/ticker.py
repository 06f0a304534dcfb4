"""What `conflate` saves: `python -m bench.ticker`.

A ticker of 1,000 publications a second, for 1,000 subscribers here, whose sockets are the kernel's
own; ten come in a record of the log together, or each alone. Its time is turned by hand, so that
nobody waits; measured is the CPU time of a front's fan-out: encoding, offering and writing to the
kernel. Emptying the sockets is not counted, nor is the rest of a front, which reads and keeps every
publication in any case.
"""

import asyncio
import socket
import sys
import time
from statistics import median
from typing import NamedTuple

import orjson
import uvloop

from bench.deltas import KERNEL_BYTES, OUTBOX_BYTES, SENDER, Session, empty
from services.front.conflation import Conflating, Conflation
from services.front.encodings.websocket_json import WEBSOCKET_JSON
from services.front.fanout import Fanout
from services.front.hub import Hub, Subscription
from services.front.measures import Measures
from services.front.outbox import Flusher, Outbox
from services.view.history import Publication

CHANNEL = "ticker:a"
SUBSCRIBERS = 1_000
SECONDS = 2
PUBLICATIONS_A_SECOND = 1_000
TOGETHER = (10, 1)
WINDOWS_SECONDS = (0.0, 0.02, 0.1, 1.0)
ROUNDS = 3
# Until who was woken has told everybody; a huge channel's slices are waited for besides.
TURNS = 4


class Hand:
    """A clock that is turned by hand; see `Clock`."""

    def __init__(self) -> None:
        self.now = 0.0
        self._turned = asyncio.Event()

    def monotonic(self) -> float:
        """What it shows."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Wait until it has been turned so far. Cancelling: loses nothing."""
        until = self.now + seconds
        while self.now < until:
            await self._turned.wait()

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        turned, self._turned = self._turned, asyncio.Event()
        turned.set()


class Run(NamedTuple):
    """What one run measured, a second of the ticker."""

    cpu_seconds: float
    deliveries: float
    received_bytes: float


async def measure(together: int, window_seconds: float) -> Run:
    """Let a ticker run, so many publications in a record, with such windows or none."""
    clock, hub, measures, flusher = Hand(), Hub(), Measures(), Flusher()
    conflating = Conflating(window_seconds) if window_seconds else None
    conflation = Conflation(clock, lambda _: conflating, window_seconds) if conflating else None
    fanout = Fanout(hub, measures, conflation=conflation)
    receivers = [await _subscribe(hub, flusher) for _ in range(SUBSCRIBERS)]
    cpu_seconds, received_bytes = 0.0, 0
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(fanout.run())
        for first in range(1, SECONDS * PUBLICATIONS_A_SECOND + 1, together):
            record = [_publication(offset) for offset in range(first, first + together)]
            before = time.process_time()
            clock.turn(together / PUBLICATIONS_A_SECOND)
            fanout.publish(CHANNEL, record, first, "epoch")
            for _ in range(TURNS):
                await asyncio.sleep(0)
            while fanout.waiting_bytes:  # noqa: ASYNC110  (it is what makes the turns)
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            cpu_seconds += time.process_time() - before
            received_bytes += sum(map(empty, receivers))
        serving.cancel()
    for receiver in receivers:
        receiver.close()
    return Run(cpu_seconds / SECONDS, measures.deliveries.value / SECONDS, received_bytes / SECONDS)


async def _subscribe(hub: Hub, flusher: Flusher) -> socket.socket:
    """Give the end at which a new subscriber's client reads."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    session = Session(WEBSOCKET_JSON, Outbox(transport, flusher, OUTBOX_BYTES))
    hub.add(Subscription(session, CHANNEL, 0, is_positioned=True))
    return theirs


def _publication(offset: int) -> Publication:
    price = orjson.dumps({"symbol": "ACME", "price": round(100 + offset * 0.01, 2)})
    return Publication(offset, price, SENDER, 0)


async def compare() -> None:
    """Print the table; the runs of a round are beside each other, and the median counts."""
    print(
        f"{'together':>9} {'conflate':>9} {'CPU of a core':>14} {'of it without':>14}"
        f" {'deliveries/s':>13} {'MB/s':>7}"
    )
    for together in TOGETHER:
        rounds = [
            [await measure(together, window_seconds) for window_seconds in WINDOWS_SECONDS]
            for _ in range(ROUNDS)
        ]
        for at, window_seconds in enumerate(WINDOWS_SECONDS):
            ratio = median(runs[at].cpu_seconds / runs[0].cpu_seconds for runs in rounds)
            run = sorted(runs[at] for runs in rounds)[ROUNDS // 2]
            print(
                f"{together:>9} {window_seconds * 1000:>6.0f} ms {run.cpu_seconds:>14.1%}"
                f" {ratio:>14.1%} {run.deliveries:>13,.0f} {run.received_bytes / 1e6:>7.2f}"
            )


def main() -> int:
    """Run it; give the exit code."""
    uvloop.run(compare())
    return 0


if __name__ == "__main__":
    sys.exit(main())
