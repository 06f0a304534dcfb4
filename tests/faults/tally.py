"""Adds up what came of many schedules, for a terminal and for a page of the documentation."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.faults.checker import Offence
from tests.faults.run import Result
from tests.faults.schedule import Cell, Deck

COUNTS = (
    "attempted",
    "acknowledged",
    "refused",
    "refused_late",
    "unresolved",
    "delivered",
    "recovered",
    "resumed",
    "unresumed",
)
WANTED_HITS = 3
"""How often each fault should have struck at each of its phases."""


@dataclass
class Tally:
    """What a run of schedules adds up to."""

    deck: Deck
    title: str
    results: list[Result] = field(default_factory=list)

    @property
    def offences(self) -> int:
        """How many promises were broken."""
        return sum(
            len(result.complaints) + result.report.offences.total() for result in self.results
        )

    @property
    def hits(self) -> Counter[Cell]:
        """How often each fault struck at each phase."""
        return Counter(
            struck.strike.cell
            for result in self.results
            for struck in result.struck
            if struck.is_reached
        )

    def total(self, name: str) -> int:
        """One of the checker's counts over all schedules."""
        return sum(getattr(result.report, name) for result in self.results)

    def total_of(self, offence: Offence) -> int:
        """One kind of offence over all schedules."""
        return sum(result.report.offences[offence] for result in self.results)

    def short_of(self) -> list[Cell]:
        """Which pairs came less often than wanted."""
        return [cell for cell in self.deck.cells if self.hits[cell] < WANTED_HITS]

    def markdown(self) -> str:
        """Everything, as a part of a page."""
        return "\n\n".join(
            [f"## {self.title}", self._summary(), self._counts(), self._cells(), self._schedules()]
        )

    def _summary(self) -> str:
        seconds = sum(result.seconds for result in self.results)
        struck = sum(self.hits.values())
        missed = sum(len(result.struck) for result in self.results) - struck
        clean = sum(result.is_clean for result in self.results)
        return (
            f"{len(self.results)} schedules in {seconds / 60:.0f} minutes, {clean} of them without"
            f" an offence; {struck} strikes, {missed} more whose phase did not come by in time."
            f" From the healing to publications settled in every partition: {self._wholes()}."
        )

    def _wholes(self) -> str:
        wholes = [result.whole_seconds for result in self.results] or [0.0]
        return f"{median(wholes):.1f} s (median), {max(wholes):.1f} s (at most)"

    def _counts(self) -> str:
        rows = [(name.replace("_", " "), self.total(name)) for name in COUNTS]
        rows += [(f"**{each.name.lower()}**", self.total_of(each)) for each in Offence]
        rows.append(("**other offences**", sum(len(each.complaints) for each in self.results)))
        return _table(("what", "count"), rows)

    def _cells(self) -> str:
        faults = dict.fromkeys(cell.fault for cell in self.deck.cells)
        return _table(
            ("fault", "phase: times"),
            [
                (
                    fault.text,
                    ", ".join(
                        f"{phase.text}: {self.hits[Cell(fault, phase)]}" for phase in fault.phases
                    ),
                )
                for fault in faults
            ],
        )

    def _schedules(self) -> str:
        rows = [
            (
                result.schedule.seed,
                "; ".join(map(str, result.struck)),
                result.report.acknowledged,
                result.report.offences.total() + len(result.complaints),
                f"{result.seconds:.0f}",
                f"{result.whole_seconds:.1f}",
            )
            for result in self.results
        ]
        heads = ("seed", "strikes", "acknowledged", "offences", "seconds", "whole after")
        return _table(heads, rows)


def line_of(result: Result) -> str:
    """A schedule in one line, and a line more for each offence."""
    strikes = "; ".join(map(str, result.struck)) or "nothing"
    counts = str(result.report).splitlines()[0]
    lines = [
        f"seed {result.schedule.seed}: {strikes} | {counts}"
        f" | {result.seconds:.1f} s, whole after {result.whole_seconds:.1f} s"
    ]
    lines += [f"    {problem}" for problem in result.complaints]
    lines += [f"    {story}" for story in result.report.stories[:10]]
    return "\n".join(lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
