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
from collections.abc import Callable, Iterable, Iterator
from enum import Enum

from broker.batch import Entry, encode_batch
from broker.departures import Departures, Flight, Waiter, Waiting, confirm, give_up, refuse
from broker.errors import BrokerUnavailable, NeverSubmitted, SubmitRefused
from broker.interface import Broker, Publishing
from broker.partition import Partition
from broker.record import Outcomes

IN_FLIGHT_AT_MOST = 2
PATIENCE_SECONDS = 0.05

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


class Fate(Enum):
    """Where a batch is once it is not submitted any more."""

    TAKEN = "taken"
    FULL = "full"
    """Refused by its queue."""
    NOWHERE = "nowhere"
    """It never left this process."""
    UNKNOWN = "unknown"
    """Refused, but an earlier copy whose confirm was lost may be in the queue: only the log knows,
    so the waiters are told neither that it is safe nor that it was not taken."""


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
        self._partitions = {partition: Departures(partition) for partition in partitions}
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

    def awaited_seconds(self, partition: Partition) -> float:
        """For how long a partition's first entry that may still be answered has been on its way."""
        first = self._partitions[partition].first_unsettled_seconds
        return 0.0 if first is None else self._clock() - first

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
        waiting = Waiting(entry, waiter, self._clock(), is_patient=is_patient)
        state.waiting.append(waiting)
        state.waiting_bytes += waiting.size_bytes
        if state.flight is None:
            self._pump_soon()
        return True

    def _is_shut(self, state: Departures) -> bool:
        if self._tasks is None or not self._broker.is_connected or self._is_held_back:
            return True
        return self._is_unconfirmed(state)

    def _is_unconfirmed(self, state: Departures) -> bool:
        flight = state.flight
        return flight is not None and self._clock() - flight.submitted_seconds > UNCONFIRMED_SECONDS

    def _is_full(self, state: Departures) -> bool:
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

    def _settle_overdue(self, state: Departures, outcomes: Outcomes) -> None:
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
            if state.first_unsettled_seconds is not None:
                yield state.first_unsettled_seconds
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

    def _launch(self, ready: list[Departures], tasks: asyncio.TaskGroup) -> None:
        if len(ready) > 1:
            ready.sort(key=lambda p: p.waiting[0].offered_seconds)
        for state in ready:
            if self._in_flight >= IN_FLIGHT_AT_MOST:
                break
            state.number += 1
            flight = Flight(state.number, state.load(), self._clock())
            state.flight = state.unsettled[flight.number] = flight
            self._in_flight += 1
            tasks.create_task(self._submit(state, flight))

    async def _submit(self, state: Departures, flight: Flight) -> None:
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
        state.refused_seconds = self._clock() if fate is Fate.FULL else None
        if fate is Fate.TAKEN:
            confirm(flight.members)
        elif fate is not Fate.UNKNOWN:
            del state.unsettled[flight.number]
            refuse(flight.members)

    async def _submit_until_known(
        self, state: Departures, number: int, body: bytes, entries: int
    ) -> Fate:
        inbound = self._broker.inbound(state.partition)
        message_id = f"{self.id}/{state.partition.name}/{number}"
        lost_confirms = 0
        while True:
            try:
                await inbound.submit(body, entries=entries, message_id=message_id)
            except SubmitRefused:
                return Fate.UNKNOWN if lost_confirms else Fate.FULL
            except NeverSubmitted:
                if not lost_confirms:
                    return Fate.NOWHERE
            except BrokerUnavailable:
                lost_confirms += 1
                self.resubmitted += 1
            else:
                return Fate.TAKEN
            await asyncio.sleep(random.uniform(0.02, 0.2))

    def _uncount(self, flight: Flight) -> None:
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
                refuse([member])

    def _give_up_old(self) -> None:
        oldest = self._clock() - ANSWER_SECONDS
        for state in self._partitions.values():
            for number, flight in list(state.unsettled.items()):
                if flight.members[0].offered_seconds > oldest:
                    # Batches are in the order of their numbers, so the rest is younger.
                    break
                flight.is_given_up = True
                patient = give_up(flight.members, is_confirmed=flight is not state.flight)
                if flight is not state.flight:
                    del state.unsettled[number]
                    still = len(flight.members) - flight.answered
                    state.overdue.add(number, still, flight.members[0].offered_seconds, patient)
