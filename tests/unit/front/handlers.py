"""The team's handlers as a front's tests have them: functions that a worker asks."""

import asyncio
from collections.abc import Callable, Mapping

from services.worker.handling.interface import Handled, Kind, Question, Verdict

Handler = Callable[[Question], Handled | None]


class Handlers:
    """See `Handling`; each is asked in the next turn of the loop."""

    def __init__(self, handlers: Mapping[Kind, Handler]) -> None:
        self.handlers = dict(handlers)
        self.asked: list[Question] = []
        self.gate = asyncio.Event()
        """While it is not set, connects and subscribes wait for their answer."""
        self.gate.set()

    def handles(self, kind: Kind, name: str) -> bool:
        return kind in self.handlers

    def ask(self, owner: object, question: Question, hear: Callable[[Handled], None]) -> None:
        asyncio.get_running_loop().call_soon(self._ask, question, hear)

    def abandon(self, owner: object) -> None:
        """Nothing waits here for longer than a turn."""

    async def ask_at_once(self, question: Question, timeout_seconds: float) -> Handled | None:
        self.asked.append(question)
        await self.gate.wait()
        return self.handlers[question.kind](question)

    def _ask(self, question: Question, hear: Callable[[Handled], None]) -> None:
        self.asked.append(question)
        handled = self.handlers[question.kind](question)
        assert handled is not None
        hear(handled)


def passes(question: Question) -> Handled:
    """It has nothing to say."""
    return Handled(Verdict.PASSED)


def echoes(question: Question) -> Handled:
    """It gives back what it was given."""
    return Handled(Verdict.REPLIED, question.data)


def refuses(code: int, text: str) -> Handler:
    """It says no."""
    return lambda question: Handled(Verdict.REFUSED, code=code, text=text)
