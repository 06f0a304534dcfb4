"""How long a worker and a front take to start over a long log: `python -m bench.starts`.

A log of a million publications is written as workers would have, over four partitions and all in
one. Then a worker is started beside an idle front, until it has settled a publication in each
partition; and fronts, until they are ready. With snapshots as a worker leaves them, with none, and
with only the first ones. The history that fronts keep is long enough for the whole log to be read.

The longest step is what else would have waited: a worker's from its parts run in a process with a
clock that ticks, a front's from the slowest answer of `/health/live`.

    python -m bench.starts --publications 100000      # a tenth of it
"""

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import aio_pika
import uvloop

from bench.clients import Client, Endpoint, open_client
from bench.longlog import LANE, REMEMBER_SECONDS, LongLog, Written, fill_tops, write_log
from bench.stack import PARTITIONS, PREFIX, is_ready, running_process, write_config
from bench.usage import cpu_seconds, describe_machine, rss_bytes
from bench.waiting import wait_until
from broker.follow import Loss
from broker.interface import Broker, StoredRecord
from broker.local.node import LocalNode
from broker.local.ports import HOST, find_free
from broker.partition import Partition, partition_number
from broker.rabbitmq import RabbitSettings, open_rabbitmq
from broker.rabbitmq.names import Names
from broker.rabbitmq.topology import apply_topology
from broker.record import Record
from services.lifecycle import COLLECT_AFTER
from services.log_reader import LogReader
from services.view.partition import Change, PartitionView
from services.view.settled import SettledNumbers
from services.view.snapshot import Snapshot

HISTORY_TTL = "1h"
GIVE_UP_SECONDS = 120.0
PROBE_SECONDS = 0.02
TICK_SECONDS = 0.001
WORKER, FRONT = [[sys.executable, "-m", f"services.{name}"] for name in ("worker", "front")]

WANTED_SECONDS = {"worker": 5.0, "front": 15.0}
SNAPSHOTS = ("recent", "none", "old")


@dataclass
class Starts:
    """What one process did in one variant, a value a round."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    longest_seconds: list[float] = field(default_factory=list)

    def note(self, pid: int, started: float) -> None:
        """Note what a process that has just started has cost so far."""
        self.seconds.append(time.perf_counter() - started)
        self.cpu_seconds.append(cpu_seconds(pid))
        self.bytes.append(rss_bytes(pid))


class Place:
    """A node and a folder: where processes run."""

    def __init__(self, node: LocalNode, folder: Path) -> None:
        self.url = node.amqp_url
        self._folder = folder

    def config(self, port: int) -> Path:
        """Write the settings of one process."""
        return write_config(self._folder, self.url, port, HISTORY_TTL)

    @asynccontextmanager
    async def broker(self) -> AsyncIterator[Broker]:
        """Connect, and wait until that is done."""
        async with open_rabbitmq(RabbitSettings((self.url,), PREFIX)) as broker:
            await wait_until(lambda: broker.is_connected, GIVE_UP_SECONDS)
            yield broker

    @asynccontextmanager
    async def front(self) -> AsyncIterator[tuple[Endpoint, int]]:
        """Run a front; it may not be ready yet."""
        (port,) = find_free(1)
        async with running_process(FRONT, "front", self.config(port)) as pid:
            yield Endpoint(HOST, port), pid

    async def set_snapshots(self, written: Sequence[Written], which: str) -> None:
        """Replace what is in the `tops` streams."""
        async with await aio_pika.connect(self.url) as connection:
            channel = await connection.channel()
            for each in written:
                await channel.queue_delete(Names(PREFIX).tops(each.partition))
        await apply_topology([self.url], prefix=PREFIX, lanes={LANE: PARTITIONS})
        async with self.broker() as broker:
            for each in written:
                first = each.snapshots[: max(1, len(each.snapshots) // 5)]
                chosen = {"recent": each.snapshots, "none": [], "old": first}[which]
                await fill_tops(broker.tops(each.partition), chosen)


async def measure_worker(place: Place, rounds: int) -> Starts:
    """Start workers beside an idle front, until each partition has settled a publication."""
    starts = Starts()
    async with place.front() as (endpoint, _):
        await _ready(endpoint)
        client = await open_client(endpoint)
        for _ in range(rounds):
            started = time.perf_counter()
            async with running_process(WORKER, "worker", place.config(0)) as pid:
                await asyncio.gather(*(_settled(client, name) for name in _one_channel_each()))
                starts.note(pid, started)
        client.close()
    for _ in range(rounds):
        starts.longest_seconds.append(await _longest_step_of_a_worker(place))
    return starts


async def measure_front(place: Place, rounds: int) -> Starts:
    """Start fronts until they are ready."""
    starts = Starts()
    for _ in range(rounds):
        started = time.perf_counter()
        async with place.front() as (endpoint, pid):
            longest = await _ready(endpoint)
            starts.note(pid, started)
            starts.longest_seconds.append(longest)
    return starts


async def _ready(endpoint: Endpoint) -> float:
    """Wait until a front is ready; give how long the slowest of its answers took."""
    longest = 0.0
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while True:
            asked = time.perf_counter()
            answer = await asyncio.to_thread(is_ready, endpoint.port)
            longest = max(longest, time.perf_counter() - asked)
            if answer:
                return longest
            await asyncio.sleep(PROBE_SECONDS)


async def _settled(client: Client, channel: str) -> None:
    async with asyncio.timeout(GIVE_UP_SECONDS):
        # One that is not settled in the time that a client is told to wait is published again.
        while True:
            answer = await client.ask(publish={"channel": channel, "data": {}})
            if "publish" in answer:
                return


def _one_channel_each() -> list[str]:
    names: dict[int, str] = {}
    for number in range(100):
        name = f"start{number}"
        names.setdefault(partition_number(name, PARTITIONS), name)
    return list(names.values())


async def _longest_step_of_a_worker(place: Place) -> float:
    """Read the logs here as a worker does; give the loop's longest silence meanwhile."""
    collecting = gc.get_threshold()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        async with place.broker() as broker, asyncio.TaskGroup() as tasks:
            readers = [Marking(broker, Partition(LANE, number)) for number in range(PARTITIONS)]
            running = [tasks.create_task(each.reader.run()) for each in readers]
            caught_up = [tasks.create_task(each.reader.is_caught_up.wait()) for each in readers]
            longest, last = 0.0, time.perf_counter()
            while not all(task.done() for task in caught_up):
                await asyncio.sleep(TICK_SECONDS)
                now = time.perf_counter()
                longest, last = max(longest, now - last - TICK_SECONDS), now
            for task in running:
                task.cancel()
            return longest
    finally:
        gc.set_threshold(*collecting)


