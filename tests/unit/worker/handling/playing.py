"""Lines, and a process that is played: whatever it does, in whatever order."""

from collections.abc import Callable
from typing import Any

from forebay.link import TASKS_AT_MOST, Answer, Answers, Mark, Task, Verdict
from services.worker.counting import WorkerCounters
from services.worker.handling.asked import Asked
from services.worker.handling.interface import Handled, Kind, Question
from services.worker.handling.lines import Lines

START_SECONDS = 1_000.0
LONG_SECONDS = 10.0
"""Longer than any pause between tries."""
DIED = "the app process died (exit code 7)"


Step = tuple[Any, ...]
"""A method of `World` and its arguments."""


class Playing:
    """Lines, and the process that they are given to."""

    def __init__(self) -> None:
        self.lines = Lines(WorkerCounters(), lambda: 1.0)
        self.marks = bytearray(TASKS_AT_MOST)
        self.now_seconds = START_SECONDS
        self.heard: list[tuple[str, Handled]] = []
        self.given: list[Task] = []

    def ask(self, key: str, line: str = "a", owner: object = None) -> None:
        question = Question(Kind.PUBLISH, line, line, b"null", b"{}", key)
        self.lines.ask(owner, question, self.hear(key))

    def ask_once(self, key: str, line: str) -> Asked:
        return self.lines.ask_once(
            Question(Kind.SUBSCRIBE, line, line, b"null", b"{}", key), self.hear(key)
        )

    def hear(self, key: str) -> Callable[[Handled], None]:
        return lambda handled: self.heard.append((key, handled))

    def give(self) -> list[str]:
        """Give all there is; their keys."""
        given: list[Task] = []
        while tasks := self.lines.give(self.now_seconds, self.marks):
            given += tasks
        self.given += given
        return [task.key for task in given]

    def task(self, key: str) -> Task:
        """The one that is under way."""
        return next(task for task in reversed(self.given) if task.key == key)

    def answer(self, *answers: tuple[str, Verdict]) -> None:
        passed = [self.task(key).number for key, verdict in answers if verdict is Verdict.PASSED]
        others = [
            Answer(self.task(key).number, verdict, text=f"{key} failed", trace="app.py:1 f")
            for key, verdict in answers
            if verdict is not Verdict.PASSED
        ]
        self.lines.hear(Answers(passed, others), self.now_seconds)

    def begin(self, *keys: str) -> None:
        for key in keys:
            self.marks[self.task(key).place] = Mark.BEGUN

    def end(self, *keys: str) -> None:
        for key in keys:
            self.marks[self.task(key).place] = Mark.ENDED

    def die(self) -> None:
        self.lines.end(self.marks, DIED, self.now_seconds)

    def wait(self, seconds: float = LONG_SECONDS) -> None:
        self.now_seconds += seconds

    @property
    def verdicts(self) -> list[tuple[str, Verdict]]:
        return [(key, handled.verdict) for key, handled in self.heard]


class World:
    """A process as the rules of `forebay.link` have it, that fails and dies as it is told."""

    def __init__(self, poison: set[int], deadly: set[int], late: set[int]) -> None:
        """Some raise, some kill it, and some do so after they have ended."""
        self.playing = Playing()
        self.poison = poison
        self.deadly = deadly
        self.late = late
        self.asked: dict[str, str] = {}
        self.owners: dict[str, int] = {}
        self.hooks: dict[str, Asked] = {}
        self.abandoned: set[str] = set()
        self.waiting: dict[str, list[Task]] = {}
        self.failed: dict[str, int] = {}
        self.begun: dict[str, Task] = {}
        self.said: list[Answer] = []
        self.is_dying = False

    def ask(self, line: int, owner: int) -> None:
        key = str(len(self.asked))
        self.asked[key] = str(line)
        self.owners[key] = owner
        self.playing.ask(key, line=str(line), owner=owner)

    def hook(self, line: int) -> None:
        key = str(len(self.asked))
        self.asked[key] = str(line)
        self.hooks[key] = self.playing.ask_once(key, line=str(line))

    def forget(self, number: int) -> None:
        """Have one who asked a hook wait no longer."""
        heard = {key for key, _ in self.playing.heard}
        for key in list(self.hooks)[number : number + 1]:
            self.playing.lines.forget(self.hooks[key])
            self.abandoned |= {key} - heard

    def abandon(self, owner: int) -> None:
        heard = {key for key, _ in self.playing.heard}
        self.abandoned |= {
            key for key, whose in self.owners.items() if whose == owner and key not in heard
        }
        self.playing.lines.abandon(owner)

    def give(self) -> None:
        before = len(self.playing.given)
        self.playing.give()
        for task in self.playing.given[before:]:
            self.waiting.setdefault(task.line, []).append(task)

    def begin(self) -> None:
        """Call the handler of each line's first."""
        for line, tasks in self.waiting.items():
            while tasks and line not in self.begun:
                if tasks[0].generation <= self.failed.get(line, -1):
                    task = tasks.pop(0)
                    self.said.append(Answer(task.number, Verdict.UNSTARTED))
                    continue
                self.begun[line] = task = tasks.pop(0)
                self.playing.marks[task.place] = Mark.BEGUN
                if int(task.key) in self.deadly or self.is_dying:
                    self.die()
                    return

    def end(self, number: int) -> None:
        """Have the handler that a line is at come to its end."""
        line = str(number)
        task = self.begun.pop(line, None)
        if task is None:
            return
        self.playing.marks[task.place] = Mark.ENDED
        self.is_dying |= int(task.key) in self.late
        if int(task.key) in self.poison:
            self.failed[line] = task.generation
            self.said.append(Answer(task.number, Verdict.FAILED, text="poison"))
        else:
            self.said.append(Answer(task.number, Verdict.PASSED))

    def answer(self) -> None:
        """Have what it said reach the worker, if it lives to say it."""
        if self.is_dying:
            self.die()
        passed = [each.number for each in self.said if each.verdict is Verdict.PASSED]
        others = [each for each in self.said if each.verdict is not Verdict.PASSED]
        self.said.clear()
        self.playing.lines.hear(Answers(passed, others), self.playing.now_seconds)

    def wait(self) -> None:
        self.playing.wait(0.4)

    def die(self) -> None:
        self.playing.die()
        self.waiting.clear()
        self.failed.clear()
        self.begun.clear()
        self.said.clear()
        self.is_dying = False

    def run_out(self) -> None:
        """Go on until nothing is left."""
        for _ in range(20 * len(self.asked) + 20):
            self.playing.wait(2.0)
            self.give()
            self.begin()
            for line in list(self.begun):
                self.end(int(line))
            self.answer()
        assert self.playing.lines.pending == 0

    def step(self, step: Step) -> None:
        """Do one thing."""
        name, *arguments = step
        getattr(self, name)(*arguments)
