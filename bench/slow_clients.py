"""Slow clients: what 1,000 that stop reading, and some hostile ones, cost 1,000 that read.

    python -m bench.slow_clients                    # both kinds of run, three pairs each
    python -m bench.slow_clients --pairs 1 --clients 100 --kind over

A publisher at a steady rate, through the whole system: front, RabbitMQ, worker, log, front. The
time is from its write to a reader's read. Runs go in pairs, without and with those who do not read;
each has a front of its own, so that its memory tells of that run alone.

Who stops reading shakes hands, subscribes, and from then on only answers pings, so that nothing
but what is unsent ends it. In a run of the kind `over` it comes to more than
`client.queue_max_size`, in one of the kind `under` to four fifths of it.

Not here: that nothing is missed and everybody is forgotten, which tests/faults/test_slow_clients.py
sees to; what the readers are (readers.py), the hostile clients (hostile.py).
"""

import argparse
import asyncio
import os
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil
import uvloop

from bench.clients import (
    ACCEPTED,
    ERROR,
    PING,
    PONG_FRAME,
    Client,
    Endpoint,
    PublishFrames,
    open_client,
)
from bench.readers import Lateness, Readers, percentile, punctual
from bench.receivers import open_receiver
from bench.usage import Meter, Usage, describe_machine
from broker.local.node import LocalNode
from broker.local.ports import HOST
from tests.system.deployment import Access, deployed
from tests.system.process import ServerProcess

CHANNEL = "open:slow"
CLIENTS = 1_000
PER_SECOND = 20.0
SECONDS = 24.0
# What a socket of a client that does not read takes, before it is the front's to keep.
KERNEL_BYTES = 4096
# The first publications are not measured: they find caches and sockets cold.
WARM_UP_PUBLICATIONS = 20
DRAIN_SECONDS = 5.0
# Twice as long as a front waits before it gives memory back.
AFTERWARDS_SECONDS = 7.0
LOOK_SECONDS = 0.1
PONG_SECONDS = 5.0

QUEUE_BYTES = 1024 * 1024
"""`client.queue_max_size`, as it is by default."""
# See docs/limits.md.
SESSION_BYTES = 20_000
QUEUE_FACTOR = 1.25

# In 24 s at 20 a second 1.8 MB for a client to take, or 1.0 MB; some 0.2 MB wait in the kernel.
BODY_BYTES = {"over": 3_700, "under": 2_150}

MOST_TIMES = 1.5
MOST_MORE_MS = 20.0


@dataclass(frozen=True)
class Plan:
    """How a run is made."""

    clients: int
    seconds: float
    body_bytes: int

    @property
    def publications(self) -> int:
        """How many are published and measured."""
        return int(self.seconds * PER_SECOND)


@dataclass
class Run:
    """What one run measured."""

    latencies_ms: list[float]
    lateness_ms: float
    """The load generator's own, at its 99th percentile."""
    usage: Usage
    is_complete: bool
    idle_bytes: int
    sessions: int
    looks: list["Look"]
    ended: Counter[int] = field(default_factory=Counter)
    """How many sessions the front ended, by code."""

    @property
    def peak_bytes(self) -> int:
        """The front's resident memory at its highest."""
        return max(look.resident_bytes for look in self.looks)

    @property
    def bound_bytes(self) -> float:
        """What docs/limits.md says that it is at most."""
        return self.idle_bytes + self.sessions * (SESSION_BYTES + QUEUE_FACTOR * QUEUE_BYTES)

    @property
    def seconds_to_forget(self) -> float | None:
        """From when a tenth of those who did not read had lost their sockets to nine tenths."""
        most = max(look.descriptors for look in self.looks)
        stallers = self.sessions // 2
        gone = [(look.at, most - look.descriptors) for look in self.looks]
        if gone[-1][1] < 0.9 * stallers:
            return None
        ended_at = next(at for at, count in gone if count >= 0.9 * stallers and at > gone[0][0])
        began_at = max(at for at, count in gone if count < 0.1 * stallers and at <= ended_at)
        return ended_at - began_at


@dataclass(frozen=True)
class Look:
    """A front at one moment."""

    at: float
    resident_bytes: int
    descriptors: int


