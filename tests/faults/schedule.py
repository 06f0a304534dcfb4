"""Which faults strike at which phases, drawn from a seed.

Rules
- A schedule is a function of its kind of faults and its seed, whatever ran before: a seed that is
  printed says everything.
- All pairs of a fault and a phase are dealt like cards, deck after deck in an order of its own; a
  seed gets the next one to three. So consecutive seeds reach every pair equally often.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import islice
from random import Random
from typing import NamedTuple

from tests.faults.proxy.moment import Moment


class Phase(Enum):
    """When a fault strikes: before or after a moment of a batch's way, or at any time."""

    UNDER_LOAD = "under load", None
    BEFORE_DELIVERY = "before delivery", Moment.DELIVERY
    BEFORE_FENCE = "before fence", Moment.FENCE
    BEFORE_APPEND = "before append", Moment.APPEND
    BEFORE_APPEND_CONFIRM = "before append confirm", Moment.APPENDED
    BEFORE_READ_BACK = "before read-back", Moment.READ_BACK
    BEFORE_ACK = "before ack", Moment.ACK
    AFTER_ACK = "after ack", Moment.ACK
    BEFORE_SUBMIT = "before submit", Moment.SUBMIT
    BEFORE_SUBMIT_CONFIRM = "before submit confirm", Moment.SUBMITTED
    BEFORE_OUTCOME = "before outcome", Moment.OUTCOME
    AFTER_OUTCOME = "after outcome", Moment.OUTCOME
    BEFORE_PUBLISH = "before publish", Moment.PUBLISH
    BEFORE_REPLY = "before reply", Moment.REPLY
    BEFORE_PUSH = "before push", Moment.PUSH
    BEFORE_RECOVERY = "before recovery", Moment.RECOVERY

    def __init__(self, text: str, moment: Moment | None) -> None:
        self.text = text
        self.moment = moment

    @property
    def is_after(self) -> bool:
        """Whether the moment's frame passes before the strike."""
        return self.text.startswith("after")


_ANYTIME = (Phase.UNDER_LOAD,)
_OF_WORKERS = (
    Phase.BEFORE_DELIVERY,
    Phase.BEFORE_FENCE,
    Phase.BEFORE_APPEND,
    Phase.BEFORE_APPEND_CONFIRM,
    Phase.BEFORE_READ_BACK,
    Phase.BEFORE_ACK,
    Phase.AFTER_ACK,
)
_OF_FRONTS = (
    Phase.BEFORE_SUBMIT,
    Phase.BEFORE_SUBMIT_CONFIRM,
    Phase.BEFORE_OUTCOME,
    Phase.AFTER_OUTCOME,
)
_OF_CLIENTS = (
    Phase.BEFORE_PUBLISH,
    Phase.BEFORE_REPLY,
    Phase.BEFORE_PUSH,
    Phase.BEFORE_RECOVERY,
)
_OF_BROKERS = (
    Phase.BEFORE_SUBMIT_CONFIRM,
    Phase.BEFORE_APPEND,
    Phase.BEFORE_APPEND_CONFIRM,
    Phase.BEFORE_READ_BACK,
    Phase.BEFORE_ACK,
)


class Part(Enum):
    """What is struck."""

    WORKER = "worker"
    FRONT = "front"
    NETWORK = "network between clients and fronts"
    CLIENT = "client"
    BROKER = "broker"
    CLUSTER = "cluster"


