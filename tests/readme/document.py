"""A Markdown page as a reader meets it: its code blocks, its links, its headings."""

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A code block, and the heading that it stands under."""

    language: str
    code: str
    heading: str

    @property
    def first_line(self) -> str:
        """What tells it from the others."""
        return self.code.partition("\n")[0]


def blocks(page: Path) -> list[Block]:
    """All code blocks, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        before = _HEADING.findall(_FENCE.sub("", text[: match.start()]))
        found.append(Block(match[1], match[2], before[-1] if before else ""))
    return found


def links(page: Path) -> list[str]:
    """Where its links and pictures lead, in order."""
    return _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """What GitHub calls its headings."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def structure(page: Path) -> list[int]:
    """The levels of its headings, in order."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [len(each) for each in re.findall(r"^(#{1,6}) ", text, re.MULTILINE)]
