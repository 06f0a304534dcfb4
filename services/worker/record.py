"""Decided entries to a record: here each publication gets its offset.

Rules: made only when the record before it has been read back, so that the view is the truth; of
several publications of one channel in a record each builds on the one before it.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from broker.batch import Batch
from broker.record import Outcome, Outcomes, Published, encode_settled
from services.view.partition import PartitionView
from services.worker.deciding import NOTHING_TO_DO, Decision, ToCut, ToPublish


class DecidedEntry(NamedTuple):
    """An entry that has no outcome yet, by its place in its batch."""

    place: int
    decision: Decision


class DecidedBatch(NamedTuple):
    """A batch's entries without an outcome, decided."""

    batch: Batch
    entries: Sequence[DecidedEntry]


class _Offsets:
    """Gives out offsets on top of what the log says."""

    def __init__(self, view: PartitionView) -> None:
        self._view = view
        self._given: dict[str, tuple[int, int]] = {}

    def next(self, channel: str) -> tuple[int, int]:
        period, offset = self._given.get(channel) or self._view.top(channel)
        self._given[channel] = period, offset + 1
        return period, offset + 1


def encode_outcomes(
    view: PartitionView, batches: Iterable[DecidedBatch], wall_ms: int
) -> tuple[bytes, int]:
    """Make the record that settles these batches; say how many entries it settles."""
    offsets = _Offsets(view)
    payloads: list[bytes] = []
    settled: list[Outcomes] = []
    for batch, entries in batches:
        run: list[Outcome] = []
        first = expected = -1
        for index, decision in entries:
            if index != expected:
                _add_run(settled, batch, first, run)
                first, run = index, []
            run.append(_outcome(decision, offsets, payloads))
            expected = index + 1
        _add_run(settled, batch, first, run)
    count = sum(len(outcomes.outcomes) for outcomes in settled)
    return encode_settled(view.ledger.head, wall_ms, settled, payloads), count


def _add_run(settled: list[Outcomes], batch: Batch, first: int, run: list[Outcome]) -> None:
    """An `Outcomes` has no gaps; entries settled earlier leave some."""
    if run:
        settled.append(Outcomes(batch.producer, batch.number, len(batch.entries), first, run))


def _outcome(decision: Decision, offsets: _Offsets, payloads: list[bytes]) -> Outcome:
    if isinstance(decision, ToPublish):
        entry = decision.entry
        period, offset = offsets.next(entry.channel) if decision.has_history else (0, 0)
        payloads.append(entry.payload)
        return Published(entry.channel, period, offset, len(entry.payload), entry.sender)
    if isinstance(decision, ToCut):
        return NOTHING_TO_DO
    return decision.outcome
