"""What a worker sees of an app process, whatever the handlers in it do."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from forebay.link import (
    FRAME_BYTES_AT_MOST,
    LENGTH,
    HandlerSpec,
    Kind,
    Mark,
    Ready,
    Task,
    Verdict,
)
from tests.app.host import PATIENCE_SECONDS, HostProcess, host_of, serving, task, why_not

APP = """
import asyncio, os, sys, time
from forebay import App, Call, Message, Publication, Refuse

app = App()
gates: dict[str, asyncio.Event] = {}

def gate(name: str) -> asyncio.Event:
    return gates.setdefault(name, asyncio.Event())

@app.publish("chat:*")
def passing(event: Publication) -> None:
    print("noise on stdout", event.channel)

@app.publish("slow:*")
async def slow(event: Publication) -> str:
    await gate(event.channel).wait()
    return event.key

@app.rpc("open")
def open_gate(call: Call[str]) -> None:
    gate(call.data).set()

@app.rpc("block")
def block(call: Call[float]) -> float:
    time.sleep(call.data)
    return call.data

@app.rpc("raise")
async def fail(call: Call[str]) -> None:
    def deeper(words: str) -> None:
        raise ValueError(words)
    deeper(call.data)

@app.rpc("exit")
def leave(call: Call[int]) -> None:
    os._exit(call.data)

@app.rpc("system-exit")
def system_exit(call: Call) -> None:
    sys.exit("bye")

@app.rpc("group")
async def group(call: Call) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail(Words("inside")))

class Words:
    def __init__(self, data: str) -> None:
        self.data = data

@app.rpc("stubborn")
async def stubborn(call: Call) -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "I go on"
    return "I slept"

@app.rpc("suicidal")
async def suicidal(call: Call) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()

@app.rpc("cancellations")
async def cancellations(call: Call) -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()

@app.rpc("forks")
def forks(call: Call[str]) -> int:
    child = os.fork()
    if not child and call.data == "exits":
        sys.exit(3)
    return child

@app.rpc("forks slowly")
async def forks_slowly(call: Call[str]) -> int:
    return forks(call)

@app.rpc("reap")
def reap(call: Call[int]) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(call.data, 0)[1])

@app.rpc("deep")
def deep(call: Call) -> None:
    deep(call)

@app.rpc("where")
def where(call: Call) -> str:
    return os.getcwd()

class Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

@app.rpc("rude")
def rude(call: Call) -> None:
    raise Rude

@app.rpc("large")
def large(call: Call[int]) -> str:
    return "x" * call.data
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostProcess]:
    with serving(tmp_path, APP, timeout=0.3) as host:
        yield host


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[HostProcess]:
    """One whose handlers have time."""
    with serving(tmp_path, APP, timeout=PATIENCE_SECONDS) as host:
        yield host


def call(
    number: int,
    method: str,
    data: bytes = b"null",
    line: str | None = None,
    generation: int = 0,
) -> Task:
    return task(number, data, kind=Kind.RPC, name=method, line=line, generation=generation)


def test_it_says_what_it_has_handlers_for(tmp_path: Path) -> None:
    code = "from forebay import App\napp = App()\napp.send()(lambda event: None)\n"
    with host_of(tmp_path, code) as host:
        assert host.hear() == Ready([HandlerSpec(Kind.SEND, "*")])


def test_a_batch_is_answered_once_each_and_marked_ended(host: HostProcess) -> None:
    numbers = range(1, 2_001)
    host.give(*(task(number, name=f"chat:{number % 50}") for number in numbers))
    answers = host.answers(2_000)
    assert sorted(answers) == list(numbers)
    assert {answer.verdict for answer in answers.values()} == {Verdict.PASSED}
    assert {host.mark(number) for number in numbers} == {Mark.ENDED}


