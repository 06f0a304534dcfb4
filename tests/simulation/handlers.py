"""The team's handlers in a simulated worker: they are slow, fail, refuse, and publish besides.

What a handler does differs from try to try; what it publishes besides names the entry that it
looked at, so that a check can tell whether that came to be as often as the entry itself.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from services.worker.handling.interface import Handled, Kind, Question, Side, SideKind, Verdict
from tests.simulation.truth import Told

if TYPE_CHECKING:
    from tests.simulation.world import World

BESIDES = "besides"
"""The channel of what handlers publish."""

UNHANDLED = ("c",)

REFUSED_BY_HANDLER = 512
FAILED = 100


def name_of(payload: bytes) -> bytes | None:
    """The payload of the entry that this was published besides; None if it is none."""
    try:
        told = json.loads(payload)
    except ValueError:
        return None
    return str(told["besides"]).encode() if "besides" in told else None


def is_followed(told: Told) -> bool:
    """Whether this is a publication for which a handler has published something besides."""
    return told.kind == 0 and told.channel not in (BESIDES, *UNHANDLED)


class _Asked(NamedTuple):
    owner: object
    question: Question
    hear: Callable[[Handled], None]


class SimulatedHandling:
    """See `services.worker.handling.interface.Handling`."""

    def __init__(self, world: "World", name: str) -> None:
        self._turned_down = world.journal.turned_down
        self._random = Random(f"{world.seed} handlers {name}")
        self._slowness_seconds = self._random.choice((0.001, 0.01, 0.2))
        self._lines: dict[str, deque[_Asked]] = {}
        self._gone: set[int] = set()
        self._tries = 0

    def handles(self, kind: Kind, name: str) -> bool:
        return kind is Kind.PUBLISH and name not in UNHANDLED

    def ask(self, owner: object, question: Question, hear: Callable[[Handled], None]) -> None:
        self._gone.discard(id(owner))
        line = self._lines.setdefault(question.line, deque())
        line.append(_Asked(owner, question, hear))
        if len(line) == 1:
            self._begin(question.line)

    def abandon(self, owner: object) -> None:
        # The first of a line has been begun, and goes on to its end.
        for line in self._lines.values():
            kept = [each for at, each in enumerate(line) if not at or each.owner is not owner]
            line.clear()
            line.extend(kept)
        self._gone.add(id(owner))

    async def ask_at_once(self, question: Question, timeout_seconds: float) -> Handled | None:
        return None

    def _begin(self, line: str) -> None:
        seldom = self._random.random() < 0.03
        seconds = self._random.expovariate(1 / (3.0 if seldom else self._slowness_seconds))
        asyncio.get_running_loop().call_later(seconds, self._end, line)

    def _end(self, line: str) -> None:
        asked = self._lines[line].popleft()
        if id(asked.owner) not in self._gone:
            asked.hear(self._handle(asked.question))
        if self._lines[line]:
            self._begin(line)

    def _handle(self, question: Question) -> Handled:
        self._tries += 1
        drawn = self._random.random()
        if drawn < 0.1:
            self._turned_down.add(question.data)
        if drawn < 0.05:
            return Handled(Verdict.FAILED, text="RuntimeError: simulated", attempts=3)
        if drawn < 0.1:
            return Handled(Verdict.REFUSED, code=REFUSED_BY_HANDLER, text="simulated")
        payload = json.dumps({"besides": question.data.decode(), "try": self._tries}).encode()
        return Handled(Verdict.PASSED, sides=[Side(SideKind.PUBLISH, BESIDES, payload)])
