"""Runs fault schedules: `python -m tests.faults --seeds 1-150 --kind processes --report FILE`.

Prints a line a schedule as it ends, and what they add up to. What there is to look at of a schedule
with an offence (journals, logs) is kept in a folder, which is named. Ends with status 1 on any.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from broker.local.node import LocalNode
from tests.faults.arena import open_arena
from tests.faults.rabbit import Rabbit, SingleNode
from tests.faults.run import run_schedule
from tests.faults.schedule import Deck, draw
from tests.faults.tally import Tally, line_of

# A worker's or front's files grow; a fresh arena now and then also begins from an empty broker.
SCHEDULES_AN_ARENA = 50


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def run_seeds(rabbit: Rabbit, tally: Tally, seeds: range, directory: Path) -> None:
    """Run the schedules of these seeds, one after the other, in one arena."""
    async with open_arena(directory, rabbit) as arena:
        for seed in seeds:
            kept = directory / f"{tally.deck.text}-{seed}"
            result = await run_schedule(arena, draw(tally.deck, seed), kept)
            tally.results.append(result)
            say(line_of(result))
            if not result.is_clean:
                say(f"    kept in {kept}")


async def run(deck: Deck, seeds: range, directory: Path) -> Tally:
    """Run the schedules of these seeds on a node of their own."""
    tally = Tally(deck, f"{deck.text}: seeds {seeds.start} to {seeds.stop - 1}")
    for start in range(seeds.start, seeds.stop, SCHEDULES_AN_ARENA):
        part = range(start, min(start + SCHEDULES_AN_ARENA, seeds.stop))
        place = directory / f"from-{start}"
        place.mkdir(parents=True)
        with tempfile.TemporaryDirectory(prefix="forebay-faults-") as data:
            node = LocalNode(Path(data))
            await node.start()
            try:
                await run_seeds(SingleNode(node), tally, part, place)
            finally:
                await node.kill()
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
    parser.add_argument("--report", type=Path, help="a file for the tables, in Markdown")
    parser.add_argument("--keep", type=Path, help="a folder for logs and journals")
    asked = parser.parse_args()
    deck = next(deck for deck in Deck if deck.text == asked.kind)
    directory = asked.keep or Path(tempfile.mkdtemp(prefix="forebay-fault-runs-"))
    tally = asyncio.run(run(deck, asked.seeds, directory.resolve()))
    if asked.report is not None:
        asked.report.write_text(tally.markdown() + "\n")
    say(tally.markdown())
    short = ", ".join(map(str, tally.short_of())) or "none"
    say(f"\nless than three times: {short}")
    sys.exit(1 if tally.offences else 0)


if __name__ == "__main__":
    main()
