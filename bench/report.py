"""Writes what was found: a table in markdown, and the same as JSON.

Not here: the picture (chart.py).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.chart import draw
from bench.section import Claim, Figure, Section

RESULTS = Path(__file__).parent / "results"


def write_results(sections: Sequence[Section], about: Mapping[str, object]) -> str:
    """Write `latest.md`, `latest.json` and `latest.svg`; answer the table."""
    RESULTS.mkdir(exist_ok=True)
    table = "\n".join(_lines(sections, about)) + "\n"
    (RESULTS / "latest.md").write_text(table)
    (RESULTS / "latest.svg").write_text(draw(sections))
    values = {"about": dict(about), "sections": [asdict(section) for section in sections]}
    (RESULTS / "latest.json").write_text(json.dumps(values, indent=2) + "\n")
    return table


def _lines(sections: Sequence[Section], about: Mapping[str, object]) -> Iterator[str]:
    yield "# Bench"
    yield ""
    yield "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in about.items()) + "."
    yield "Medians over rounds in turns; the load generator runs on the same cores."
    for section in sections:
        yield from ("", f"## {section.title}", "")
        yield from _figure_rows(section.figures)
        yield ""
        yield from _claim_rows(section.claims)
        if section.cpu_microseconds:
            yield ""
            yield from _cost_rows(section.cpu_microseconds)
        for remark in section.remarks:
            yield from ("", remark)


def _figure_rows(figures: Sequence[Figure]) -> Iterator[str]:
    yield "| measured | median | rounds |"
    yield "|---|---:|---|"
    for figure in figures:
        rounds = ", ".join(_number(value) for value in figure.rounds)
        yield f"| {figure.label} | {_number(figure.value)} {figure.unit} | {rounds} |"


def _claim_rows(claims: Sequence[Claim]) -> Iterator[str]:
    yield "| promised | wanted | measured | |"
    yield "|---|---:|---:|---|"
    for claim in claims:
        bound = "at most" if claim.is_upper_limit else "at least"
        verdict = "yes" if claim.is_met else "**no**"
        wanted = f"{bound} {_number(claim.wanted)} {claim.unit}"
        yield f"| {claim.label} | {wanted} | {_number(claim.measured)} {claim.unit} | {verdict} |"


def _cost_rows(costs: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    order = ("generator", "front", "server", "worker", "reader", "broker")
    names = [name for name in order if any(name in each for each in costs.values())]
    yield "| CPU microseconds each | " + " | ".join(names) + " | all |"
    yield "|---|" + "---:|" * (len(names) + 1)
    for label, spent in costs.items():
        cells = [f"{spent[name]:.1f}" if name in spent else "" for name in names]
        yield f"| {label} | " + " | ".join(cells) + f" | {sum(spent.values()):.1f} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