def test_lines_go_on_while_one_waits_and_its_own_keep_their_order(patient: HostProcess) -> None:
    patient.give(
        task(1, name="slow:1"),
        task(2, name="slow:2"),
        task(3, name="chat:1", line="slow:1"),
        task(4),
    )
    assert list(patient.answers(1)) == [4]
    assert [patient.mark(number) for number in (1, 2, 3, 4)] == [
        Mark.BEGUN,
        Mark.BEGUN,
        Mark.WAITING,
        Mark.ENDED,
    ]
    patient.give(call(5, "open", b'"slow:2"'))
    assert set(patient.answers(2)) == {2, 5}
    patient.give(call(6, "open", b'"slow:1"'))
    assert set(patient.answers(3)) == {1, 3, 6}


def test_a_thousand_handlers_wait_at_the_same_time(patient: HostProcess) -> None:
    patient.give(*(task(number, name="slow:1", line=f"l{number}") for number in range(1, 1_001)))
    patient.give(call(2_000, "open", b'"slow:1"'))
    answers = patient.answers(1_001)
    assert answers[700].data == b'"key-700"'
    assert len(answers) == 1_001


def test_what_is_done_is_told_while_handlers_hold_up_the_process(patient: HostProcess) -> None:
    patient.give(call(1, "block", b"0.02"), *(call(n, "block", b"0.02") for n in range(2, 200)))
    first = patient.answers(1)
    assert 1 in first
    assert patient.mark(199) is Mark.WAITING


def test_waiting_handlers_go_on_between_those_that_hold_up_the_process(
    patient: HostProcess,
) -> None:
    patient.give(task(1, name="slow:1"), call(2, "open", b'"slow:1"'))
    patient.give(*(call(n, "block", b"0.02", line="blocking") for n in range(3, 200)))
    while 1 not in patient.answers(1):
        pass
    assert patient.mark(199) is Mark.WAITING


def test_an_exception_fails_its_own_entry_with_its_place(host: HostProcess) -> None:
    host.give(call(1, "raise", b'"broken"'), task(2))
    answers = host.answers(2)
    failed = answers[1]
    assert (failed.verdict, failed.text) == (Verdict.FAILED, "ValueError: broken")
    assert [line.partition(" ")[2] for line in failed.trace.splitlines()] == [
        "fail",
        "fail.<locals>.deeper",
    ]
    assert failed.trace.startswith("myapp.py:")
    assert answers[2].verdict is Verdict.PASSED


def test_what_is_said_of_a_failure_is_bounded(host: HostProcess) -> None:
    host.give(call(1, "raise", b'"' + b"x" * 5_000 + b'"'), call(2, "deep"), call(3, "rude"))
    answers = host.answers(3)
    assert len(answers[1].text) == 300
    assert answers[2].text.startswith("RecursionError: ")
    assert len(answers[2].trace.splitlines()) <= 8
    assert answers[3].text == "Rude: its text cannot be had"


def test_the_failure_within_a_task_group_is_told(host: HostProcess) -> None:
    host.give(call(1, "group"))
    assert host.answers(1)[1].text == "ValueError: inside"


def test_behind_a_failure_its_line_waits_until_it_is_tried_again(host: HostProcess) -> None:
    broken = b'"broken"'
    host.give(call(1, "raise", broken, "l", 3), call(2, "open", broken, "l", 3))
    host.give(call(3, "open", broken, "l", 2), call(4, "open", broken, "other", 3))
    verdicts = {number: answer.verdict for number, answer in host.answers(4).items()}
    assert verdicts == {
        1: Verdict.FAILED,
        2: Verdict.UNSTARTED,
        3: Verdict.UNSTARTED,
        4: Verdict.REPLIED,
    }
    assert host.mark(2) is Mark.WAITING
    # What was given before the worker knew may still come when the line is empty.
    host.give(call(5, "open", broken, "l", 3))
    assert host.answers(1)[5].verdict is Verdict.UNSTARTED
    host.give(call(6, "open", broken, "l", 4), call(7, "open", broken, "l", 4))
    assert [answer.verdict for answer in host.answers(2).values()] == [Verdict.REPLIED] * 2


