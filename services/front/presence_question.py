"""One question about presence on its way, and what comes back of it.

Rules
- A front's answer counts when its last part is here and none is missing.
- Movements stand above the answers, whichever comes first: the one who sent them knew best.
- What is kept of a subject is bounded; one that has more is cut, and nothing is kept of it.

Not here: who is asked, for how long it is waited, who shares it (`presence`).
"""

import asyncio
from collections import Counter
from typing import Final

import msgspec

from services.front.bus_messages import Movement, PresenceAnswer, Subject
from services.front.presence_answers import Entries

# What the others listed of one subject: 2,000 to 10,000 clients, by how much is known of each.
SUBJECT_BYTES_AT_MOST: Final = 1024 * 1024


class Question:
    """What was asked in one turn of the loop, and what came back."""

    def __init__(self, number: int, asked_seconds: float) -> None:
        self.number = number
        self.asked_seconds = asked_seconds
        self.answers: dict[Subject, list[Entries]] = {}
        self.amendments: dict[Subject, dict[str, msgspec.Raw | None]] = {}
        """What changed in the meantime; it stands above the answers, whichever comes first."""
        self.size_bytes: Counter[Subject] = Counter()
        self.cut: set[Subject] = set()
        """What has more than is told of."""
        self.awaited: set[str] = set()
        self.is_over = asyncio.Event()
        self.is_failed = False
        self._next_part: Counter[str] = Counter()

    def take(self, answer: PresenceAnswer) -> int:
        """Add a part of an answer, in order; give how many bytes more there are."""
        if answer.part != self._next_part[answer.sender]:
            return 0  # one was lost: this front has not answered
        self._next_part[answer.sender] += 1
        more_bytes = 0
        for subject, entries, is_cut in map(msgspec.structs.astuple, answer.listings):
            more_bytes += self._add(subject, entries, is_cut=is_cut)
        if answer.is_last:
            self.awaited.discard(answer.sender)
        return more_bytes

    def _add(self, subject: Subject, entries: Entries, *, is_cut: bool) -> int:
        found = self.answers.get(subject)
        if found is None or subject in self.cut:
            return 0
        more_bytes = sum(map(len, entries)) + sum(map(len, entries.values()))
        if is_cut or self.size_bytes[subject] + more_bytes > SUBJECT_BYTES_AT_MOST:
            return self._cut(subject)
        found.append(entries)
        self.size_bytes[subject] += more_bytes
        return more_bytes

    def amend(self, subject: Subject, movement: Movement) -> int:
        """Note that somebody came or left; give how many bytes more there are."""
        if subject in self.cut:
            return 0
        more_bytes = len(movement.client) + len(movement.info)
        if self.size_bytes[subject] + more_bytes > SUBJECT_BYTES_AT_MOST:
            return self._cut(subject)
        changed = self.amendments.setdefault(subject, {})
        changed[movement.client] = movement.info if movement.is_join else None
        self.size_bytes[subject] += more_bytes
        return more_bytes

    def clients(self, subject: Subject) -> Entries:
        """What is known in the end."""
        found: Entries = {}
        for entries in self.answers[subject]:
            found.update(entries)
        for client, info in self.amendments.get(subject, {}).items():
            if info is None:
                found.pop(client, None)
            else:
                found[client] = info
        return found

    def _cut(self, subject: Subject) -> int:
        self.cut.add(subject)
        self.answers[subject].clear()
        self.amendments.pop(subject, None)
        return -self.size_bytes.pop(subject, 0)

    def end(self, *, is_failed: bool) -> None:
        """Let whoever waits go on."""
        self.is_failed = is_failed
        self.is_over.set()
