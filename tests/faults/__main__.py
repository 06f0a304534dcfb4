"""Runs fault schedules: `python -m tests.faults --seeds 1-150 --kind processes --report FILE`.

Prints a line a schedule as it ends, and what they add up to. What there is to look at of a schedule
with an offence (journals, logs) is kept in a folder, which is named. Ends with status 1 on any.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from broker.local.cluster import LocalCluster
from broker.local.node import LocalNode
from tests.faults.arena import open_arena
from tests.faults.rabbit import Rabbit, SeveralNodes, SingleNode
from tests.faults.run import run_schedule
from tests.faults.schedule import Deck, draw
from tests.faults.tally import Tally, line_of
from tests.system.rabbit4 import find_rabbit4

CRASHING = "tests.faults.crashing:app"

# A worker's or front's files grow; a fresh arena now and then also begins from an empty broker.
SCHEDULES_AN_ARENA = 50


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def run_seeds(rabbit: Rabbit, tally: Tally, seeds: range, directory: Path, app: str) -> None:
    """Run the schedules of these seeds, one after the other.

    In one arena, until something is found: what comes next is to be found in a whole one.
    """
    waiting = deque(seeds)
    while waiting:
        place = directory / f"from-{waiting[0]}"
        place.mkdir(parents=True)
        await rabbit.start()
        async with open_arena(place, rabbit, app=app) as arena:
            is_whole = True
            while waiting and is_whole:
                seed = waiting.popleft()
                kept = place / f"{tally.deck.text}-{seed}"
                result = await run_schedule(arena, draw(tally.deck, seed), kept)
                tally.results.append(result)
                say(line_of(result))
                is_whole = result.is_clean
                if not is_whole:
                    say(f"    kept in {kept}")


@asynccontextmanager
async def one_node(directory: Path) -> AsyncIterator[Rabbit]:
    """Run the installed RabbitMQ."""
    node = LocalNode(directory)
    await node.start()
    try:
        yield SingleNode(node)
    finally:
        await node.kill()


@asynccontextmanager
async def one_node_of_4(directory: Path) -> AsyncIterator[Rabbit]:
    """Run RabbitMQ 4."""
    node = LocalNode(directory, installation=find_rabbit4())
    await node.start()
    try:
        yield SingleNode(node)
    finally:
        await node.kill()


@asynccontextmanager
async def three_nodes(directory: Path) -> AsyncIterator[Rabbit]:
    """Run a cluster of the installed RabbitMQ."""
    async with LocalCluster(directory) as cluster:
        yield SeveralNodes(cluster)


BROKERS: dict[str, Callable[[Path], AbstractAsyncContextManager[Rabbit]]] = {
    "node": one_node,
    "rabbitmq4": one_node_of_4,
    "cluster": three_nodes,
}


async def run(deck: Deck, seeds: range, broker: str, directory: Path, app: str) -> Tally:
    """Run the schedules of these seeds on a broker of their own."""
    title = f"{deck.text} on {broker}: seeds {seeds.start} to {seeds.stop - 1}"
    tally = Tally(deck, f"{title}, with {app}" if app else title)
    for start in range(seeds.start, seeds.stop, SCHEDULES_AN_ARENA):
        part = range(start, min(start + SCHEDULES_AN_ARENA, seeds.stop))
        with tempfile.TemporaryDirectory(prefix="forebay-faults-") as data:
            async with BROKERS[broker](Path(data)) as rabbit:
                try:
                    await run_seeds(rabbit, tally, part, directory, app)
                finally:
                    for number, log in enumerate(rabbit.log_paths):
                        shutil.copy(log, directory / f"rabbit-{number}-from-{start}.log")
    return tally


def _read_seeds(text: str) -> range:
    first, _, last = text.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    if not seeds or seeds.start < 1:
        raise argparse.ArgumentTypeError(f"{text} names no seeds: they count from 1")
    return seeds


def main() -> None:
    """Read the command line, run, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=_read_seeds, default=range(1, 11), help="such as 1-150")
    parser.add_argument("--kind", choices=[deck.text for deck in Deck], default=Deck.PROCESSES.text)
    parser.add_argument("--on", choices=[*BROKERS], default="node", help="which broker")
    parser.add_argument(
        "--app",
        nargs="?",
        default="",
        const=CRASHING,
        help="give workers handlers; left without a name: some that crash at random",
    )
    parser.add_argument("--report", type=Path, help="a file for the tables, in Markdown")
    parser.add_argument("--keep", type=Path, help="a folder for logs and journals")
    asked = parser.parse_args()
    deck = next(deck for deck in Deck if deck.text == asked.kind)
    directory = asked.keep or Path(tempfile.mkdtemp(prefix="forebay-fault-runs-"))
    tally = asyncio.run(run(deck, asked.seeds, asked.on, directory.resolve(), asked.app))
    if asked.report is not None:
        asked.report.write_text(tally.markdown() + "\n")
    say(tally.markdown())
    short = ", ".join(map(str, tally.short_of())) or "none"
    say(f"\nless than three times: {short}")
    sys.exit(1 if tally.offences else 0)


if __name__ == "__main__":
    main()
