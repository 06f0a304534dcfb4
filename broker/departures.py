"""Entries on their way out of a process, a partition each: waiting, under way, or confirmed.

    waiting ──▶ in a batch under way (one a partition) ──▶ confirmed, without an outcome ──▶ overdue

Not here: when a batch is made and what is done about one that is lost (`producer`).
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from broker.batch import Entry
from broker.overdue import Overdue
from broker.partition import Partition
from broker.record import Outcome

# A batch holds up its partition until it is confirmed, and a worker decodes it in one go: 1,000
# entries are some milliseconds of either. Beyond that throughput is flat.
BATCH_ENTRIES_AT_MOST = 1_000
BATCH_BYTES_AT_MOST = 512 * 1024

_ENTRY_OVERHEAD_BYTES = 100


class Waiter(Protocol):
    """Who wants to know what becomes of an entry. Each call comes at most once."""

    def confirmed(self) -> None:
        """The broker has the entry safe; its outcome is still to come."""

    def settled(self, outcome: Outcome) -> None:
        """The outcome was read from the log. Nothing comes after it."""

    def refused(self) -> None:
        """The entry was certainly not taken. Nothing comes after it."""

    def given_up(self) -> None:
        """It took too long; whether the entry was taken is unknown. Nothing comes after it."""


class Waiting:
    """An entry, and who wants to know what becomes of it."""

    __slots__ = ("entry", "is_patient", "offered_seconds", "waiter")

    def __init__(
        self, entry: Entry, waiter: Waiter, offered_seconds: float, *, is_patient: bool
    ) -> None:
        self.entry = entry
        self.waiter: Waiter | None = waiter
        self.offered_seconds = offered_seconds
        self.is_patient = is_patient

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        entry = self.entry
        contents = len(entry.payload) + len(memoryview(entry.sender)) + len(entry.channel)
        return contents + _ENTRY_OVERHEAD_BYTES


class Flight:
    """A batch under way or confirmed, until all its entries have their outcome."""

    __slots__ = (
        "answered",
        "is_counted",
        "is_given_up",
        "members",
        "number",
        "submitted_seconds",
    )

    def __init__(self, number: int, members: list[Waiting], now: float) -> None:
        self.number = number
        self.members = members
        self.submitted_seconds = now
        self.is_counted = True
        self.is_given_up = False
        self.answered = 0


class Departures:
    """One partition's entries."""

    __slots__ = (
        "flight",
        "number",
        "overdue",
        "partition",
        "refused_seconds",
        "unsettled",
        "waiting",
        "waiting_bytes",
    )

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.number = 0
        self.waiting: deque[Waiting] = deque()
        self.waiting_bytes = 0
        self.refused_seconds: float | None = None
        self.flight: Flight | None = None
        self.unsettled: dict[int, Flight] = {}
        self.overdue = Overdue[Waiter]()

    @property
    def unsettled_entries(self) -> int:
        """How many entries were submitted and have no outcome."""
        awaited = sum(len(each.members) - each.answered for each in self.unsettled.values())
        return awaited + self.overdue.entries

    @property
    def first_unsettled_seconds(self) -> float | None:
        """When the first entry was offered that is submitted and may still be answered in time."""
        for flight in self.unsettled.values():
            return flight.members[0].offered_seconds
        return None

    def load(self) -> list[Waiting]:
        """Take what goes into the next batch."""
        members: list[Waiting] = []
        size_bytes = 0
        while self.waiting and len(members) < BATCH_ENTRIES_AT_MOST:
            size_bytes += self.waiting[0].size_bytes
            if members and size_bytes > BATCH_BYTES_AT_MOST:
                break
            members.append(self.waiting.popleft())
        self.waiting_bytes -= sum(member.size_bytes for member in members)
        return members


def confirm(members: Sequence[Waiting]) -> None:
    """Tell the waiters that the broker has their entries safe."""
    for member in members:
        if member.waiter is not None:
            member.waiter.confirmed()


def give_up(members: Sequence[Waiting], *, is_confirmed: bool) -> dict[int, Waiter]:
    """Tell the waiters that nobody knows; give those who go on waiting, by place."""
    patient: dict[int, Waiter] = {}
    for place, member in enumerate(members):
        if member.waiter is None:
            continue
        if is_confirmed and member.is_patient:
            patient[place] = member.waiter
            continue
        member.waiter.given_up()
        member.waiter = None
    return patient


def refuse(members: Sequence[Waiting]) -> None:
    """Tell the waiters that their entries were certainly not taken."""
    for member in members:
        if member.waiter is not None:
            member.waiter.refused()
            member.waiter = None
