"""Decided entries to a record: here each publication gets its offset.

Rules: made only when the record before it has been read back, so that the view is the truth; of
several publications of one channel in a record each builds on the one before it, and of several
entries with one key the first is carried out. From the others nothing follows either.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from broker.batch import Batch, Entry
from broker.interface import DeadReason, Position
from broker.record import Done, Letter, Outcome, Outcomes, Published, encode_settled
from services.view.partition import PartitionView
from services.worker.concluding import WithPayload, letter_of
from services.worker.deciding import NOTHING_TO_DO, Decision, ToCut, ToPublish, ToRefuse


class DecidedEntry(NamedTuple):
    """An entry that has no outcome yet, by its place in its batch."""

    place: int
    decision: Decision
    sequels: Sequence[WithPayload] = ()


class DecidedBatch(NamedTuple):
    """A batch's entries without an outcome, decided, in the order of their places."""

    batch: Batch
    entries: Sequence[DecidedEntry]


class MadeRecord(NamedTuple):
    """A record's body, and what is in it."""

    body: bytes
    entries: int
    refusals: list[int]
    """The codes."""


# Not by its value but as itself: what an entry is settled as whose key was used before.
_DONE_BEFORE = Done()


class _Making:
    """A record in the making; gives out offsets on top of what the log says."""

    def __init__(self, view: PartitionView) -> None:
        self._view = view
        self._given: dict[str, tuple[int, int]] = {}
        self.settled: list[Outcomes] = []
        self.payloads: list[bytes] = []
        self.sequels: list[WithPayload] = []
        self.refusals: list[int] = []
        self.keys: list[tuple[str, str]] = []
        self.entries = 0
        self._used: set[tuple[str, str]] = set()

    def add(self, batch: Batch, entries: Sequence[DecidedEntry]) -> None:
        """Add a batch: as one run of outcomes, or several if entries between were not decided."""
        run: list[Outcome] = []
        first = expected = -1
        for place, decision, sequels in entries:
            if place != expected:
                self._add_run(batch, first, run)
                first, run = place, []
            if batch.is_unheard and isinstance(decision, ToRefuse) and not _has_letter(sequels):
                # Nobody is told; it would be lost.
                decision = decision._replace(is_kept=True)
            outcome = self._outcome(decision, batch, place)
            run.append(outcome)
            if sequels and outcome is not _DONE_BEFORE:
                self.sequels += sequels
            expected = place + 1
        self._add_run(batch, first, run)

    def _add_run(self, batch: Batch, first: int, run: list[Outcome]) -> None:
        """An `Outcomes` has no gaps."""
        if run:
            self.settled.append(
                Outcomes(batch.producer, batch.number, len(batch.entries), first, run)
            )
            self.entries += len(run)

    def _outcome(self, decision: Decision, batch: Batch, place: int) -> Outcome:
        if isinstance(decision, ToPublish):
            entry = decision.entry
            if entry.key and not self._take_key(entry):
                return _DONE_BEFORE
            period, offset = self._next(entry.channel) if decision.has_history else (0, 0)
            self.payloads.append(entry.payload)
            return Published(
                entry.channel, period, offset, len(entry.payload), entry.sender, entry.key
            )
        entry = batch.entries[place]
        if entry.key and self._is_known(entry):
            return _DONE_BEFORE
        if isinstance(decision, ToRefuse):
            # With its key, if it has one, it may be tried again.
            return self._refuse(decision, entry, batch)
        if entry.key and self._take_key(entry):
            self.keys.append((entry.channel, entry.key))
        return NOTHING_TO_DO.outcome if isinstance(decision, ToCut) else decision.outcome

    def _refuse(self, decision: ToRefuse, entry: Entry, batch: Batch) -> Outcome:
        refused = decision.outcome
        self.refusals.append(refused.code)
        if decision.is_kept:
            # Its sender was told that it is safe: somebody may have to look at it.
            why = f"{refused.code} {refused.message}"
            self.sequels.append(letter_of(entry, batch, DeadReason.REFUSED, why))
        return refused

    def _is_known(self, entry: Entry) -> bool:
        used = entry.channel, entry.key
        return used in self._used or self._view.keys.has(*used)

    def _take_key(self, entry: Entry) -> bool:
        """Use an entry's key, if it was not used before."""
        if self._is_known(entry):
            return False
        self._used.add((entry.channel, entry.key))
        return True

    def _next(self, channel: str) -> tuple[int, int]:
        period, offset = self._given.get(channel) or self._view.top(channel)
        self._given[channel] = period, offset + 1
        return period, offset + 1


def _has_letter(sequels: Iterable[WithPayload]) -> bool:
    return any(isinstance(sequel, Letter) for sequel, _ in sequels)


def encode_outcomes(
    view: PartitionView,
    batches: Iterable[DecidedBatch],
    wall_ms: int,
    followed: Position = -1,
) -> MadeRecord:
    """Make the record that settles these entries; `followed` is how far sequels are done."""
    making = _Making(view)
    for batch, entries in batches:
        making.add(batch, entries)
    body = encode_settled(
        view.ledger.head,
        wall_ms,
        making.settled,
        making.payloads,
        [sequel for sequel, _ in making.sequels],
        [payload for _, payload in making.sequels],
        followed,
        making.keys,
        view.ledger.fence.nonce if view.ledger.fence is not None else "",
    )
    return MadeRecord(body, making.entries, making.refusals)
