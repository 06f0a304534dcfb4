"""A question that was asked and not yet heard, and the line that it stands in.

Not here: what is done with them (`lines`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from services.worker.handling.interface import TRIES_AT_MOST, Handled, Question


class Marks(Protocol):
    """The shared page: a `Mark` for each place."""

    def __getitem__(self, place: int, /) -> int: ...

    def __setitem__(self, place: int, mark: int, /) -> None: ...


class Line(msgspec.Struct, eq=False):
    """Questions that are carried out one after the other; there is none without a question."""

    name: str
    generation: int
    pending: int = 0
    """Questions that are not heard yet, wherever they are."""
    given: int = 0
    answered: int = 0
    """Of those that were given, in whatever way; the difference is under way."""
    is_held: bool = False
    """None of it is given, but for the one that the others wait for."""
    waits_for: Asked | None = None
    """Is to be tried again, later or alone, before any other."""
    back: list[Asked] = []
    """Those that go on when the line does."""


class Asked(msgspec.Struct, eq=False):
    """A question with whoever asked it.

    A Struct, since one is made for each entry: its constructor takes a third of the time that a
    class's own would.
    """

    owner: object
    question: Question
    hear: Callable[[Handled], None]
    line: Line
    order: int
    """Rises with each question that is asked."""
    tries_at_most: int = TRIES_AT_MOST
    number: int = 0
    """When it was given last."""
    place: int = 0
    turn: int = 0
    """Its place among all that its line was given."""
    first_seconds: float = 0.0
    """When it was given first."""
    failures: int = 0
    again_seconds: float = 0.0
    """Not before then."""
    final: Handled | None = None
    """It has failed for good, and will be heard when those before it have been."""
    alone_with: int = 0
    """It may be why a process died: it is tried in a group of so many at most. 0: it is not."""
    deaths: int = 0
    """Of processes that died between its handler's end and its answer."""
    is_abandoned: bool = False
    is_odd: bool = False
    """It needs a second look before it is given."""