class Fault(Enum):
    """What happens, to which part, and at which phases it can be made to happen."""

    WORKER_KILLED = "worker killed", Part.WORKER, _OF_WORKERS
    WORKER_TERMINATED = "worker terminated", Part.WORKER, _OF_WORKERS
    WORKER_FROZEN = "worker frozen 1 s", Part.WORKER, _OF_WORKERS
    WORKER_ZOMBIE = "worker frozen 12 s", Part.WORKER, _OF_WORKERS
    WORKER_CUT = "worker's broker connections cut", Part.WORKER, _OF_WORKERS
    WORKER_HALF_OPEN = "worker's broker connections half-open", Part.WORKER, _OF_WORKERS
    WORKER_LATE = (
        "worker's append late, after it lost the partition",
        Part.WORKER,
        (Phase.BEFORE_FENCE, Phase.BEFORE_APPEND),
    )
    WORKER_DELAYED = "worker's broker connections delayed", Part.WORKER, _ANYTIME
    WORKER_THROTTLED = "worker's broker connections throttled", Part.WORKER, _ANYTIME

    FRONT_KILLED = "front killed", Part.FRONT, _OF_FRONTS
    FRONT_TERMINATED = "front terminated", Part.FRONT, _OF_FRONTS
    FRONT_FROZEN = "front frozen 3 s", Part.FRONT, _OF_FRONTS
    FRONT_CUT = "front's broker connections cut", Part.FRONT, _OF_FRONTS
    FRONT_HALF_OPEN = "front's broker connections half-open", Part.FRONT, _OF_FRONTS
    FRONT_DELAYED = "front's broker connections delayed", Part.FRONT, _ANYTIME
    FRONT_THROTTLED = "front's broker connections throttled", Part.FRONT, _ANYTIME

    CLIENTS_CUT = "clients of a front cut", Part.NETWORK, _OF_CLIENTS
    CLIENTS_HALF_OPEN = "clients of a front half-open", Part.NETWORK, _OF_CLIENTS
    CLIENT_RESET_IN_FRAME = "client reset in mid-frame", Part.NETWORK, _OF_CLIENTS
    CLIENTS_DELAYED = "clients of a front delayed", Part.NETWORK, _ANYTIME
    CLIENTS_THROTTLED = "clients of a front throttled", Part.NETWORK, _ANYTIME
    CLIENTS_SLICED = "clients of a front sliced", Part.NETWORK, _ANYTIME

    STOPS_READING = "clients stop reading", Part.CLIENT, _ANYTIME
    RECONNECT_STORM = "reconnect storm", Part.CLIENT, _ANYTIME
    BAD_JSON = "hostile: bad JSON", Part.CLIENT, _ANYTIME
    OVERSIZED_FRAME = "hostile: oversized frame", Part.CLIENT, _ANYTIME
    UNFINISHED_HANDSHAKE = "hostile: handshake never finished", Part.CLIENT, _ANYTIME
    DUPLICATED_IDS = "hostile: command ids used twice", Part.CLIENT, _ANYTIME
    FUTURE_OFFSET = "hostile: offset from the future", Part.CLIENT, _ANYTIME
    FOREIGN_EPOCH = "hostile: epoch of another channel", Part.CLIENT, _ANYTIME

    BROKER_KILLED = "broker killed", Part.BROKER, _OF_BROKERS
    BROKER_TERMINATED = "broker terminated", Part.BROKER, _OF_BROKERS
    BROKER_FROZEN = "broker frozen 3 s", Part.BROKER, _OF_BROKERS
    CONNECTIONS_CLOSED = "broker closes all connections", Part.BROKER, _OF_BROKERS
    BROKER_FROZEN_LONG = "broker frozen 15 s", Part.BROKER, _ANYTIME
    MEMORY_ALARM = "broker memory alarm", Part.BROKER, _ANYTIME
    DISK_ALARM = "broker disk alarm", Part.BROKER, _ANYTIME
    CONSUMERS_CANCELLED = "broker cancels a log's consumers", Part.BROKER, _ANYTIME
    POLICY_CHANGED = "broker policy changed", Part.BROKER, _ANYTIME

    LEADER_KILLED = "leader of a log killed", Part.CLUSTER, _OF_BROKERS

    def __init__(self, text: str, part: Part, phases: tuple[Phase, ...]) -> None:
        self.text = text
        self.part = part
        self.phases = phases


_PROCESSES = (Part.WORKER, Part.FRONT, Part.NETWORK, Part.CLIENT)


class Deck(Enum):
    """Which faults a run draws from, and how many of them a schedule may have."""

    PROCESSES = "processes", _PROCESSES, (1, 2, 2, 3, 3)
    BROKER = "broker", (Part.BROKER,), (1, 2, 2, 3)
    ALL = "all", (*_PROCESSES, Part.BROKER), (1, 2, 2, 3, 3)
    CLUSTER = "cluster", (Part.CLUSTER,), (1, 1, 2)

    def __init__(self, text: str, parts: tuple[Part, ...], sizes: tuple[int, ...]) -> None:
        self.text = text
        self.parts = parts
        self.sizes = sizes

    @property
    def cells(self) -> list["Cell"]:
        """Every fault at every phase."""
        return [
            Cell(fault, phase)
            for fault in Fault
            if fault.part in self.parts
            for phase in fault.phases
        ]


class Cell(NamedTuple):
    """A fault at a phase."""

    fault: Fault
    phase: Phase

    def __str__(self) -> str:
        return f"{self.fault.text} {self.phase.text}"


@dataclass(frozen=True)
class Strike:
    """A fault to come."""

    cell: Cell
    at_seconds: float
    """When to begin to wait for its phase, from the beginning of the load."""
    seed: str
    """What else is random about it is drawn from this."""


@dataclass(frozen=True)
class Schedule:
    """The strikes of one run under load."""

    deck: Deck
    seed: int
    strikes: tuple[Strike, ...]


FIRST_SECONDS = 0.3
LAST_SECONDS = 3.5


def draw(deck: Deck, seed: int) -> Schedule:
    """Draw a schedule; seeds count from 1."""
    if seed < 1:
        raise ValueError("seeds count from 1")
    size = _size(deck, seed)
    first = sum(_size(deck, earlier) for earlier in range(1, seed))
    cells = islice(_deal(deck), first, first + size)
    random = Random(f"{deck.text} {seed}")
    strikes = [
        Strike(cell, random.uniform(FIRST_SECONDS, LAST_SECONDS), f"{deck.text} {seed} {number}")
        for number, cell in enumerate(cells)
    ]
    strikes.sort(key=lambda strike: strike.at_seconds)
    return Schedule(deck, seed, tuple(strikes))


@cache
def _size(deck: Deck, seed: int) -> int:
    return Random(f"size {deck.text} {seed}").choice(deck.sizes)


def _deal(deck: Deck) -> Iterator[Cell]:
    number = 0
    while True:
        cells = deck.cells
        Random(f"deck {deck.text} {number}").shuffle(cells)
        yield from cells
        number += 1
