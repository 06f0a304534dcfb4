"""Submits a process's entries to the inbound queues, in batches, each once and in order.

A producer has a random id and numbers its batches for a partition 1, 2, 3, … so that a worker
recognises one that comes twice. While a partition's batch is under way, entries gather for the
next: an idle producer submits one entry a batch and adds no delay, a busy one hundreds.

Rules:
- One batch in flight a partition: the next is numbered when the last is confirmed or refused.
- A batch whose confirm was lost with the connection is submitted again, same number, before any
  other, until the broker says yes or no. A refused one never is.
- Two in flight over all partitions, the longest-waiting first: more would only make the batches
  smaller, and a batch costs the broker the same whatever is in it. One that has been unconfirmed
  for `PATIENCE_SECONDS` stops counting, so that one slow queue does not hold up the others.
- What waits is bounded by bytes and by age, and refused beyond either.
- While the broker holds publishers back no batch is made: what has not left this process can be
  refused, and what has cannot.

Not here: what an entry means, and what a client is told (`services.front.publishing`).
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Protocol

from broker.batch import Entry, encode_batch
from broker.errors import BrokerUnavailable, NeverSubmitted, SubmitRefused
from broker.interface import Broker, Publishing
from broker.overdue import Overdue
from broker.partition import Partition
from broker.record import Outcome, Outcomes

IN_FLIGHT_AT_MOST = 2
PATIENCE_SECONDS = 0.05

# A batch holds up its partition until it is confirmed, and a worker decodes it in one go: 1,000
# entries are some milliseconds of either. Beyond that throughput is flat.
BATCH_ENTRIES_AT_MOST = 1_000
BATCH_BYTES_AT_MOST = 512 * 1024

WAITING_BYTES_AT_MOST = 8 * 1024 * 1024
"""Of entries that wait for their batch, a partition; beyond that they are refused."""
WAITING_SECONDS_AT_MOST = 0.75
"""Older ones are refused, so that a publisher hears within a second that the pool is shut."""
UNCONFIRMED_SECONDS = 0.5
"""A batch unconfirmed for so long means that the broker holds publishers back."""
FULL_SECONDS = 2.0
"""So long after it last refused a batch a pool is said to be full."""
ANSWER_SECONDS = 4.0
"""Entries without an outcome for so long are given up, unless a patient waiter has its answer
already; client SDKs wait 5 seconds."""

_SWEEP_SECONDS = 0.1
_TRIPS_AT_MOST = 1_024
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


class _Fate(Enum):
    """Where a batch is once it is not submitted any more."""

    TAKEN = "taken"
    FULL = "full"
    """Refused by its queue."""
    NOWHERE = "nowhere"
    """It never left this process."""
    UNKNOWN = "unknown"
    """Refused, but an earlier copy whose confirm was lost may be in the queue: only the log knows,
    so the waiters are told neither that it is safe nor that it was not taken."""


class _Waiting:
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
        entry = self.entry
        contents = len(entry.payload) + len(memoryview(entry.sender)) + len(entry.channel)
        return contents + _ENTRY_OVERHEAD_BYTES


class _Flight:
    """A batch under way or confirmed, until all its entries have their outcome."""

    __slots__ = (
        "answered",
        "is_counted",
        "is_given_up",
        "members",
        "number",
        "submitted_seconds",
    )

    def __init__(self, number: int, members: list[_Waiting], now: float) -> None:
        self.number = number
        self.members = members
        self.submitted_seconds = now
        self.is_counted = True
        self.is_given_up = False
        self.answered = 0


class _Partition:
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
        self.waiting: deque[_Waiting] = deque()
        self.waiting_bytes = 0
        self.refused_seconds: float | None = None
        self.flight: _Flight | None = None
        self.unsettled: dict[int, _Flight] = {}
        self.overdue = Overdue[Waiter]()

    @property
    def unsettled_entries(self) -> int:
        """How many entries were submitted and have no outcome."""
        awaited = sum(len(each.members) - each.answered for each in self.unsettled.values())
        return awaited + self.overdue.entries

    def load(self) -> list[_Waiting]:
        """Take what goes into the next batch."""
        members: list[_Waiting] = []
        size_bytes = 0
        while self.waiting and len(members) < BATCH_ENTRIES_AT_MOST:
            size_bytes += self.waiting[0].size_bytes
            if members and size_bytes > BATCH_BYTES_AT_MOST:
                break
            members.append(self.waiting.popleft())
        self.waiting_bytes -= sum(member.size_bytes for member in members)
        return members


class Producer:
    """One process's way into the pool."""

    def __init__(
        self,
        broker: Broker,
        producer_id: str,
        partitions: Iterable[Partition],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = producer_id
        self._broker = broker
        self._partitions = {partition: _Partition(partition) for partition in partitions}
        self._clock = clock
        self._in_flight = 0
        self._tasks: asyncio.TaskGroup | None = None
        # As last looked at, for each batch and in each sweep: an entry is offered in microseconds.
        self._is_held_back = False
        self._is_pump_due = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.resubmitted = 0
        """How many batches were submitted again after a lost connection."""
        self.settled_entries = 0
        """How many outcomes were read from the log."""
        self._trips: deque[tuple[float, float]] = deque(maxlen=_TRIPS_AT_MOST)

    @property
    def publishing(self) -> Publishing:
        """Whether an entry offered now is likely to be confirmed soon."""
        publishing = self._broker.publishing
        if publishing is Publishing.OPEN and any(
            self._is_unconfirmed(state) or self._is_full(state)
            for state in self._partitions.values()
        ):
            return Publishing.BLOCKED
        return publishing

    @property
    def waiting_entries(self) -> int:
        """How many entries wait for a batch."""
        return sum(len(p.waiting) for p in self._partitions.values())

    @property
    def unsettled_entries(self) -> int:
        """How many entries were submitted and have no outcome: this producer's part of the pool."""
        return sum(p.unsettled_entries for p in self._partitions.values())

    @property
    def unsettled_seconds(self) -> float:
        """For how long the first of them, if there is one, has been on its way."""
        return max((self._clock() - first for first in self._first_unsettled()), default=0.0)

    def trips(self, recent_seconds: float) -> list[float]:
        """Seconds from offering a batch's first entry to an outcome, for the latest batches."""
        earliest = self._clock() - recent_seconds
        return [seconds for settled, seconds in self._trips if settled >= earliest]

    def offer(
        self, partition: Partition, entry: Entry, waiter: Waiter, *, is_patient: bool = False
    ) -> bool:
        """Take an entry, or answer False: it cannot be submitted soon. Never waits.

        A patient waiter is content with `confirmed`: it is not given up after that, and hears of
        the outcome however late that comes.
        """
        state = self._partitions[partition]
        if state.waiting_bytes > WAITING_BYTES_AT_MOST or self._is_shut(state):
            return False
        waiting = _Waiting(entry, waiter, self._clock(), is_patient=is_patient)
        state.waiting.append(waiting)
        state.waiting_bytes += waiting.size_bytes
        if state.flight is None:
            self._pump_soon()
        return True

    def _is_shut(self, state: _Partition) -> bool:
        if self._tasks is None or not self._broker.is_connected or self._is_held_back:
            return True
        return self._is_unconfirmed(state)

    def _is_unconfirmed(self, state: _Partition) -> bool:
        flight = state.flight
        return flight is not None and self._clock() - flight.submitted_seconds > UNCONFIRMED_SECONDS

    def _is_full(self, state: _Partition) -> bool:
        refused = state.refused_seconds
        return refused is not None and self._clock() - refused <= FULL_SECONDS

    def settle(self, partition: Partition, outcomes: Outcomes) -> None:
        """Tell the waiters of one of this producer's batches what the log says."""
        state = self._partitions[partition]
        flight = state.unsettled.get(outcomes.number)
        if flight is None:
            self._settle_overdue(state, outcomes)
            return
        answered_before = flight.answered
        for index, outcome in enumerate(outcomes.outcomes, outcomes.first):
            member = flight.members[index]
            # A log that is read anew tells again what it has told.
            if member.waiter is not None:
                flight.answered += 1
                member.waiter.settled(outcome)
                member.waiter = None
            elif flight.is_given_up:
                flight.answered += 1
        if flight.answered > answered_before:
            self._count(flight.answered - answered_before, flight.members[0].offered_seconds)
        if flight.answered >= len(flight.members):
            del state.unsettled[flight.number]
            state.overdue.forget_before(flight.number)

    def _settle_overdue(self, state: _Partition, outcomes: Outcomes) -> None:
        for place, outcome in enumerate(outcomes.outcomes, outcomes.first):
            waiter = state.overdue.take(outcomes.number, place)
            if waiter is not None:
                waiter.settled(outcome)
        settled = state.overdue.settle(outcomes.number, len(outcomes.outcomes))
        if settled is not None:
            self._count(*settled)

    def _count(self, settled: int, offered_seconds: float) -> None:
        now = self._clock()
        self.settled_entries += settled
        self._trips.append((now, now - offered_seconds))

    def _first_unsettled(self) -> Iterator[float]:
        for state in self._partitions.values():
            for flight in state.unsettled.values():
                yield flight.members[0].offered_seconds
                break
            if state.overdue.oldest_seconds is not None:
                yield state.overdue.oldest_seconds

    async def run(self) -> None:
        """Submit what is offered until cancelled.

        Cancelling: what was not confirmed may or may not be submitted; waiters hear no more.
        """
        async with asyncio.TaskGroup() as self._tasks:
            try:
                while True:
                    self._refuse_old()
                    self._give_up_old()
                    self._pump()
                    await asyncio.sleep(_SWEEP_SECONDS)
            finally:
                self._tasks = None

    async def drain(self) -> None:
        """Wait until nothing waits and nothing is in flight."""
        await self._idle.wait()

    def _pump_soon(self) -> None:
        # Not at once: what one turn of the loop offers leaves in one batch.
        self._idle.clear()
        if not self._is_pump_due:
            self._is_pump_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._is_pump_due = False
        if self._tasks is None:
            return
        ready = [p for p in self._partitions.values() if p.waiting and p.flight is None]
        publishing = self._broker.publishing
        self._is_held_back = publishing is Publishing.BLOCKED
        if publishing is Publishing.OPEN:
            self._launch(ready, self._tasks)
        if not ready and all(p.flight is None for p in self._partitions.values()):
            self._idle.set()

    def _launch(self, ready: list[_Partition], tasks: asyncio.TaskGroup) -> None:
        if len(ready) > 1:
            ready.sort(key=lambda p: p.waiting[0].offered_seconds)
        for state in ready:
            if self._in_flight >= IN_FLIGHT_AT_MOST:
                break
            state.number += 1
            flight = _Flight(state.number, state.load(), self._clock())
            state.flight = state.unsettled[flight.number] = flight
            self._in_flight += 1
            tasks.create_task(self._submit(state, flight))

    async def _submit(self, state: _Partition, flight: _Flight) -> None:
        entries = [member.entry for member in flight.members]
        body = encode_batch(self.id, flight.number, entries)
        losing_patience = asyncio.get_running_loop().call_later(
            PATIENCE_SECONDS, self._uncount, flight
        )
        try:
            fate = await self._submit_until_known(state, flight.number, body, len(entries))
        finally:
            losing_patience.cancel()
            state.flight = None
            self._uncount(flight)
        state.refused_seconds = self._clock() if fate is _Fate.FULL else None
        if fate is _Fate.TAKEN:
            _confirm(flight.members)
        elif fate is not _Fate.UNKNOWN:
            del state.unsettled[flight.number]
            _refuse(flight.members)

    async def _submit_until_known(
        self, state: _Partition, number: int, body: bytes, entries: int
    ) -> _Fate:
        inbound = self._broker.inbound(state.partition)
        message_id = f"{self.id}/{state.partition.name}/{number}"
        lost_confirms = 0
        while True:
            try:
                await inbound.submit(body, entries=entries, message_id=message_id)
            except SubmitRefused:
                return _Fate.UNKNOWN if lost_confirms else _Fate.FULL
            except NeverSubmitted:
                if not lost_confirms:
                    return _Fate.NOWHERE
            except BrokerUnavailable:
                lost_confirms += 1
                self.resubmitted += 1
            else:
                return _Fate.TAKEN
            await asyncio.sleep(random.uniform(0.02, 0.2))

    def _uncount(self, flight: _Flight) -> None:
        if flight.is_counted:
            flight.is_counted = False
            self._in_flight -= 1
        self._pump_soon()

    def _refuse_old(self) -> None:
        oldest = self._clock() - WAITING_SECONDS_AT_MOST
        for state in self._partitions.values():
            while state.waiting and state.waiting[0].offered_seconds < oldest:
                member = state.waiting.popleft()
                state.waiting_bytes -= member.size_bytes
                _refuse([member])

    def _give_up_old(self) -> None:
        oldest = self._clock() - ANSWER_SECONDS
        for state in self._partitions.values():
            for number, flight in list(state.unsettled.items()):
                if flight.members[0].offered_seconds > oldest:
                    # Batches are in the order of their numbers, so the rest is younger.
                    break
                flight.is_given_up = True
                patient = _give_up(flight.members, is_confirmed=flight is not state.flight)
                if flight is not state.flight:
                    del state.unsettled[number]
                    still = len(flight.members) - flight.answered
                    state.overdue.add(number, still, flight.members[0].offered_seconds, patient)


def _confirm(members: Sequence[_Waiting]) -> None:
    for member in members:
        if member.waiter is not None:
            member.waiter.confirmed()


def _give_up(members: Sequence[_Waiting], *, is_confirmed: bool) -> dict[int, Waiter]:
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


def _refuse(members: Sequence[_Waiting]) -> None:
    for member in members:
        if member.waiter is not None:
            member.waiter.refused()
            member.waiter = None