def test_a_handler_that_waits_too_long_fails_alone(host: HostProcess) -> None:
    host.give(task(1, name="slow:1"), call(2, "stubborn"), task(3))
    answers = host.answers(3)
    for number in (1, 2):
        assert (answers[number].verdict, answers[number].text) == (
            Verdict.FAILED,
            "took longer than 0.3 s",
        )
    assert "slow" in answers[1].trace
    assert answers[3].verdict is Verdict.PASSED
    assert {host.mark(number) for number in (1, 2, 3)} == {Mark.ENDED}


def test_a_handler_that_was_cancelled_leaves_nothing_of_it_to_the_next(host: HostProcess) -> None:
    host.give(call(1, "stubborn")).answers(1)
    assert host.give(call(2, "cancellations")).answers(1)[2].data == b"0"


def test_a_handler_that_cancels_itself_harms_nobody(host: HostProcess) -> None:
    host.give(*(call(number, "suicidal", line="l") for number in (1, 2)), task(3), task(4))
    answers = host.answers(4)
    assert {answers[number].verdict for number in (3, 4)} == {Verdict.PASSED}
    host.give(task(5))
    assert host.answers(1)[5].verdict is Verdict.PASSED


def test_a_system_exit_costs_its_own_entry(host: HostProcess) -> None:
    host.give(call(1, "system-exit"), task(2))
    answers = host.answers(2)
    assert answers[1].text == "SystemExit: bye"
    assert answers[2].verdict is Verdict.PASSED


@pytest.mark.parametrize("method", ["forks", "forks slowly"])
@pytest.mark.parametrize("way", [b'"exits"', b'"returns"'])
def test_a_process_that_a_handler_forks_does_not_serve_too(
    patient: HostProcess, method: str, way: bytes
) -> None:
    child = patient.give(call(1, method, way)).answers(1)[1].data
    assert patient.give(call(2, "reap", child)).answers(1)[2].data == b"70"
    assert patient.give(task(3)).answers(1)[3].verdict is Verdict.PASSED


def test_a_process_that_dies_leaves_the_mark_of_what_killed_it(host: HostProcess) -> None:
    host.give(task(1), call(2, "exit", b"7", line="l"), task(3, line="l"), task(4, line="m"))
    answers = host.answers(4)
    assert host.process.wait(PATIENCE_SECONDS) == 7
    assert set(answers) <= {1}
    assert [host.mark(number) for number in (1, 2, 3, 4)] == [
        Mark.ENDED,
        Mark.BEGUN,
        Mark.WAITING,
        Mark.WAITING,
    ]


def test_answers_too_large_for_one_frame_are_told_in_several(patient: HostProcess) -> None:
    count = 2 * FRAME_BYTES_AT_MOST // 1_000_000
    patient.give(*(call(number, "large", b"1000000") for number in range(1, count + 1)))
    answers = patient.answers(count)
    assert len(answers) == count
    assert all(len(answer.data) == 1_000_002 for answer in answers.values())


def test_an_interrupt_of_the_terminal_is_not_for_it(host: HostProcess) -> None:
    os.kill(host.process.pid, signal.SIGINT)
    host.give(task(1))
    assert host.answers(1)[1].verdict is Verdict.PASSED


def test_it_leaves_with_its_worker(host: HostProcess) -> None:
    assert host.leave() == 0


@pytest.mark.parametrize(
    "nonsense", [LENGTH.pack(3) + b"\xc1\xc1\xc1", LENGTH.pack(FRAME_BYTES_AT_MOST + 1)]
)
def test_nonsense_from_the_worker_ends_it(host: HostProcess, nonsense: bytes) -> None:
    host.end.sendall(nonsense)
    assert host.process.wait(PATIENCE_SECONDS) == 0


