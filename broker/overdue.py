"""Entries of one producer and partition that were given up, and may be settled all the same.

Their senders have been told that nobody knows. The pool may hold them yet, for it outlasts any
patience of ours; so they are counted until the log tells of them.

Rules
- A number that lies `REMEMBERED_BATCHES` behind one that is settled is forgotten: workers take it
  for settled too, so that its outcome will not come.
- Bounded: beyond `BATCHES_AT_MOST` the oldest is forgotten.
"""

from dataclasses import dataclass

REMEMBERED_BATCHES = 256
"""As many numbers of a producer as workers tell apart."""
BATCHES_AT_MOST = 10_000


@dataclass(slots=True)
class _Batch:
    entries: int
    offered_seconds: float


class Overdue:
    """The batches without an outcome that nobody waits for any more."""

    def __init__(self) -> None:
        self._batches: dict[int, _Batch] = {}

    @property
    def entries(self) -> int:
        """How many entries have no outcome yet."""
        return sum(batch.entries for batch in self._batches.values())

    @property
    def oldest_seconds(self) -> float | None:
        """When the first of them was offered."""
        return min((batch.offered_seconds for batch in self._batches.values()), default=None)

    def add(self, number: int, entries: int, offered_seconds: float) -> None:
        """Count a batch's entries until they are settled."""
        if entries:
            self._batches[number] = _Batch(entries, offered_seconds)
        if len(self._batches) > BATCHES_AT_MOST:
            del self._batches[next(iter(self._batches))]

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
            del self._batches[number]
        return settled, batch.offered_seconds

    def forget_before(self, number: int) -> None:
        """Count no longer what lies too far behind a settled batch to be settled itself."""
        while self._batches:
            first = next(iter(self._batches))
            if first > number - REMEMBERED_BATCHES:
                return
            del self._batches[first]
