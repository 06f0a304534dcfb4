"""Runs one schedule in an arena: load, strikes, healing, judgement.

Rules: at the end everything is healed and at rest before anybody judges, so that nothing is under
way that could still go either way; what does not come to rest in time is an offence of its own.
"""

import asyncio
import shutil
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from broker.partition import partition_number
from tests.faults import liveness
from tests.faults.arena import Arena
from tests.faults.checker import Report, judge
from tests.faults.load import Load, LoadPlan
from tests.faults.schedule import Schedule
from tests.faults.striking.striker import Striker, Struck
from tests.system.deployment import LANES

LOAD_SECONDS = 4.0
AFTERWARDS_SECONDS = 1.5
FOLLOW_SECONDS = 15.0
STRIKES_SECONDS = 90.0
PUBLISHED_SECONDS = 30.0
RECEIVED_SECONDS = 30.0

PUBLISHERS = 12
PER_SECOND = 40.0
WINDOW = 10
NAMESPACES = ("open", "hasty")
UNSOUND_EVERY = 41
# More than is ever attempted: the time ends the load, not the number.
PUBLICATIONS = 1_000_000


@dataclass
class Result:
    """What came of a schedule."""

    schedule: Schedule
    struck: list[Struck]
    report: Report
    seconds: float
    whole_seconds: float
    """From the healing to publications that are settled in every partition, by every front."""
    complaints: list[str] = field(default_factory=list)
    """What is wrong beside the offences that journals show."""

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not self.report.stories and not self.complaints


def plan_of(schedule: Schedule) -> LoadPlan:
    """The load of a schedule, on channels of its own: a settled and a queued one a partition."""
    name = f"{schedule.deck.text}-{schedule.seed}"
    channels = [
        _channel_in(number, f"{namespace}:{name}")
        for namespace in NAMESPACES
        for number in range(LANES["main"])
    ]
    return LoadPlan(channels, PUBLISHERS, PUBLICATIONS, WINDOW, PER_SECOND, UNSOUND_EVERY)


def _channel_in(partition: int, name: str) -> str:
    names = (f"{name}-{number}" for number in count())
    return next(each for each in names if partition_number(each, LANES["main"]) == partition)


async def run_schedule(arena: Arena, schedule: Schedule, directory: Path) -> Result:
    """Run a schedule and judge it; what there is to look at is kept if it is not clean."""
    began = time.monotonic()
    load = Load(arena.front_urls, schedule.seed, plan_of(schedule))
    logs = _Logs(arena)
    outcome = _Outcome()
    try:
        async with _running(load):
            outcome = await _strike_and_heal(arena, load, schedule)
    # Whatever goes wrong in one schedule is said of that one, and the next begins anew.
    except* Exception as errors:  # noqa: BLE001 - the supervisor of one unit of work
        outcome.complaints += ["".join(traceback.format_exception(errors))]
    finally:
        heal(arena)
    complaints = outcome.complaints
    complaints += [each.complaint for each in outcome.struck if each.complaint]
    report = judge(load.journals)
    if report.unresumed:
        complaints.append(
            f"{report.unresumed} resumptions were not recovered, and nothing was lost"
        )
    seconds = time.monotonic() - began
    result = Result(
        schedule, outcome.struck, report, seconds, outcome.whole_seconds, outcome.complaints
    )
    if not result.is_clean:
        _keep(result, load, logs, directory)
    return result


@dataclass
class _Outcome:
    struck: list[Struck] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    whole_seconds: float = 0.0


async def _strike_and_heal(arena: Arena, load: Load, schedule: Schedule) -> _Outcome:
    """Strike under load; then stop publishing and wait for all to come to rest."""
    striker = Striker(arena, load)
    async with asyncio.timeout(STRIKES_SECONDS), asyncio.TaskGroup() as tasks:
        striking = [tasks.create_task(striker.strike(each)) for each in schedule.strikes]
        tasks.create_task(asyncio.sleep(LOAD_SECONDS))
    struck = [task.result() for task in striking]
    heal(arena)
    healed = time.monotonic()
    problems = await liveness.until_whole(arena)
    outcome = _Outcome(struck, problems, time.monotonic() - healed)
    # What goes wrong often does when all goes on.
    await asyncio.sleep(AFTERWARDS_SECONDS)
    load.stop_publishing()
    try:
        await load.until_published(PUBLISHED_SECONDS)
    except TimeoutError:
        problems.append("publishers did not learn all they can know in time")
    problems += await liveness.undrained(arena)
    try:
        await load.until_received(RECEIVED_SECONDS)
    except TimeoutError:
        problems.append("subscribers did not receive all in time, or not equally much")
    return outcome


@asynccontextmanager
async def _running(load: Load) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each.run()) for each in load.subscribers]
        await load.progress.until(load.is_followed, timeout_seconds=FOLLOW_SECONDS)
        running += [tasks.create_task(each.run()) for each in load.publishers]
        yield
        for task in running:
            task.cancel()


def heal(arena: Arena) -> None:
    """Let everything run and flow again."""
    for proxy in arena.proxies:
        proxy.heal()
    for member in arena.members:
        member.is_struck = False
        member.process.resume()


class _Logs:
    """Where the logs of a schedule begin."""

    def __init__(self, arena: Arena) -> None:
        paths = [member.process.log_path for member in arena.members]
        paths += arena.rabbit.log_paths
        self._starts = {path: path.stat().st_size for path in paths if path.exists()}

    def copy_to(self, directory: Path) -> None:
        """Write what came since then."""
        for path, start in self._starts.items():
            with path.open("rb") as log, (directory / path.name).open("wb") as copy:
                log.seek(start)
                shutil.copyfileobj(log, copy)


def _keep(result: Result, load: Load, logs: _Logs, directory: Path) -> None:
    load.write_journals(directory)
    logs.copy_to(directory)
    strikes = "\n".join(map(str, result.struck))
    problems = "\n".join(result.complaints + result.report.stories)
    (directory / "offences.txt").write_text(f"{strikes}\n{result.report}\n{problems}\n")
