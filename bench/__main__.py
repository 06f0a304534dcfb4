"""Measures Forebay and writes bench/results/: `python -m bench [PART …] [--quick]`."""

import argparse
import platform
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import uvloop

from bench import suite
from bench.report import RESULTS, write_results
from bench.section import Section
from bench.stack import Stack, running_stack
from bench.suite import QUICK, Plan
from bench.usage import describe_machine

PARTS: dict[str, Callable[[Stack, Plan], Awaitable[Section]]] = {
    "throughput": suite.throughput,
    "latency": suite.latency,
    "fanout": suite.fan_out,
    "memory": suite.memory,
}


async def measure(names: list[str], plan: Plan) -> None:
    """Run the parts, write and print the table."""
    about = {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **describe_machine(),
        "python": platform.python_version(),
        "rounds": plan.rounds,
    }
    sections: list[Section] = []
    async with running_stack() as stack:
        about["rabbitmq"] = stack.version
        for name in names:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            sections.append(await PARTS[name](stack, plan))
    print(write_results(sections, about))
    print(f"written to {RESULTS}", file=sys.stderr)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("part", nargs="*", default="all", choices=["all", *PARTS])
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    asked = parser.parse_args()
    names = list(PARTS) if "all" in asked.part else asked.part
    uvloop.run(measure(names, QUICK if asked.quick else Plan()))


if __name__ == "__main__":
    main()
