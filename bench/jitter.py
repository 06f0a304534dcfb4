"""The jitter profile: clients whose connections are cut all the time, and who miss nothing.

    python -m bench.jitter
    python -m bench.jitter --clients 200 --seconds 30

2,000 clients follow one channel over two fronts. Each connection is cut after about 15 s, its
client stays away for about 2 s, comes back to either front and recovers with its position. One
publisher publishes twice a second through the whole system. It is the profile with which AnyCable
shows what broadcasting without recovery loses, scaled to one machine.

The clients' journals are judged by the checker of the fault tests; besides, each client has to have
got every offset, once and in order. At the end nobody is cut off any more, so that all come back.
"""

import argparse
import asyncio
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import uvloop

from bench.clients import Client, Endpoint, open_client
from bench.readers import Lateness, percentile, punctual
from bench.recovering import Recovering, Tallies
from bench.usage import Meter, Usage, describe_machine, rss_bytes
from bench.waiting import wait_until
from broker.local.node import LocalNode
from broker.local.ports import HOST
from tests.faults.checker import Report, judge
from tests.faults.journal import Acknowledged, Attempted, Journal, Unresolved
from tests.system.deployment import Access, Deployment, deployed

CHANNEL = "open:jitter"
CLIENTS = 2_000
SECONDS = 120.0
PER_SECOND = 2.0
STAY_SECONDS = (10.0, 20.0)
AWAY_SECONDS = (1.0, 3.0)
OPENING_SECONDS = 10.0
OPENED_SECONDS = 60.0
FINISH_SECONDS = 30.0


