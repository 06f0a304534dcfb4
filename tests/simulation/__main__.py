"""Lives many seeds, or one to look at: `python -m tests.simulation 0:2000`, `… 17 --log`.

`--mutant NAME` breaks one of the product's rules. Prints a line for each seed that fails, and how
many there were; the exit code says whether any did.
"""

import argparse
import sys
import time
from contextlib import nullcontext

from tests.simulation.mutants import MUTANTS
from tests.simulation.seeds import find_violation
from tests.simulation.world import draw_traits


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("seeds", help="one, or first:after the last")
    parser.add_argument("--log", action="store_true", help="show what the processes log")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="break a rule of the product")
    options = parser.parse_args()
    first, _, end = options.seeds.partition(":")
    seeds = range(int(first), int(end or int(first) + 1))
    failed = 0
    started_seconds = time.perf_counter()
    with MUTANTS[options.mutant].broken() if options.mutant else nullcontext():
        for seed in seeds:
            violation = find_violation(seed, is_logged=options.log)
            if violation is not None:
                failed += 1
                sys.stdout.write(f"{seed}: {violation}\n    {draw_traits(seed)}\n")
                sys.stdout.flush()
    seconds = time.perf_counter() - started_seconds
    sys.stdout.write(f"{failed} of {len(seeds)} seeds failed, in {seconds:.0f} s\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
