"""One seed for all there is of time and randomness.

The code under test asks `time`, `random` and `secrets` as it does in earnest; here they answer from
the simulated loop and the seed, and so a seed lives the same life again, to the last byte of a log.

Rules: everything is put back, whatever happens.
"""

import random
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random

import structlog
from structlog.typing import EventDict

from broker.producer import Producer
from services.log_reader import LogReader
from tests.simulation.loop import PROCESS, SimulatedLoop

WALL_SECONDS = 1_700_000_000.0
"""When every simulation begins, by the clock on the wall."""


@contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """Have an attribute be another for a while."""
    # A class may inherit it, and must go on inheriting it afterwards.
    is_own = not isinstance(owner, type) or name in vars(owner)
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if is_own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


class Clocks:
    """The clocks on the walls, which are set back and forth; that of a process may be wrong."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.error_seconds: dict[str, float] = {}

    def true_time(self) -> float:
        """What a right clock shows."""
        return WALL_SECONDS + self._loop.time()

    def time(self) -> float:
        """What the clock of the running process shows."""
        return self.true_time() + self.error_seconds.get(PROCESS.get(), 0.0)

    def time_ns(self) -> int:
        """The same in nanoseconds."""
        return int(self.time() * 1e9)


@contextmanager
def simulated(loop: SimulatedLoop, seed: int, *, is_logged: bool) -> Iterator[Clocks]:
    """Let time and chance be the simulation's."""
    clocks = Clocks(loop)
    secret = Random(f"secrets {seed}")
    state = random.getstate()
    random.seed(f"chance {seed}")
    # These took the real clock for their own when they were defined.
    reader_defaults = {**(LogReader.__init__.__kwdefaults__ or {}), "wall_seconds": clocks.time}
    with ExitStack() as stack:
        stack.callback(random.setstate, state)
        for owner, name, value in (
            (time, "monotonic", loop.time),
            (time, "time", clocks.time),
            (time, "time_ns", clocks.time_ns),
            (secrets, "token_hex", lambda size: secret.randbytes(size).hex()),
            (LogReader.__init__, "__kwdefaults__", reader_defaults),
            (Producer.__init__, "__defaults__", (loop.time,)),
        ):
            stack.enter_context(replaced(owner, name, value))
        stack.enter_context(_logging(loop, is_logged=is_logged))
        yield clocks


@contextmanager
def _logging(loop: SimulatedLoop, *, is_logged: bool) -> Iterator[None]:
    def stamp(_: object, __: str, event: EventDict) -> EventDict:
        return {"at": f"{loop.time():.4f}", "process": PROCESS.get(), **event}

    def drop(_: object, __: str, ___: EventDict) -> EventDict:
        raise structlog.DropEvent

    before = structlog.get_config()
    try:
        structlog.configure(
            processors=[stamp, structlog.processors.LogfmtRenderer()] if is_logged else [drop]
        )
        yield
    finally:
        structlog.configure(**before)