class Publisher:
    """Publishes at a steady rate and notes what it is told."""

    def __init__(self, client: Client) -> None:
        self.journal = Journal("publisher")
        self.attempted = 0
        self._client = client

    async def run(self, seconds: float) -> None:
        """Publish for so long; return when all is answered."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            while loop.time() - began < seconds:
                self.attempted += 1
                tasks.create_task(self._publish(f"publication-{self.attempted}"))
                await asyncio.sleep(began + self.attempted / PER_SECOND - loop.time())

    async def _publish(self, attempt: str) -> None:
        self.journal.note(Attempted(CHANNEL, attempt, 1))
        reply = await self._client.ask(publish={"channel": CHANNEL, "data": {"attempt": attempt}})
        if "publish" in reply:
            self.journal.note(Acknowledged(attempt))
        else:
            self.journal.note(Unresolved(attempt, str(reply)))


@dataclass(frozen=True)
class Outcome:
    """What a run found."""

    clients: Sequence[Recovering]
    publications: int
    tallies: Tallies
    report: Report
    usage: Usage
    lateness: Lateness
    front_bytes: Sequence[int]

    @property
    def delivered(self) -> int:
        """Publications that clients have got, each counted once for each client."""
        return sum(len(set(client.offsets)) for client in self.clients)

    @property
    def owed(self) -> int:
        """How many that should be: all of them to everybody."""
        return len(self.clients) * self.publications

    @property
    def is_exact(self) -> bool:
        """Whether every client has every offset, once and in order."""
        wanted = list(range(1, self.publications + 1))
        return all(client.offsets == wanted for client in self.clients)


class _Profile:
    """How long clients stay and are away; at the end they stay."""

    def __init__(self, random: Random) -> None:
        self.is_ending = False
        self._random = random

    def stay(self) -> float:
        return FINISH_SECONDS * 10 if self.is_ending else self._random.uniform(*STAY_SECONDS)

    def away(self) -> float:
        return self._random.uniform(*AWAY_SECONDS)


async def run(deployment: Deployment, node: LocalNode, plan: tuple[int, float, int]) -> Outcome:
    """Make one run: so many clients, for so many seconds, from this seed."""
    count, seconds, seed = plan
    random = Random(seed)
    endpoints = [Endpoint(HOST, front.port) for front in deployment.fronts]
    clients = [Recovering(f"client-{n}", CHANNEL, endpoints, random) for n in range(count)]
    tallies, profile = Tallies(), _Profile(random)
    publisher = Publisher(await open_client(endpoints[0]))
    meter = Meter({"generator": os.getpid(), **_pids(deployment, node)})
    async with asyncio.TaskGroup() as tasks:
        following = []
        for client in clients:
            running = client.run(tallies, profile.stay, profile.away)
            following.append(tasks.create_task(running))
            await asyncio.sleep(OPENING_SECONDS / count)
        # Each has to have been there once, or it would be owed less than everything.
        if not await wait_until(lambda: all(c.journal.events for c in clients), OPENED_SECONDS):
            raise ConnectionError("the clients were not connected in time")
        meter.start()
        async with punctual() as lateness:
            await publisher.run(seconds)
        usage = meter.stop()
        profile.is_ending = True
        # Whether all came is told afterwards.
        await wait_until(
            lambda: all(len(c.offsets) >= publisher.attempted for c in clients), FINISH_SECONDS
        )
        front_bytes = [rss_bytes(front.process.pid) for front in deployment.fronts]
        for each in following:
            each.cancel()
    report = judge([publisher.journal, *(client.journal for client in clients)])
    return Outcome(clients, publisher.attempted, tallies, report, usage, lateness, front_bytes)


def _pids(deployment: Deployment, node: LocalNode) -> dict[str, int]:
    pids = {front.process.name: front.process.pid for front in deployment.fronts}
    pids |= {worker.name: worker.pid for worker in deployment.workers}
    return pids if node.pid is None else {**pids, "broker": node.pid}


def describe(outcome: Outcome) -> str:
    """What a run found, for a person."""
    tallies, usage = outcome.tallies, outcome.usage
    replays = [percentile(tallies.replays_ms, share) for share in (0.5, 0.99, 0.999)]
    late_ms = percentile(outcome.lateness.milliseconds, 0.99)
    return "\n".join(
        (
            f"clients {len(outcome.clients):,}, {usage.seconds:.0f} s, "
            f"{outcome.publications} publications",
            f"delivered {outcome.delivered:,} of {outcome.owed:,} "
            f"({outcome.delivered / outcome.owed:.4%}); every client has each once and in order: "
            f"{'yes' if outcome.is_exact else 'NO'}",
            f"cuts {tallies.cuts:,}, recovered {tallies.recovered:,}, "
            f"unrecovered {tallies.unrecovered}, publications replayed {tallies.replayed:,}",
            "replay, from connecting to the arrival of what was missed: "
            "p50 {:.1f} ms, p99 {:.1f} ms, p99.9 {:.1f} ms".format(*replays)
            + f" of {len(tallies.replays_ms):,}; generator late by {late_ms:.1f} ms at its p99",
            "CPU: " + ", ".join(f"{who} {usage.share(who):.0%}" for who in usage.cpu_seconds),
            "fronts' resident memory: "
            + ", ".join(f"{each / 1e6:.0f} MB" for each in outcome.front_bytes),
            f"checker: {outcome.report}",
        )
    )


async def measure(clients: int, seconds: float, seed: int) -> bool:
    """Make a run and print it; answer whether nothing was missed."""
    print("; ".join(f"{name}: {value}" for name, value in describe_machine().items()), flush=True)
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        folder = Path(name)
        async with (
            LocalNode(folder / "node") as node,
            deployed(folder, Access.of_admin(node), prefix="jitter.", workers=1) as deployment,
        ):
            outcome = await run(deployment, node, (clients, seconds, seed))
    print(f"seed {seed}; load now {os.getloadavg()[0]:.1f}\n{describe(outcome)}")
    return outcome.is_exact and not outcome.report.stories and not outcome.tallies.unrecovered


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.jitter", description=__doc__)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=Random().randrange(10_000))
    asked = parser.parse_args()
    is_exact = uvloop.run(measure(asked.clients, asked.seconds, asked.seed))
    raise SystemExit(0 if is_exact else 1)


if __name__ == "__main__":
    main()
