"""What a part of the bench found out, as values: shown by report.py and chart.py."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One measured value; the median over rounds, which are all kept."""

    label: str
    value: float
    unit: str
    is_ours: bool
    rounds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Claim:
    """A ratio or value that was promised, and what came out."""

    label: str
    measured: float
    wanted: float
    unit: str
    is_upper_limit: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the promise holds in this run."""
        if self.is_upper_limit:
            return self.measured <= self.wanted
        return self.measured >= self.wanted


@dataclass(frozen=True)
class Section:
    """One part of the bench."""

    title: str
    figures: list[Figure]
    claims: list[Claim]
    cpu_microseconds: dict[str, dict[str, float]] = field(default_factory=dict)
    """What is measured -> process -> CPU microseconds a publication or delivery."""
    remarks: list[str] = field(default_factory=list)
