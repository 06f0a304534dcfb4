"""The connect and subscribe handlers of the team's app: asked of a worker that has it.

    a session ──▶ question ─(bus)─▶ a worker with an app ─▶ its handler ─(bus)─▶ answer ──▶ session

Rules
- Questions of one turn of the loop to the same worker travel in one message. No question has a
  task or a timer of its own: one loop looks after all of them.
- Workers are asked in turn. When one is gone, or overdue, or says that it cannot ask its app,
  another is, each once, within the time that there is.
- Nothing that is asked is asked twice of a worker, and no answer counts twice.
- So many questions are under way in a process; beyond it nothing more is asked.

Not here: what is asked and what its answer changes (`admission`), handlers (`services.worker`).
"""

import asyncio
from collections.abc import Awaitable
from typing import Final

from broker.clock import Clock
from services.front.bus_messages import divide
from services.front.measures import Measures
from services.front.neighbours import Neighbours
from services.hook_messages import (
    Answered,
    Asked,
    Hook,
    HookAnswers,
    HookQuestions,
    Said,
)
from services.sparing import Sparing

UNDER_WAY_AT_MOST: Final = 20_000
"""Each costs some 2 KB, and what the client sent."""

# How late it is noticed that a worker is gone, or that time is over.
_LOOK_SECONDS: Final = 0.25

_AROUND_BYTES: Final = 100
"""What stands around a question in a message, at most; its bytes are told in base64."""


class _Question:
    """A question on its way, and whom it was asked of."""

    __slots__ = ("answer", "asked", "asked_seconds", "tried", "worker")

    def __init__(self, asked: Asked, asked_seconds: float) -> None:
        self.asked = asked
        self.asked_seconds = asked_seconds
        self.answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self.worker = ""
        """The one whose answer is waited for; empty if there is none yet."""
        self.tried: set[str] = set()

    def end(self, answered: Answered) -> None:
        if not self.answer.done():
            self.answer.set_result(answered)


class Hooks:
    """Asks workers, for this process's sessions."""

    def __init__(
        self, neighbours: Neighbours, measures: Measures, timeout_seconds: float, *, clock: Clock
    ) -> None:
        self._neighbours = neighbours
        self._measures = measures
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._under_way: dict[int, _Question] = {}
        """By number, and so in the order of asking."""
        self._gathering: dict[str, list[_Question]] = {}
        self._workers: list[str] = []
        """Who can be asked, as of when the gathering began."""
        self._overdue: set[str] = set()
        """Whom of them to ask after all others."""
        self._has_asked = asyncio.Event()
        self.silence: Final = Sparing()
        """For the log: while the app is away, each client that comes hears no answer."""
        self._numbers = 0
        self._turns = 0
        neighbours.register(HookAnswers, self._hear)

    def __len__(self) -> int:
        return len(self._under_way)

    def ask(
        self, hook: Hook, client: str, channel: str, sender: bytes, data: bytes
    ) -> Awaitable[Answered]:
        """Have a handler asked; the answer comes within the time that there is, whatever it is.

        Cancelling the waiting loses the answer.
        """
        self._numbers += 1
        asked = Asked(self._numbers, hook, client, channel, sender, data)
        question = _Question(asked, self._clock.monotonic())
        if len(self._under_way) >= UNDER_WAY_AT_MOST:
            self._end(question, Said.BUSY)
            return question.answer
        self._under_way[asked.number] = question
        self._has_asked.set()
        self._pass_on(question, Said.UNANSWERED)
        return question.answer

    async def run(self) -> None:
        """Let nobody wait for too long, or for a worker that is gone, until cancelled.

        Cancelling: who waits, waits for ever.
        """
        while True:
            await self._has_asked.wait()
            while self._under_way:
                self._look()
                await self._clock.sleep(_LOOK_SECONDS)
            self._has_asked.clear()

    def _look(self) -> None:
        earliest_seconds = self._clock.monotonic() - self._timeout_seconds
        live = self._neighbours.with_app()
        prompt = live - self._neighbours.overdue()
        for number, question in list(self._under_way.items()):
            if question.answer.done():
                # Who waited for it was cancelled.
                del self._under_way[number]
            elif question.asked_seconds <= earliest_seconds:
                self._end(question, Said.UNANSWERED)
            # A killed one is not known to be gone before nobody waits for its answer any more.
            elif question.worker not in live or (
                question.worker not in prompt and prompt - question.tried
            ):
                self._pass_on(question, Said.UNANSWERED)

    def _pass_on(self, question: _Question, otherwise: Said) -> None:
        """Ask the next worker; if there is none, that is the answer."""
        if not self._gathering:
            self._look_who_is_there()
        untried = [worker for worker in self._workers if worker not in question.tried]
        workers = [worker for worker in untried if worker not in self._overdue] or untried
        if workers:
            self._turns += 1
            question.worker = workers[self._turns % len(workers)]
            question.tried.add(question.worker)
            self._gather(question)
        elif self._neighbours.is_settled:
            self._end(question, otherwise)
        else:
            # Who has just started does not know all of them yet.
            question.worker = ""

    def _look_who_is_there(self) -> None:
        self._workers = sorted(self._neighbours.with_app())
        self._overdue = self._neighbours.overdue()

    def _gather(self, question: _Question) -> None:
        if not self._gathering:
            asyncio.get_running_loop().call_soon(self._send)
        self._gathering.setdefault(question.worker, []).append(question)

    def _send(self) -> None:
        gathered, self._gathering = self._gathering, {}
        for worker, questions in gathered.items():
            for message in divide(questions, _size_bytes):
                self._send_to(worker, message)

    def _send_to(self, worker: str, questions: list[_Question]) -> None:
        asked = [question.asked for question in questions]
        message = HookQuestions(self._neighbours.id, self._timeout_seconds, asked)
        if not self._neighbours.send(worker, message):
            for question in questions:
                self._end(question, Said.BUSY)

    def _hear(self, message: HookAnswers) -> None:
        for answered in message.answers:
            question = self._under_way.get(answered.number)
            if question is None or question.worker != message.sender:
                continue
            if answered.said in (Said.BUSY, Said.ABSENT):
                self._pass_on(question, answered.said)
            else:
                self._finish(question, answered)

    def _end(self, question: _Question, said: Said) -> None:
        self._finish(question, Answered(question.asked.number, said))

    def _finish(self, question: _Question, answered: Answered) -> None:
        self._under_way.pop(question.asked.number, None)
        self._measures.hooks.add(answered.said.value)
        seconds = self._clock.monotonic() - question.asked_seconds
        self._measures.hook_seconds.observe(seconds)
        question.end(answered)


def _size_bytes(question: _Question) -> int:
    asked = question.asked
    told = len(asked.sender) + len(asked.data)
    return 4 * told // 3 + len(asked.channel.encode()) + _AROUND_BYTES
