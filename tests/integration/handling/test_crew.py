"""App processes that start, are asked, reloaded and ended."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from services.failing import CannotStart
from services.settings import AppConfig
from services.worker.counting import WorkerCounters
from services.worker.handling.crew import Crew, open_handling
from services.worker.handling.interface import Handled, Kind, Question, Verdict
from tests.integration.handling.apps import (
    EVIL,
    PASSING,
    WAIT_SECONDS,
    Asking,
    running_app,
    subscribing,
    verdicts,
)

pytestmark = pytest.mark.timeout(60)

ROOT = Path(__file__).parent.parent.parent.parent

NAMED = """
import services, broker.rooms
from forebay import App
from forebay.link import Side

app = App()

@app.rpc("who")
def who(call):
    return [services.WHOSE, broker.rooms.WHOSE]
"""


@pytest.fixture(autouse=True)
def _team_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def children() -> list[psutil.Process]:
    """App processes and what they have started; a broker's node of other tests goes on."""
    found: list[psutil.Process] = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(argument.endswith("starting.py") for argument in process.cmdline()):
                found += [process, *process.children(recursive=True)]
    return found


async def reply(crew: Crew, method: str, line: str = "client") -> bytes:
    heard: asyncio.Future[Handled] = asyncio.get_running_loop().create_future()
    crew.ask(None, Question(Kind.RPC, line, method, b"null", b"{}", "k"), heard.set_result)
    handled = await asyncio.wait_for(heard, WAIT_SECONDS)
    assert handled.verdict is Verdict.REPLIED
    return handled.data


# ---- starting


async def test_without_an_app_nothing_is_handled() -> None:
    async with open_handling(AppConfig(), WorkerCounters()) as handling:
        assert handling is None


async def test_what_the_app_has_handlers_for_is_known(tmp_path: Path) -> None:
    source = PASSING.replace('"*"', '"chat:*:private"')
    async with running_app(tmp_path, source) as crew:
        assert crew.handles(Kind.PUBLISH, "chat:a.b:private")
        assert not crew.handles(Kind.PUBLISH, "chat:a.b")
        assert not crew.handles(Kind.RPC, "chat:a:private")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ValueError('no database')", "ValueError: no database"),
        ("app = 3", "team:app"),
        ("import os; os._exit(9)", "exit code 9"),
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9"),
    ],
)
async def test_an_app_that_cannot_start_is_said_once_and_for_all(
    tmp_path: Path, source: str, reason: str
) -> None:
    with pytest.raises(ExceptionGroup) as failure:
        async with running_app(tmp_path, source, processes=2):
            pass
    cause = failure.value.exceptions[0]
    assert isinstance(cause, CannotStart)
    assert "the app team:app cannot start" in str(cause)
    assert reason in str(cause)
    assert children() == []


async def test_an_app_that_takes_too_long_to_start_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as failure:
        async with running_app(tmp_path, "import time; time.sleep(3600)", start_timeout=1):
            pass
    assert "it did not start within 1 s" in str(failure.value.exceptions[0])
    assert children() == []


async def test_an_app_that_is_larger_than_it_may_become_does_not_start(tmp_path: Path) -> None:
    source = "kept = bytearray(b'x' * 100_000_000)\n" + PASSING
    with pytest.raises(ExceptionGroup) as failure:
        async with running_app(tmp_path, source, memory_limit="64MiB"):
            pass
    assert "app.memory_limit is 64 MiB" in str(failure.value.exceptions[0])


async def test_a_system_that_starts_no_process_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    with pytest.raises(ExceptionGroup) as failure:
        async with running_app(tmp_path, PASSING):
            pass
    assert "no process can be started" in str(failure.value.exceptions[0])


async def test_a_teams_own_packages_are_found_that_are_called_as_ours(tmp_path: Path) -> None:
    (tmp_path / "services.py").write_text("WHOSE = 'the team'")
    (tmp_path / "broker").mkdir()  # without an __init__.py
    (tmp_path / "broker" / "rooms.py").write_text("WHOSE = 'its own'")
    async with running_app(tmp_path, NAMED) as crew:
        assert await reply(crew, "who") == b'["the team","its own"]'


# ---- asking


async def test_all_of_a_line_is_handled_in_one_process(tmp_path: Path) -> None:
    source = """
import os
from forebay import App
app = App()

@app.rpc("pid")
def pid(call):
    return os.getpid()
"""
    async with running_app(tmp_path, source, processes=3) as crew:
        lines = [f"client {number}" for number in range(12)]
        pids = {line: {await reply(crew, "pid", line) for _ in range(3)} for line in lines}
    assert all(len(of_line) == 1 for of_line in pids.values())
    assert len(set[bytes]().union(*pids.values())) == 3


async def test_a_hook_is_answered_while_lines_are_busy(tmp_path: Path) -> None:
    async with running_app(tmp_path, EVIL, timeout=5) as crew:
        asking = Asking(crew)
        for number in range(3_000):
            asking.ask(f"waits:{number}")
        handled = await crew.ask_at_once(subscribing("room"), 5.0)
        assert handled is not None
        assert handled.verdict is Verdict.PASSED
        assert len(asking.heard) < len(asking.asked)
        assert verdicts(await asking.all_heard()) == {Verdict.PASSED}