class Paced:
    """Publishes at a steady rate, whatever comes back."""

    def __init__(self, client: Client, body_bytes: int) -> None:
        self.accepted = 0
        self._client = client
        self._frames = PublishFrames(CHANNEL, body_bytes)
        client.hand_over(self._count)

    async def publish(self, publications: int) -> None:
        """Publish so many; each at its time, also when an earlier one was late."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(publications):
            await asyncio.sleep(began + number / PER_SECOND - loop.time())
            self._client.check()
            self._client.write(self._frames.stamped())

    def _count(self, received: bytes) -> None:
        # One reply a read, at this rate; a refusal may not be overlooked.
        if ERROR in received:
            raise ConnectionError(f"a publication was refused: {received[:300]!r}")
        self.accepted += received.count(ACCEPTED)
        if received.count(PING) > received.count(ACCEPTED):
            self._client.write(PONG_FRAME)


async def watch(pid: int, looks: list[Look]) -> None:
    """Look at a process until cancelled."""
    process = psutil.Process(pid)
    while True:
        looks.append(Look(time.monotonic(), process.memory_info().rss, process.num_fds()))
        await asyncio.sleep(LOOK_SECONDS)


async def answer_pings(stallers: list[socket.socket]) -> None:
    """Send for those who do not read what keeps them connected, until cancelled."""
    while True:
        for staller in stallers:
            with suppress(OSError):  # the front has ended it, which is what is to be seen
                staller.send(PONG_FRAME)
        await asyncio.sleep(PONG_SECONDS)


@contextmanager
def opened(
    endpoint: Endpoint, count: int, kernel_bytes: int | None
) -> Iterator[list[socket.socket]]:
    """Open subscribers."""
    sockets: list[socket.socket] = []
    try:
        # One by one, so that those already open are closed when a later one fails.
        sockets.extend(
            open_receiver(endpoint, CHANNEL, kernel_bytes=kernel_bytes) for _ in range(count)
        )
        for each in sockets:
            each.setblocking(False)
        yield sockets
    finally:
        for each in sockets:
            each.close()


@asynccontextmanager
async def hostile(endpoint: Endpoint) -> AsyncIterator[int]:
    """Run the hostile clients; gives their process."""
    command = [sys.executable, "-m", "bench.hostile", endpoint.host, str(endpoint.port), CHANNEL]
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
    try:
        yield process.pid
    finally:
        process.kill()
        await process.wait()


async def run_alone(
    front: ServerProcess, endpoint: Endpoint, pids: dict[str, int], plan: Plan
) -> Run:
    """Measure the readers by themselves."""
    idle_bytes = psutil.Process(front.pid).memory_info().rss
    with opened(endpoint, plan.clients, None) as sockets:
        run = await _measure(front, endpoint, pids, plan, sockets)
    run.idle_bytes, run.sessions = idle_bytes, plan.clients
    return run


async def run_beside(
    front: ServerProcess, endpoint: Endpoint, pids: dict[str, int], plan: Plan
) -> Run:
    """Measure the readers beside as many who do not read, and the hostile ones."""
    idle_bytes = psutil.Process(front.pid).memory_info().rss
    with (
        opened(endpoint, plan.clients, None) as sockets,
        opened(endpoint, plan.clients, KERNEL_BYTES) as stallers,
    ):
        async with hostile(endpoint) as pid, asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(answer_pings(stallers))
            run = await _measure(front, endpoint, {**pids, "hostile": pid}, plan, sockets)
            answering.cancel()
    run.idle_bytes, run.sessions = idle_bytes, 2 * plan.clients
    run.ended = Counter(each["code"] for each in front.events("session ended by the server"))
    return run


async def _measure(
    front: ServerProcess,
    endpoint: Endpoint,
    pids: dict[str, int],
    plan: Plan,
    sockets: list[socket.socket],
) -> Run:
    publisher = Paced(await open_client(endpoint), plan.body_bytes)
    readers, looks = Readers(sockets), list[Look]()
    meter = Meter({"generator": os.getpid(), **pids})
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch(front.pid, looks))
        readers.listen()
        await publisher.publish(WARM_UP_PUBLICATIONS)
        await _until_received(readers, WARM_UP_PUBLICATIONS)
        del readers.latencies_ms[:]
        meter.start()
        lateness = await _publish_punctually(publisher, plan.publications)
        usage = meter.stop()
        wanted = WARM_UP_PUBLICATIONS + plan.publications
        await _until_received(readers, wanted)
        await asyncio.sleep(AFTERWARDS_SECONDS)
        watching.cancel()
    readers.close()
    is_complete = readers.fewest == readers.most == wanted == publisher.accepted
    latencies_ms = list(readers.latencies_ms)
    late_ms = percentile(lateness.milliseconds, 0.99)
    return Run(latencies_ms, late_ms, usage, is_complete and not readers.lost, 0, 0, looks)


async def _publish_punctually(publisher: Paced, publications: int) -> Lateness:
    async with punctual() as lateness:
        await publisher.publish(publications)
    return lateness


async def _until_received(readers: Readers, publications: int) -> None:
    with suppress(TimeoutError):  # whether all came is looked at afterwards
        async with asyncio.timeout(DRAIN_SECONDS):
            while readers.fewest < publications:  # noqa: ASYNC110  (sockets set no event)
                await asyncio.sleep(0.01)


class Bench:
    """Makes the runs on a node, one deployment each."""

    def __init__(self, node: LocalNode, folder: Path) -> None:
        self._node = node
        self._folder = folder
        self._runs = 0

    async def run(self, plan: Plan, *, is_alone: bool) -> Run:
        """Make one run."""
        self._runs += 1
        folder = self._folder / f"run-{self._runs}"
        folder.mkdir()
        access = Access.of_admin(self._node)
        async with deployed(
            folder, access, prefix=f"slow{self._runs}.", fronts=1, workers=1
        ) as deployment:
            front, (worker,) = deployment.fronts[0], deployment.workers
            endpoint = Endpoint(HOST, front.port)
            pids = {"front": front.process.pid, "worker": worker.pid}
            if self._node.pid is not None:
                pids["broker"] = self._node.pid
            measure = run_alone if is_alone else run_beside
            return await measure(front.process, endpoint, pids, plan)


def describe(name: str, run: Run) -> str:
    """A row of the table."""
    p50, p99, p999 = (percentile(run.latencies_ms, share) for share in (0.5, 0.99, 0.999))
    forgot = run.seconds_to_forget
    cells = (
        name,
        f"{p50:.1f}",
        f"{p99:.1f}",
        f"{p999:.1f}",
        f"{max(run.latencies_ms):.0f}",
        f"{run.lateness_ms:.1f}",
        "yes" if run.is_complete else "**no**",
        f"{run.idle_bytes / 1e6:.0f}",
        f"{run.peak_bytes / 1e6:.0f}",
        f"{run.bound_bytes / 1e6:.0f}",
        f"{run.looks[-1].resident_bytes / 1e6:.0f}",
        " ".join(f"{code}:{count}" for code, count in sorted(run.ended.items())) or "none",
        "" if forgot is None else f"{forgot:.1f}",
        " ".join(f"{who} {run.usage.share(who):.0%}" for who in run.usage.cpu_seconds),
    )
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| run | p50 ms | p99 ms | p99.9 ms | most ms | generator late, p99 ms | complete | idle MB "
    "| peak MB | bound MB | afterwards MB | ended, by code | gone in s | CPU |\n"
    "|---|---:|---:|---:|---:|---:|---|---:|---:|---:|---:|---|---:|---|"
)


def judge(alone: list[Run], beside: list[Run]) -> str:
    """Say whether what is promised holds."""
    without, with_ = (
        median(percentile(run.latencies_ms, 0.99) for run in runs) for runs in (alone, beside)
    )
    is_kept = with_ <= max(MOST_TIMES * without, without + MOST_MORE_MS)
    is_bounded = all(run.peak_bytes <= run.bound_bytes for run in beside)
    return (
        f"p99, median of {len(alone)} pairs: {without:.1f} ms without, {with_:.1f} ms with "
        f"({with_ / without:.2f} times, {with_ - without:+.1f} ms): "
        f"{'kept' if is_kept else 'NOT KEPT'}; "
        f"memory {'within' if is_bounded else 'NOT WITHIN'} its bound."
    )


async def measure(kinds: list[str], pairs: int, clients: int, seconds: float) -> None:
    """Make all runs and print what they found."""
    print("; ".join(f"{name}: {value}" for name, value in describe_machine().items()), flush=True)
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        folder = Path(name)
        async with LocalNode(folder / "node") as node:
            bench = Bench(node, folder)
            for kind in kinds:
                plan = Plan(clients, seconds, BODY_BYTES[kind])
                print(f"\n## {kind}: {clients:,} readers\n\n{HEAD}", flush=True)
                alone: list[Run] = []
                beside: list[Run] = []
                for _ in range(pairs):
                    alone.append(await bench.run(plan, is_alone=True))
                    print(describe("without", alone[-1]), flush=True)
                    beside.append(await bench.run(plan, is_alone=False))
                    print(describe("with", beside[-1]), flush=True)
                print(f"\n{judge(alone, beside)} Load {os.getloadavg()[0]:.1f}.", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.slow_clients", description=__doc__)
    parser.add_argument("--kind", choices=["both", *BODY_BYTES], default="both")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    asked = parser.parse_args()
    kinds = list(BODY_BYTES) if asked.kind == "both" else [asked.kind]
    uvloop.run(measure(kinds, asked.pairs, asked.clients, asked.seconds))


if __name__ == "__main__":
    main()
