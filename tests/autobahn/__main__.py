"""Runs the fuzzing client against the echo server, and prints the table: `make autobahn`.

CASES names some cases only, such as `1.*,6.4.*`; then no table is judged but what ran.
"""

import asyncio
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

from broker.local.ports import HOST
from services.logs import configure_logs
from tests.autobahn.echo import serving_echo
from tests.autobahn.report import Report, format_table, read_report
from tests.autobahn.suite import FOLDER, NoPython2, ensure_suite

AGENT = "Forebay"
# All of it takes some four minutes on two cores; the suite itself gives no case more than one.
LONGEST_SECONDS = 1800.0


async def run_suite(command: str, cases: list[str]) -> Report:
    """Run these cases and read what came of them.

    Raises:
        TimeoutError: the suite did not come to its end.
        subprocess.CalledProcessError: it failed; its log is beside its reports.
    """
    reports = FOLDER / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    async with serving_echo() as port:
        spec = FOLDER / "spec.json"
        spec.write_text(json.dumps(_spec(port, cases, reports)))
        with (FOLDER / "suite.log").open("wb") as log:
            arguments = ["--mode", "fuzzingclient", "--spec", str(spec)]
            suite = await asyncio.create_subprocess_exec(
                command, *arguments, stdout=log, stderr=subprocess.STDOUT
            )
            try:
                async with asyncio.timeout(LONGEST_SECONDS):
                    await suite.wait()
            finally:
                if suite.returncode is None:
                    suite.kill()
                    await suite.wait()
    if suite.returncode:
        raise subprocess.CalledProcessError(suite.returncode, command)
    return read_report(reports, AGENT)


def _spec(port: int, cases: list[str], reports: Path) -> dict[str, object]:
    return {
        "outdir": str(reports),
        "servers": [{"agent": AGENT, "url": f"ws://{HOST}:{port}/"}],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }


def main() -> int:
    """Run what was asked for; answers the exit code."""
    try:
        command = ensure_suite()
    except NoPython2 as error:
        sys.stderr.write(f"forebay: {error}\n")
        return 2
    configure_logs(logging.WARNING, is_terminal=sys.stderr.isatty())
    chosen = os.environ.get("CASES", "*")
    report = asyncio.run(run_suite(command, chosen.split(",")))
    sys.stdout.write(f"{format_table(report)}\n\nreports: {FOLDER / 'reports'}\n")
    if chosen == "*":
        return 0 if report.is_good else 1
    return 1 if report.remarkable.get("FAILED") else 0


if __name__ == "__main__":
    sys.exit(main())