async def test_a_hook_that_kills_its_process_fails_and_is_not_tried_again(tmp_path: Path) -> None:
    counters = WorkerCounters()
    async with running_app(tmp_path, EVIL, counters=counters) as crew:
        handled = await crew.ask_at_once(subscribing("exits"), WAIT_SECONDS)
        assert handled is not None
        assert (handled.verdict, handled.attempts) == (Verdict.FAILED, 1)
        assert await crew.ask_at_once(subscribing("room"), WAIT_SECONDS) is not None
        assert counters.app_deaths.value == 1


async def test_a_hook_that_is_not_answered_in_time_has_no_answer(tmp_path: Path) -> None:
    async with running_app(tmp_path, EVIL, timeout=10) as crew:
        assert await crew.ask_at_once(subscribing("blocks"), 0.2) is None


async def test_who_has_abandoned_hears_nothing(tmp_path: Path) -> None:
    async with running_app(tmp_path, EVIL) as crew:
        gone, staying = Asking(crew), Asking(crew)
        for number in range(50):
            gone.ask(f"waits:{number % 10}")
            staying.ask(f"waits:{number % 10}")
        crew.abandon(gone)
        await staying.all_heard()
        assert gone.heard == []


# ---- reloading


async def test_the_code_that_is_reloaded_is_the_changed_one(tmp_path: Path) -> None:
    source = "from forebay import App\napp = App()\n@app.rpc('*')\ndef say(call): return {}\n"
    async with running_app(tmp_path, source.format(1), processes=2) as crew:
        assert await reply(crew, "say") == b"1"
        (tmp_path / "team.py").write_text(source.format(22))
        await crew.reload()
        assert await reply(crew, "say") == b"22"


async def test_entries_wait_while_changed_code_cannot_start(tmp_path: Path) -> None:
    async with running_app(tmp_path, EVIL) as crew:
        asking = Asking(crew)
        for number in range(20):
            asking.ask(f"waits:{number}")
        await asyncio.sleep(0)
        (tmp_path / "team.py").write_text("this is no Python")
        await crew.reload()
        before = len(asking.heard)
        assert before == len(asking.asked), "what was under way was finished"
        asking.ask("room")
        (tmp_path / "team.py").write_text(PASSING)
        await crew.reload()
        assert verdicts(await asking.all_heard()) == {Verdict.PASSED}


async def test_processes_are_replaced_at_each_change(tmp_path: Path) -> None:
    changed = asyncio.Event()
    counters = WorkerCounters()

    async def changes() -> AsyncIterator[None]:
        while True:
            await changed.wait()
            changed.clear()
            yield

    (tmp_path / "team.py").write_text(PASSING)
    app = AppConfig(path="team:app")
    async with open_handling(app, counters, changes()) as handling:
        assert isinstance(handling, Crew)
        asking = Asking(handling)
        changed.set()
        async with asyncio.timeout(WAIT_SECONDS):
            while counters.app_starts.value < 2:
                asking.ask("room")
                await asyncio.sleep(0.01)
        assert verdicts(await asking.all_heard()) == {Verdict.PASSED}
        assert counters.app_deaths.value == 0


# ---- ending


async def test_shutdown_hooks_run_and_nothing_is_left(tmp_path: Path) -> None:
    source = PASSING + (
        "import subprocess\n"
        "@app.on_startup\n"
        "def start(): subprocess.Popen(['sleep', '3600'])\n"
        "@app.on_shutdown\n"
        "def end(): open('ended', 'w').close()\n"
    )
    async with running_app(tmp_path, source):
        assert len(children()) == 2
        started = children()
    assert (tmp_path / "ended").exists()
    _, alive = psutil.wait_procs(started, timeout=5)
    assert alive == []


async def test_a_process_that_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.worker.handling.process.STOP_SECONDS", 0.2)
    async with running_app(tmp_path, EVIL, timeout=10) as crew:
        assert await crew.ask_at_once(subscribing("blocks"), 0.5) is None
        assert len(children()) == 1
    assert children() == []


WORKER = """
import asyncio, sys
from services.settings import AppConfig
from services.worker.counting import WorkerCounters
from services.worker.handling.crew import open_handling
from services.worker.handling.interface import Kind, Question

async def main():
    async with open_handling(AppConfig(path="team:app"), WorkerCounters()) as handling:
        question = Question(Kind.PUBLISH, "a", sys.argv[1], b"null", b"{}", "k")
        handling.ask(None, question, print)
        await asyncio.sleep(0.3)
        print("asked", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


@contextlib.contextmanager
def worker_of_its_own(channel: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has asked about a publication."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, channel],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with worker:
        assert worker.stdout is not None
        while "asked" not in worker.stdout.readline():
            assert worker.poll() is None
        try:
            yield worker
        finally:
            worker.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one that blocks stays")
@pytest.mark.parametrize("channel", ["room", "blocks for ever"])
def test_no_process_outlives_a_worker_that_is_killed(tmp_path: Path, channel: str) -> None:
    (tmp_path / "team.py").write_text(EVIL)
    with worker_of_its_own(channel) as worker:
        apps = psutil.Process(worker.pid).children()
        assert len(apps) == 1
        worker.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(apps, timeout=10)
        assert alive == []
