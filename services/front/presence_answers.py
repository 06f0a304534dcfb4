"""What this front knows about who is in a channel, and how it tells the other fronts.

Rules
- Every question is answered, also when nobody is here: silence means that a front is in trouble.
- A subject is listed whole or cut, never in part; it is looked at in one step, and large answers
  leave in parts, one a turn of the loop.
- Questions wait in a bounded queue; one too many is not answered.

Not here: what is asked of others (`presence`).
"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from services.front.bus_messages import (
    Listing,
    PresenceAnswer,
    PresenceQuestion,
    Subject,
    Topic,
)
from services.front.hub import Hub, Subscription
from services.front.neighbours import Neighbours

Entries = dict[str, msgspec.Raw]

# What a front lists of one subject: some 5,000 clients with nothing known but their ids.
LISTED_BYTES_AT_MOST: Final = 512 * 1024

# Small enough that other messages find room beside it, in the bus's queues too.
PART_BYTES: Final = 64 * 1024

# Each other front has one question a turn of its loop; more than these wait only when we are stuck.
QUESTIONS_AT_MOST: Final = 1_000


def list_entries(hub: Hub, subject: Subject) -> tuple[Entries, bool]:
    """Tell what is known here about a subject; True beside it if it is more than may be listed."""
    members = [m for m in hub.members(subject.channel) if m.override.get("presence", True)]
    entries: Entries = {}
    size_bytes = 0
    for key, value in _clients(members) if subject.topic is Topic.CLIENTS else _users(members):
        size_bytes += len(key) + len(value)
        if size_bytes > LISTED_BYTES_AT_MOST:
            return {}, True
        entries[key] = msgspec.Raw(value)
    return entries, False


def _clients(members: Iterable[Subscription]) -> Iterator[tuple[str, bytes]]:
    for member in members:
        yield member.session.id, member.session.info(member.chan_info)


def _users(members: Iterable[Subscription]) -> Iterator[tuple[str, bytes]]:
    for user, clients in Counter(member.session.user for member in members).items():
        yield user, b"%d" % clients


class PresenceAnswers:
    """Answers the other fronts."""

    def __init__(self, hub: Hub, neighbours: Neighbours) -> None:
        self._hub = hub
        self._neighbours = neighbours
        self._questions: deque[PresenceQuestion] = deque()
        self._has_questions = asyncio.Event()
        neighbours.register(PresenceQuestion, self._hear)

    async def run(self) -> None:
        """Answer until cancelled. Cancelling: what was asked is not answered."""
        while True:
            await self._has_questions.wait()
            while self._questions:
                await self._answer(self._questions.popleft())
            self._has_questions.clear()

    def _hear(self, question: PresenceQuestion) -> None:
        if question.sender != self._neighbours.id and len(self._questions) < QUESTIONS_AT_MOST:
            self._questions.append(question)
            self._has_questions.set()

    async def _answer(self, question: PresenceQuestion) -> None:
        number_of_parts = 0
        waiting: list[Listing] = []
        waiting_bytes = 0
        for subject in question.subjects:
            for listing, size_bytes in self._listings(subject):
                waiting.append(listing)
                waiting_bytes += size_bytes
                if waiting_bytes >= PART_BYTES:
                    self._send(question, number_of_parts, waiting, is_last=False)
                    number_of_parts, waiting, waiting_bytes = number_of_parts + 1, [], 0
                    await asyncio.sleep(0)
        self._send(question, number_of_parts, waiting, is_last=True)

    def _listings(self, subject: Subject) -> Iterator[tuple[Listing, int]]:
        entries, is_cut = list_entries(self._hub, subject)
        if is_cut:
            yield Listing(subject, {}, is_cut=True), 0
        some: Entries = {}
        size_bytes = 0
        for key, value in entries.items():
            some[key] = value
            size_bytes += len(key) + len(value)
            if size_bytes >= PART_BYTES:
                yield Listing(subject, some), size_bytes
                some, size_bytes = {}, 0
        if some:
            yield Listing(subject, some), size_bytes

    def _send(
        self, question: PresenceQuestion, part: int, listings: list[Listing], *, is_last: bool
    ) -> None:
        answer = PresenceAnswer(
            self._neighbours.id, question.number, part, is_last=is_last, listings=listings
        )
        # Without room for it the asker gets no answer, and says so.
        self._neighbours.send(question.sender, answer)
