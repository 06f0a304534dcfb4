"""Several processes: started again when they end, stopped with their parent, given up for good."""

import asyncio
import time
from pathlib import Path

import pytest

from services.failing import CANNOT_START
from services.front import processes
from services.front.processes import supervise

STAYS = "import sys, pathlib; pathlib.Path(sys.argv[1]).open('a').write('x'); sys.stdin.read()"
ENDS = "import sys, pathlib; pathlib.Path(sys.argv[1]).open('a').write('x'); sys.exit(1)"


def starts(path: Path) -> int:
    return len(path.read_text()) if path.exists() else 0


async def until_started(path: Path, times: int) -> None:
    async with asyncio.timeout(10):
        while starts(path) < times:  # noqa: ASYNC110  (other processes write it)
            await asyncio.sleep(0.01)


async def test_all_children_are_stopped_when_asked(tmp_path: Path) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(supervise(["-c", STAYS, str(tmp_path / "s")], 2, stop, 0.0))
    await until_started(tmp_path / "s", 2)
    stop.set()
    assert await running == 0
    assert starts(tmp_path / "s") == 2


async def test_a_child_that_ends_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_FIRST_WAIT_SECONDS", 0.01)
    stop = asyncio.Event()
    running = asyncio.create_task(supervise(["-c", ENDS, str(tmp_path / "s")], 1, stop, 0.0))
    await until_started(tmp_path / "s", 3)
    stop.set()
    assert await running == 0


async def test_a_child_that_cannot_start_at_all_ends_everything() -> None:
    command = ["-c", f"import sys; sys.exit({CANNOT_START})"]
    async with asyncio.timeout(10):
        assert await supervise(command, 2, asyncio.Event(), 0.0) == CANNOT_START


async def test_a_child_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_KILL_AFTER_SECONDS", 0.1)
    deaf = (
        "import signal, sys, time, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "pathlib.Path(sys.argv[1]).open('a').write('x'); time.sleep(60)"
    )
    stop = asyncio.Event()
    running = asyncio.create_task(supervise(["-c", deaf, str(tmp_path / "s")], 1, stop, 0.0))
    await until_started(tmp_path / "s", 1)
    began_seconds = time.monotonic()
    stop.set()
    assert await running == 0
    assert time.monotonic() - began_seconds < 10