class Marking:
    """Reads one log and keeps what a worker keeps."""

    def __init__(self, broker: Broker, partition: Partition) -> None:
        self._settled = SettledNumbers()
        self.reader = LogReader(
            broker,
            partition,
            partitions=PARTITIONS,
            remember_seconds=REMEMBER_SECONDS,
            listener=self,
        )

    def restarted(self, view: PartitionView, snapshot: Snapshot | None) -> None:
        self._settled = SettledNumbers()
        if snapshot is not None:
            self._settled.restore(snapshot.producers)

    def folded(self, stored: StoredRecord, record: Record, change: Change) -> None:
        for outcomes in change.settled.batches if change.settled is not None else ():
            self._settled.mark(outcomes)

    def continuity_lost(self, loss: Loss) -> None:
        pass

    async def ready(self) -> None:
        pass


async def measure(long_log: LongLog, snapshots: Sequence[str], rounds: int) -> None:
    """Write one log, start everything over it, and print the rows."""
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        async with LocalNode(Path(name) / "node") as node:
            place = Place(node, Path(name))
            await apply_topology([place.url], prefix=PREFIX, lanes={LANE: PARTITIONS})
            async with place.broker() as broker:
                written = await write_log(broker, long_log)
            where = "one partition" if long_log.is_in_one else f"{PARTITIONS} partitions"
            for which in snapshots:
                await place.set_snapshots(written, which)
                for role, measure_role in (("worker", measure_worker), ("front", measure_front)):
                    starts = await measure_role(place, rounds)
                    print(_row(role, where, which, starts), flush=True)


def _row(role: str, where: str, which: str, starts: Starts) -> str:
    seconds, wanted = median(starts.seconds), WANTED_SECONDS[role]
    rounds = ", ".join(f"{each:.2f}" for each in starts.seconds)
    return (
        f"| {role} | {where} | {which} | {seconds:.2f} s | {rounds} | {wanted:.0f} s"
        f" | {'yes' if seconds <= wanted else '**no**'} | {median(starts.cpu_seconds):.2f} s"
        f" | {median(starts.bytes) / 1e6:.0f} MB"
        f" | {median(starts.longest_seconds) * 1e3:.0f} ms |"
    )


async def run(asked: argparse.Namespace) -> None:
    """Print the table."""
    about = describe_machine()
    print(f"{asked.publications:,} publications, load before {about['load_before']}", flush=True)
    print("| process | log in | snapshot | median | rounds | at most | | CPU | memory | step |")
    print("|---|---|---|---:|---|---:|---|---:|---:|---:|", flush=True)
    for is_in_one in (False, True):
        if asked.log in ("both", "one" if is_in_one else "four"):
            long_log = LongLog(
                asked.publications,
                asked.publications // 50,
                asked.publications // 5,
                PARTITIONS,
                is_in_one,
            )
            await measure(long_log, asked.snapshot or SNAPSHOTS, asked.rounds)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.starts", description=__doc__)
    parser.add_argument("--publications", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--log", choices=["both", "four", "one"], default="both")
    parser.add_argument("--snapshot", action="append", choices=SNAPSHOTS)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
