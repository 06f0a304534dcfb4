"""Which names a handler is for: a text in which `*` stands for any characters, or none.

Rules
- Of several patterns that match a name, the one without `*` is meant, else the one with the most
  other characters.
- Matching takes time linear in the name, whatever the pattern: clients choose the names.
"""

from __future__ import annotations

from typing import Final

ANY: Final = "*"


class Pattern:
    """What names to match."""

    def __init__(self, text: str) -> None:
        self.text: Final = text
        self.is_exact: Final = ANY not in text
        self.literal: Final = len(text) - text.count(ANY)
        self._first, *rest = text.split(ANY)
        self._last = rest.pop() if rest else ""
        self._between = [part for part in rest if part]

    @property
    def rank(self) -> tuple[bool, int]:
        """The greater, the more specific."""
        return self.is_exact, self.literal

    def is_match(self, name: str) -> bool:
        """Tell whether it is a pattern of this name."""
        if self.is_exact:
            return name == self.text
        if len(name) < self.literal:
            return False
        if not (name.startswith(self._first) and name.endswith(self._last)):
            return False
        position, end = len(self._first), len(name) - len(self._last)
        # The leftmost place for each part leaves the most room for those after it.
        for part in self._between:
            found = name.find(part, position, end)
            if found < 0:
                return False
            position = found + len(part)
        return True

    def is_ambiguous_with(self, other: Pattern) -> bool:
        """Tell whether some name matches both, and neither is the more specific."""
        return self.rank == other.rank and _may_meet(self.text, other.text)


def _may_meet(one: str, other: str) -> bool:
    """Whether one name can match both: walks the places in both at the same time."""
    seen: set[tuple[int, int]] = set()
    waiting = [(0, 0)]
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        here, there = one[place[0] :], other[place[1] :]
        if not here and not there:
            return True
        if here[:1] == ANY:
            waiting.append((place[0] + 1, place[1]))
        if there[:1] == ANY:
            waiting.append((place[0], place[1] + 1))
        if here and there:
            waiting.extend(_steps(place, here[0], there[0]))
    return False


def _steps(place: tuple[int, int], here: str, there: str) -> list[tuple[int, int]]:
    """Where both stand after a character that each of them takes; a `*` stays where it is."""
    if ANY in (here, there):
        return [(place[0] + (here != ANY), place[1] + (there != ANY))] if here != there else []
    return [(place[0] + 1, place[1] + 1)] if here == there else []
