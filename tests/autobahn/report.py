"""What Autobahn's fuzzing client found: its verdicts by section, as a table.

Rules: a case whose extension is off counts as not offered, and as nothing else; a failed case fails
the run, and so does a section without cases.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

SECTIONS = {
    1: "frames of all lengths",
    2: "pings and pongs",
    3: "reserved bits",
    4: "reserved opcodes",
    5: "fragments",
    6: "UTF-8",
    7: "closing",
    9: "limits, up to messages of 16 MiB",
    10: "automatic fragments",
    12: "permessage-deflate",
    13: "permessage-deflate with parameters",
}
OF_COMPRESSION = {12, 13}

NOT_OFFERED = "UNIMPLEMENTED"
COLUMNS = ("OK", "NON-STRICT", "INFORMATIONAL", NOT_OFFERED, "FAILED")
_GOOD_CLOSES = {"OK", "INFORMATIONAL"}


@dataclass
class Report:
    """Verdicts by section, and the cases that are not plainly OK by verdict."""

    verdicts: dict[int, Counter[str]] = field(
        default_factory=lambda: {section: Counter() for section in SECTIONS}
    )
    remarkable: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether all sections ran, and nothing failed but what is off on purpose."""
        return not self.remarkable.get("FAILED") and all(
            self.verdicts[section].total() for section in SECTIONS
        )

    def note(self, case: str, verdict: str) -> None:
        """Count one case, such as 6.4.1."""
        section = int(case.split(".")[0])
        self.verdicts[section][verdict] += 1
        if verdict not in ("OK", NOT_OFFERED):
            self.remarkable.setdefault(verdict, []).append(case)


def read_report(folder: Path, agent: str) -> Report:
    """Read the index that the suite leaves in its folder of reports."""
    cases = json.loads((folder / "index.json").read_bytes())[agent]
    report = Report()
    for case in sorted(cases, key=lambda name: [int(part) for part in name.split(".")]):
        report.note(case, _verdict(case, cases[case]))
    return report


def _verdict(case: str, found: dict[str, str]) -> str:
    behavior = found["behavior"]
    if behavior == NOT_OFFERED:
        return behavior if int(case.split(".")[0]) in OF_COMPRESSION else "FAILED"
    is_good = behavior in COLUMNS and found["behaviorClose"] in _GOOD_CLOSES
    return behavior if is_good else "FAILED"


def format_table(report: Report) -> str:
    """The report as a table in Markdown, with the sums and the remarkable cases."""
    lines = [
        "| section | " + " | ".join(each.lower().replace("_", " ") for each in COLUMNS) + " |",
        "|---|" + "--:|" * len(COLUMNS),
    ]
    sums: Counter[str] = sum(report.verdicts.values(), Counter())
    for section, name in SECTIONS.items():
        lines.append(_row(f"{section}. {name}", report.verdicts[section]))
    lines.append(_row("all", sums))
    for verdict, cases in report.remarkable.items():
        lines += ["", f"{verdict.lower()}: {', '.join(cases)}"]
    return "\n".join(lines)


def _row(name: str, verdicts: Counter[str]) -> str:
    return f"| {name} | " + " | ".join(str(verdicts[column] or "") for column in COLUMNS) + " |"
