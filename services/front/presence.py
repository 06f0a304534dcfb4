"""Who is in a channel, on all fronts together.

Presence is asked of all live fronts over the bus and answered from their own sessions: there is no
state that could expire. A killed front's clients are gone with its entry in the registry.

Rules
- This front's own sessions always count as they are now. Of the others there is one question in
  flight a subject, shared by all who ask, and reused for `REUSE_SECONDS` after it was asked.
- Joins and leaves that are heard meanwhile are put into it: who is pushed a join is not told
  afterwards, by an older answer, that the client is not there.
- What is asked in one turn of the loop travels in one message.
- Nobody waits for longer than `ANSWER_SECONDS`: a live front that is silent until then fails the
  question. Half an answer is none.
- What others answered is bounded in all; beyond it nothing more is asked.

Not here: putting answers together (`presence_question`), what fronts answer
(`presence_answers`), commands and permissions (`attending`).
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from broker.clock import Clock
from services.front.bus_messages import (
    Movement,
    PresenceAnswer,
    PresenceQuestion,
    Subject,
    Topic,
)
from services.front.hub import Hub
from services.front.measures import Measures
from services.front.neighbours import Neighbours
from services.front.presence_answers import Entries, PresenceAnswers, list_entries
from services.front.presence_question import Question

ANSWER_SECONDS: Final = 0.5

# A subscribe shows everywhere within 200 ms: so long, and a question's trip. Exact in binary.
REUSE_SECONDS: Final = 0.125

# A name is at most 255 bytes: some 140 KB.
SUBJECTS_A_QUESTION: Final = 500

# Of all subjects, while they are in flight or may be reused. Beyond it nothing more is asked.
ALL_BYTES_AT_MOST: Final = 32 * 1024 * 1024


class Unanswered(Exception):
    """A front that lives was silent, or could not be asked."""


class TooMany(Exception):
    """More are in the channel than is told of."""


class TooBusy(Exception):
    """Too much is being asked now."""


class Tally(msgspec.Struct, frozen=True):
    """How many are in a channel."""

    clients: int
    users: int


class Presence:
    """Answers who is in a channel, for this process's sessions."""

    def __init__(
        self, hub: Hub, neighbours: Neighbours, measures: Measures, *, clock: Clock
    ) -> None:
        self._hub = hub
        self._answers = PresenceAnswers(hub, neighbours)
        self._neighbours = neighbours
        self._measures = measures
        self._clock = clock
        self._latest: dict[Subject, Question] = {}
        """Which question, in flight or fresh, has what is known of a subject."""
        self._asked: dict[int, Question] = {}
        """By number, from sending to forgetting: for `ANSWER_SECONDS`."""
        self._forgetting: deque[Question] = deque()
        self._has_asked = asyncio.Event()
        self._gathering: Question | None = None
        self._numbers = 0
        self.held_bytes = 0
        """Of others' answers."""
        neighbours.register(PresenceAnswer, self._hear_answer)

    async def clients(self, channel: str) -> Entries:
        """Give each client's ClientInfo, by client id.

        Raises:
            Unanswered, TooMany, TooBusy: that is not known now.

        Cancelling: loses nothing.
        """
        subject = Subject(Topic.CLIENTS, channel)
        question = await self._answered(subject)
        found = question.clients(subject) if question is not None else {}
        found.update(self._here(subject))
        return found

    async def tally(self, channel: str) -> Tally:
        """Count clients and users.

        Raises:
            Unanswered, TooMany, TooBusy: that is not known now.

        Cancelling: loses nothing.
        """
        subject = Subject(Topic.USERS, channel)
        question = await self._answered(subject)
        others = question.answers[subject] if question is not None else []
        parts = [*others, self._here(subject)]
        users = set().union(*parts)
        return Tally(sum(int(bytes(n)) for part in parts for n in part.values()), len(users))

    def amend(self, movements: Iterable[Movement]) -> None:
        """Take note of who came and left on other fronts."""
        for movement in movements:
            subject = Subject(Topic.CLIENTS, movement.channel)
            question = self._latest.get(subject)
            if question is not None:
                self.held_bytes += question.amend(subject, movement)

    async def run(self) -> None:
        """Answer the others, and let nobody here wait for too long, until cancelled.

        Cancelling: who waits, waits for ever.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._answers.run())
            tasks.create_task(self._forget_old())

    async def _forget_old(self) -> None:
        while True:
            await self._has_asked.wait()
            while self._forgetting:
                oldest = self._forgetting[0]
                left = oldest.asked_seconds + ANSWER_SECONDS - self._clock.monotonic()
                if left > 0:
                    await self._clock.sleep(left)
                    continue
                self._forget(self._forgetting.popleft())
            self._has_asked.clear()

    def _here(self, subject: Subject) -> Entries:
        entries, is_cut = list_entries(self._hub, subject)
        if is_cut:
            raise TooMany
        return entries

    async def _answered(self, subject: Subject) -> Question | None:
        """What the others know; None if there are no others."""
        if self._neighbours.is_settled and not self._neighbours.fronts():
            return None
        question = self._latest.get(subject)
        if question is None or not self._is_current(question):
            question = self._ask(subject)
        await question.is_over.wait()
        if question.is_failed:
            raise Unanswered
        if subject in question.cut:
            raise TooMany
        return question

    def _is_current(self, question: Question) -> bool:
        if not question.is_over.is_set():
            return True
        age_seconds = self._clock.monotonic() - question.asked_seconds
        return not question.is_failed and age_seconds < REUSE_SECONDS

    def _ask(self, subject: Subject) -> Question:
        if self.held_bytes > ALL_BYTES_AT_MOST:
            raise TooBusy
        question = self._gathering
        if question is None:
            self._numbers += 1
            question = self._gathering = Question(self._numbers, self._clock.monotonic())
            asyncio.get_running_loop().call_soon(self._send, question)
        question.answers[subject] = []
        self._latest[subject] = question
        if len(question.answers) >= SUBJECTS_A_QUESTION:
            self._gathering = None
        return question

    def _send(self, question: Question) -> None:
        if self._gathering is question:
            self._gathering = None
        self._measures.presence_questions.value += 1
        self._asked[question.number] = question
        self._forgetting.append(question)
        self._has_asked.set()
        question.awaited = self._neighbours.fronts()
        message = PresenceQuestion(self._neighbours.id, question.number, list(question.answers))
        if not self._neighbours.broadcast(message):
            question.end(is_failed=True)

    def _hear_answer(self, answer: PresenceAnswer) -> None:
        question = self._asked.get(answer.number)
        if question is None or question.is_over.is_set():
            return
        self.held_bytes += question.take(answer)
        # Who has just started waits for those too whom it does not know yet.
        if not question.awaited and self._neighbours.is_settled:
            question.end(is_failed=False)

    def _forget(self, question: Question) -> None:
        del self._asked[question.number]
        self.held_bytes -= question.size_bytes.total()
        for subject in question.answers:
            if self._latest.get(subject) is question:
                del self._latest[subject]
        if not question.is_over.is_set():
            # Who has left meanwhile is not missed.
            silent = question.awaited & self._neighbours.fronts()
            self._measures.presence_unanswered.value += bool(silent)
            question.end(is_failed=bool(silent))
