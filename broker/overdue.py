"""Entries of one producer and partition that were given up, and may be settled all the same.

Their senders have been told that nobody knows, or long ago that they are safe in the pool. The
pool may hold them yet, for it outlasts any patience of ours; so they are counted until the log
tells of them, and who relies on one hears if it is refused.

Rules
- A number that lies `REMEMBERED_BATCHES` behind one that is settled is forgotten: workers take it
  for settled too, so that its outcome will not come.
- Bounded: beyond `BATCHES_AT_MOST` the oldest is forgotten, and beyond `PATIENT_AT_MOST` waiters
  no further one is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

PatientWaiter = TypeVar("PatientWaiter")

REMEMBERED_BATCHES = 256
"""As many numbers of a producer as workers tell apart."""
BATCHES_AT_MOST = 10_000
PATIENT_AT_MOST = 10_000
"""Some 300 bytes each, besides the session that each keeps in memory."""


@dataclass(slots=True)
class _Batch(Generic[PatientWaiter]):
    entries: int
    offered_seconds: float
    patient: dict[int, PatientWaiter]


class Overdue(Generic[PatientWaiter]):
    """The batches without an outcome whose time to be answered is over."""

    def __init__(self) -> None:
        self._batches: dict[int, _Batch[PatientWaiter]] = {}
        self._patient = 0

    @property
    def entries(self) -> int:
        """How many entries have no outcome yet."""
        return sum(batch.entries for batch in self._batches.values())

    @property
    def oldest_seconds(self) -> float | None:
        """When the first of them was offered."""
        return min((batch.offered_seconds for batch in self._batches.values()), default=None)

    def add(
        self,
        number: int,
        entries: int,
        offered_seconds: float,
        patient: Mapping[int, PatientWaiter] | None = None,
    ) -> None:
        """Count a batch's entries until they are settled; keep who is to hear then, by place."""
        if entries:
            kept = dict(patient or {}) if self._patient < PATIENT_AT_MOST else {}
            self._patient += len(kept)
            self._batches[number] = _Batch(entries, offered_seconds, kept)
        if len(self._batches) > BATCHES_AT_MOST:
            self._forget(next(iter(self._batches)))

    def take(self, number: int, place: int) -> PatientWaiter | None:
        """Give, once, who is to hear what became of an entry; None if nobody is."""
        batch = self._batches.get(number)
        waiter = batch.patient.pop(place, None) if batch is not None else None
        if waiter is not None:
            self._patient -= 1
        return waiter

    def settle(self, number: int, entries: int) -> tuple[int, float] | None:
        """Count entries of a batch no longer; give how many these were and when they were offered.

        None: the batch is not overdue.
        """
        batch = self._batches.get(number)
        if batch is None:
            return None
        settled = min(entries, batch.entries)
        batch.entries -= settled
        if not batch.entries:
            self._forget(number)
        return settled, batch.offered_seconds

    def forget_before(self, number: int) -> None:
        """Count no longer what lies too far behind a settled batch to be settled itself."""
        while self._batches:
            first = next(iter(self._batches))
            if first > number - REMEMBERED_BATCHES:
                return
            self._forget(first)

    def _forget(self, number: int) -> None:
        self._patient -= len(self._batches.pop(number).patient)
