"""What handlers cost an entry, in the worker and in its app processes, and how they scale.

    python -m bench.crew

It prints the CPU of an entry with a handler that lets everything pass, where the worker's side is
what asking takes beyond a loop that makes the same questions and hears them at once; and how much
more two app processes do than one when each handler takes 200 µs: of waiting, as for a database,
and of computing, which needs two idle cores to show anything.
"""

import argparse
import asyncio
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from bench.usage import describe_machine
from services.lifecycle import run_loop
from services.logs import configure_logs
from services.settings import AppConfig
from services.worker.counting import WorkerCounters
from services.worker.handling.crew import open_handling
from services.worker.handling.interface import Handled, Handling, Kind, Question, Verdict

CHANNELS = 500
A_TURN = 1_000
"""Entries that are asked about in one turn of the loop, as of a full record."""
UNHEARD_AT_MOST = 8_000

APP = """
import time
from forebay import App

app = App()

@app.publish("quick:*")
def let_pass(publication):
    pass

@app.publish("waiting:*")
def wait(publication):
    time.sleep(200e-6)

@app.publish("computing:*")
def compute(publication):
    until = time.perf_counter() + 200e-6
    while time.perf_counter() < until:
        pass
"""

# Of some 185 bytes, as elsewhere.
PAYLOAD = b'{"text":"%s","at":1732550400000}' % (b"x" * 150)
SENDER = b'{"user":"4711","client":"5b1f9a52-8c1b-4d0e-9a55-0d3a7e0f2c11"}'

_PASSED = Handled(Verdict.PASSED)

Hear = Callable[[Handled], None]


class Cost(NamedTuple):
    """CPU of one entry, in microseconds."""

    worker: float
    app: float
    entries_a_second: float


class Counting:
    """Hears answers, and tells when there have been enough."""

    def __init__(self) -> None:
        self.heard = 0
        self._wanted = 0
        self._reached = asyncio.Event()

    def hear(self, handled: Handled) -> None:
        self.heard += 1
        if self.heard == self._wanted:
            self._reached.set()

    async def reach(self, wanted: int) -> None:
        if self.heard < wanted:
            self._wanted = wanted
            self._reached.clear()
            await self._reached.wait()


async def ask_many(ask: Callable[[Question, Hear], None], kind: str, entries: int) -> None:
    """Ask as a worker under full load would, and wait for the last answer."""
    counting = Counting()
    hear = counting.hear
    for begin in range(0, entries, A_TURN):
        for number in range(begin, min(begin + A_TURN, entries)):
            channel = f"{kind}:{number % CHANNELS}"
            ask(Question(Kind.PUBLISH, channel, channel, SENDER, PAYLOAD, f"p.{number}"), hear)
        await counting.reach(begin + A_TURN - UNHEARD_AT_MOST)
        await asyncio.sleep(0)
    await counting.reach(entries)


def hear_at_once(question: Question, hear: Hear) -> None:
    """What asking is compared with."""
    hear(_PASSED)


async def measure(handling: Handling, kind: str, entries: int) -> Cost:
    """Have so many entries handled."""
    apps = psutil.Process(os.getpid()).children()
    owner = object()

    def ask(question: Question, hear: Hear) -> None:
        handling.ask(owner, question, hear)

    began = time.process_time()
    await ask_many(hear_at_once, kind, entries)
    baseline = time.process_time() - began
    app_before = sum(_cpu_seconds(app) for app in apps)
    began, began_at = time.process_time(), time.perf_counter()
    await ask_many(ask, kind, entries)
    seconds = time.perf_counter() - began_at
    worker = time.process_time() - began - baseline
    app = sum(_cpu_seconds(app) for app in apps) - app_before
    return Cost(worker * 1e6 / entries, app * 1e6 / entries, entries / seconds)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


SLOW = ("waiting", "computing")


async def measure_with(processes: int, entries: int) -> dict[str, Cost]:
    """Measure quick handlers and slow ones."""
    app = AppConfig(path="team:app", processes=processes)
    async with open_handling(app, WorkerCounters()) as handling:
        assert handling is not None
        await measure(handling, "quick", entries // 10)
        costs = {"quick": await measure(handling, "quick", entries)}
        for kind in SLOW:
            costs[kind] = await measure(handling, kind, entries // 25)
        return costs


async def run(rounds: int, entries: int) -> None:
    """Measure, and print it."""
    of_one, of_two = [], []
    for _ in range(rounds):
        of_one.append(await measure_with(1, entries))
        of_two.append(await measure_with(2, entries))
    worker = statistics.median(costs["quick"].worker for costs in of_one)
    app = statistics.median(costs["quick"].app for costs in of_one)
    print(f"machine: {describe_machine()}")
    print(f"worker {worker:.2f} + app {app:.2f} = {worker + app:.2f} µs of CPU an entry")
    for kind in SLOW:
        ratio = statistics.median(
            two[kind].entries_a_second / one[kind].entries_a_second
            for one, two in zip(of_one, of_two, strict=True)
        )
        print(f"200 µs of {kind}: two processes do {ratio:.2f} times what one does")


def main() -> int:
    """Read the command line; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.crew", description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    configure_logs(logging.WARNING, is_terminal=sys.stderr.isatty())
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "team.py").write_text(APP)
        before = Path.cwd()
        os.chdir(folder)
        try:
            run_loop(run(asked.rounds, asked.entries))
        finally:
            os.chdir(before)
    return 0


if __name__ == "__main__":
    sys.exit(main())
