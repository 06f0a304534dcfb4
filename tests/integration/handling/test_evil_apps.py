"""Whatever a handler does costs its own entry, and no other is failed, lost or heard twice."""

from pathlib import Path

import pytest

from services.worker.counting import WorkerCounters
from services.worker.handling.interface import TRIES_AT_MOST, Verdict
from tests.integration.handling.apps import (
    CRASHING,
    EVIL,
    Asking,
    running_app,
    verdicts,
)

MIB = 1024 * 1024
NEIGHBOURS = 20

pytestmark = pytest.mark.timeout(60)  # three tries, and processes that start on a busy machine

FAILING = {
    "raises": "KeyError: 'no such room'",
    "raises, waiting": "KeyError: 'no such room'",
    "waits for ever": "took longer than 0.3 s",
    "exits": "the app process died (exit code 7)",
    "exits, waiting": "the app process died (exit code 7)",
    "asks to exit": "SystemExit: 7",
    "kills itself": "the app process died (killed by signal 9)",
    "segfaults": "the app process died (killed by signal 11)",
    "takes all memory": "of memory)",
    "returns nonsense": "object",
    "says nonsense": "the app process died (what it said is no message)",
    "says what it was not asked": "the app process died (it answered what it was not asked)",
    "closes its socket": "the app process died (",
    "shuts its socket down": "the app process died (",
}


@pytest.fixture(autouse=True)
def _team_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def fail_among_neighbours(folder: Path, evil: str, words: str) -> None:
    # How much it takes is seen at every second, and it is to be ended for that.
    timeout_seconds = 15 if "memory" in evil else 0.3
    async with running_app(folder, EVIL, memory_limit=64 * MIB, timeout=timeout_seconds) as crew:
        asking = Asking(crew)
        for number in range(NEIGHBOURS):
            asking.ask(f"room:{number % 5}")
            asking.ask(f"waits:{number}")
        asking.ask(evil, "evil")
        for number in range(NEIGHBOURS):
            asking.ask(f"room:{number % 7}")
        heard = await asking.all_heard()
    failure = heard.pop("evil")
    assert failure.verdict is Verdict.FAILED
    assert words in failure.text
    assert failure.attempts == TRIES_AT_MOST
    assert verdicts(heard) == {Verdict.PASSED}


@pytest.mark.parametrize("evil", FAILING)
async def test_what_fails_costs_its_own_entry_alone(tmp_path: Path, evil: str) -> None:
    await fail_among_neighbours(tmp_path, evil, FAILING[evil])


@pytest.mark.slow
async def test_a_handler_that_blocks_its_process_costs_its_own_entry_alone(tmp_path: Path) -> None:
    await fail_among_neighbours(
        tmp_path,
        "blocks for ever",
        "the app process died (a handler did not come back within 0.3 s)",
    )


@pytest.mark.parametrize("odd", ["spawns", "prints"])
async def test_what_is_odd_costs_nothing(tmp_path: Path, odd: str) -> None:
    async with running_app(tmp_path, EVIL) as crew:
        asking = Asking(crew)
        for number in range(NEIGHBOURS):
            asking.ask(f"room:{number % 5}")
        asking.ask(odd)
        for number in range(NEIGHBOURS):
            asking.ask(f"room:{number % 5}")
        assert verdicts(await asking.all_heard()) == {Verdict.PASSED}


async def test_a_process_that_leaks_is_replaced_and_costs_no_entry(tmp_path: Path) -> None:
    counters = WorkerCounters()
    async with running_app(tmp_path, EVIL, counters=counters, memory_limit=64 * MIB) as crew:
        asking = Asking(crew)
        # Once: more than it may have, and less than it would be killed for.
        asking.ask("leaks")
        while counters.app_starts.value < 2:
            asking.ask("waits:1")
            await asking.all_heard()
        assert verdicts(await asking.all_heard()) == {Verdict.PASSED}
        assert counters.app_deaths.value == 0


async def test_an_app_that_crashes_now_and_then_costs_no_entry_and_no_order(tmp_path: Path) -> None:
    counters = WorkerCounters()
    async with running_app(tmp_path, CRASHING, counters=counters, processes=2) as crew:
        asking = Asking(crew)
        for number in range(600):
            asking.ask(f"{'waits' if number % 2 else 'room'}:{number % 60}", str(number))
        heard = await asking.all_heard()
    assert counters.app_deaths.value >= 16
    assert verdicts(heard) == {Verdict.PASSED}
    for line in range(60):
        in_order = [int(key) for key, _ in asking.heard if int(key) % 60 == line]
        assert in_order == sorted(in_order)