LIFE = """
from contextlib import asynccontextmanager
from pathlib import Path
from forebay import App, Publication
import asyncio

@asynccontextmanager
async def lifespan(app):
    yield
    Path("closed").write_text("yes")

app = App(lifespan=lifespan)

@app.publish("*")
async def waits(event: Publication) -> None:
    await asyncio.sleep(0.2)
    Path(event.channel).write_text("ended")
"""


def test_without_a_worker_it_ends_what_it_has_begun_and_its_lifespan(tmp_path: Path) -> None:
    with serving(tmp_path, LIFE) as host:
        host.give(task(1, name="a", line="l"), task(2, name="b", line="l"))
        while host.mark(1) is Mark.WAITING:
            assert host.process.poll() is None
        assert host.leave() == 0
    assert (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
    assert (tmp_path / "closed").exists()


def test_a_worker_that_does_not_listen_is_given_no_more_than_it_takes(
    patient: HostProcess,
) -> None:
    def large(number: int) -> Task:
        return call(number, "large", b"1000000", line=f"l{number % 70}")

    patient.give(*map(large, range(1, 101)))
    while patient.mark(3) is not Mark.ENDED:
        assert patient.process.poll() is None
    patient.give(*map(large, range(101, 111)))
    assert patient.mark(100) is Mark.WAITING
    assert len(patient.answers(110)) == 110


def test_one_told_to_go_finishes_all_that_it_was_given(tmp_path: Path) -> None:
    with serving(tmp_path, LIFE) as host:
        host.give(task(1, name="a", line="l"), task(2, name="b", line="l"))
        while host.mark(1) is Mark.WAITING:
            assert host.process.poll() is None
        host.told_to_go()
        assert set(host.answers(2)) == {1, 2}
        assert host.process.wait(PATIENCE_SECONDS) == 0
    assert (tmp_path / "closed").exists()


@pytest.mark.parametrize(
    ("code", "target", "reason"),
    [
        (None, "myapp:app", "cannot import myapp: ModuleNotFoundError: No module named 'myapp'"),
        ("import missing", "myapp:app", "No module named 'missing' (myapp.py:1 <module>)"),
        ("def (", "myapp:app", "cannot import myapp: SyntaxError"),
        ("raise SystemExit(3)", "myapp:app", "cannot import myapp: SystemExit: 3"),
        ("", "myapp:app", "myapp has no app"),
        ("app = 7", "myapp:app", "myapp:app is a int, and has to be a forebay.App"),
        ("", "myapp", "write it as module:attribute"),
        (
            "from forebay import App\napp = App()\n@app.on_startup\ndef f() -> None: 1 / 0\n",
            "myapp:app",
            "the app cannot start: ZeroDivisionError: division by zero (myapp.py:4 f)",
        ),
        (
            "from forebay import App\napp = App()\n@app.publish('*')\ndef f() -> None: ...\n",
            "myapp:app",
            "f: its first parameter has to be the event",
        ),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    tmp_path: Path, code: str | None, target: str, reason: str
) -> None:
    said = why_not(tmp_path, code, target=target)
    assert reason in said
    assert "\n" not in said


OWN = """
import importlib.util
from forebay import App, Call
from services import shop
import broker.wires

app = App()

@app.rpc("*")
def names(call: Call) -> list[str]:
    return [shop.NAME, broker.wires.NAME]
"""


@pytest.mark.parametrize("initial", [["services/__init__.py", "broker/__init__.py"], []])
def test_a_team_may_have_packages_called_as_ours_are(tmp_path: Path, initial: list[str]) -> None:
    files = [("services/shop.py", "NAME = 'shop'"), ("broker/wires.py", "NAME = 'wires'")]
    files += [(name, "") for name in initial]
    with host_of(tmp_path, OWN, files=files) as host:
        assert isinstance(ready := host.hear(), Ready), ready
        assert host.give(call(1, "names")).answers(1)[1].data == b'["shop","wires"]'


def test_ours_are_not_there_for_a_team(tmp_path: Path) -> None:
    assert "No module named 'services'" in why_not(tmp_path, "import services.config")
