"""Handlers that do what a test says, when it says so: another implementation of `Handling`."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from services.worker.handling.interface import Handled, Kind, Question, Verdict

Handler = Callable[[Question], Handled]

PASS = Handled(Verdict.PASSED)


class _Asked(NamedTuple):
    owner: object
    question: Question
    hear: Callable[[Handled], None]


class ScriptedHandling:
    """Answers when it is told to, each line in the order of asking."""

    def __init__(self, handlers: Mapping[Kind, Handler]) -> None:
        self._handlers = dict(handlers)
        self._waiting: dict[str, deque[_Asked]] = {}
        self.asked: list[Question] = []
        self.held_lines: set[str] = set()
        """Lines that are not answered before they are let go."""

    def handles(self, kind: Kind, name: str) -> bool:
        return kind in self._handlers

    def ask(self, owner: object, question: Question, hear: Callable[[Handled], None]) -> None:
        self.asked.append(question)
        self._waiting.setdefault(question.line, deque()).append(_Asked(owner, question, hear))

    def abandon(self, owner: object) -> None:
        for line, waiting in self._waiting.items():
            self._waiting[line] = deque(each for each in waiting if each.owner is not owner)

    async def ask_at_once(self, question: Question, timeout_seconds: float) -> Handled | None:
        return self._handlers[question.kind](question)

    @property
    def lines(self) -> list[str]:
        """Those in which something waits for its answer."""
        return [line for line, waiting in self._waiting.items() if waiting]

    def answer_first(self, line: str, handled: Handled) -> str:
        """Answer what was asked first in a line, and tell its key."""
        _, question, hear = self._waiting[line].popleft()
        hear(handled)
        return question.key

    def answer(self) -> None:
        """Answer what is asked in lines that are not held."""
        for line, waiting in self._waiting.items():
            while waiting and line not in self.held_lines:
                _, question, hear = waiting.popleft()
                hear(self._handlers[question.kind](question))
