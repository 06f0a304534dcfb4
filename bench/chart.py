"""Draws the figures as horizontal bars: one panel a section, SVG written by hand.

Rules: legible on light and dark pages alike, so it brings its own background; text is escaped.
"""

from collections.abc import Iterator, Sequence
from html import escape

from bench.section import Claim, Figure, Section

WIDTH, LABEL_WIDTH, VALUE_WIDTH = 860, 250, 190
BAR_HEIGHT, ROW_HEIGHT, TITLE_HEIGHT, PADDING = 18, 26, 34, 20
OURS, THEIRS, INK, FAINT = "#1f6feb", "#9aa4b2", "#1c2128", "#57606a"


def draw(sections: Sequence[Section]) -> str:
    """Make the picture."""
    parts: list[str] = []
    top = PADDING
    for section in sections:
        parts += _panel(section, top)
        top += _height(section)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" '
            f'width="{WIDTH}" height="{top}" font-family="system-ui, sans-serif" font-size="13">',
            f'<rect width="{WIDTH}" height="{top}" rx="8" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        )
    )


def _height(section: Section) -> int:
    return TITLE_HEIGHT + ROW_HEIGHT * (len(section.figures) + 1) + PADDING


def _panel(section: Section, top: int) -> Iterator[str]:
    yield _text(PADDING, top + 16, section.title, INK, weight=600)
    longest = max((figure.value for figure in section.figures), default=0.0) or 1.0
    row = top + TITLE_HEIGHT
    for figure in section.figures:
        yield from _bar(figure, row, longest)
        row += ROW_HEIGHT
    claims = "   ".join(_verdict(claim) for claim in section.claims if claim.unit in ("x", "KB"))
    yield _text(PADDING, row + 16, claims, FAINT)


def _bar(figure: Figure, row: int, longest: float) -> Iterator[str]:
    room = WIDTH - LABEL_WIDTH - VALUE_WIDTH - PADDING
    length = max(2.0, room * figure.value / longest)
    middle = row + BAR_HEIGHT - 5
    color = OURS if figure.is_ours else THEIRS
    yield _text(LABEL_WIDTH - 10, middle, figure.label, INK, anchor="end")
    yield (
        f'<rect x="{LABEL_WIDTH}" y="{row}" width="{length:.1f}" height="{BAR_HEIGHT}" rx="3" '
        f'fill="{color}"/>'
    )
    value = f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:.1f}"
    yield _text(LABEL_WIDTH + length + 8, middle, f"{value} {figure.unit}", INK)


def _verdict(claim: Claim) -> str:
    bound = "at most" if claim.is_upper_limit else "at least"
    mark = "\u2713" if claim.is_met else "\u2717"
    return f"{mark} {claim.label}: {claim.measured:.1f} ({bound} {claim.wanted:g} {claim.unit})"


def _text(
    x: float, y: float, text: str, fill: str, *, weight: int = 400, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{fill}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
