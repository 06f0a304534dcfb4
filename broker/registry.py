"""Which processes are live: each says so on the bus every few seconds, and when it leaves.

Messages are JSON objects whose `kind` says what they are, so that the bus can carry others too:

    {"kind":"alive","node":{"id":…,"role":…,"name":…,"lanes":[…],"started_seconds":…,
                            "standing":…,"silent_seconds":…,"has_app":…}}
    {"kind":"left","id":…}

Rules:
- A node that has been silent for as long as it says itself, or for as long as we would have to be,
  if that is longer, is no longer live. But silence counts only while we hear ourselves: a broker
  that is away, or holds publishers back, says nothing about the others, and a partition must not
  move because of it.
- We are live to ourselves as long as the registry runs, and to others only while we listen.
- A node we hear for the first time is answered at once, so that it knows us before it decides.
- Fields that are not known here are ignored: they may be a later version's. A message that is
  none of these goes on to `pass_on`, for a process listens to its bus in one place.

Not here: what follows from a change (which worker takes which partition).
"""

import asyncio
import logging
import math
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from broker.clock import Clock, SystemClock
from broker.errors import BrokerUnavailable
from broker.interface import Bus

SILENT_SECONDS = 6.0
ANNOUNCEMENTS_IN_SILENCE = 3
"""One may get lost, and one be late, before a node counts as gone."""
ANNOUNCE_SECONDS = SILENT_SECONDS / ANNOUNCEMENTS_IN_SILENCE
_SILENT_SECONDS_AT_LEAST, _SILENT_SECONDS_AT_MOST = 1.5, 60.0

NODES_AT_MOST = 10_000
"""More are not seen. Every node hears every other, which the bus would not bear by far."""
MESSAGE_BYTES_AT_MOST = 4096
"""A longer message is none of these, and is not even parsed."""

OVERDUE_ANNOUNCEMENTS = 2.0
"""One was missed: a node that lives is seldom so late, and whoever can ask another does."""

# One announcement missed: from then on we may be the ones who hear nothing. Two more would be
# too late, for others may have been silent for one announcement longer than we.
_HEARS_ITSELF_ANNOUNCEMENTS = 1.5
# How late a silent node is noticed, and how many newcomers one announcement answers.
_TICK_SECONDS = 0.25
_LEAVE_SECONDS = 1.0
_FIRST_RETRY_SECONDS = 0.2
_LAST_RETRY_SECONDS = 5.0
_LAST_RETRY_DOUBLINGS = 5

_log = logging.getLogger(__name__)


class Node(msgspec.Struct, frozen=True):
    """A process of the deployment."""

    id: str
    """Its address on the bus: random, new at each start."""
    role: str
    """What it is: `front` or `worker`."""
    name: str
    """What people call it."""
    lanes: tuple[str, ...]
    """The lanes it works for."""
    started_seconds: float
    """When it started, by its own wall clock."""
    standing: int = 0
    """How often it has become a partition's owner, or taken its stand as one; 0 for not yet."""
    silent_seconds: float = SILENT_SECONDS
    """Silence after which it counts as gone; it announces itself three times as often."""
    has_app: bool = False
    """Whether it can ask the team's handlers."""

    @property
    def announce_seconds(self) -> float:
        """How often it says that it is live."""
        return self.silent_seconds / ANNOUNCEMENTS_IN_SILENCE


class _Alive(msgspec.Struct, frozen=True, tag_field="kind", tag="alive"):
    node: Node


class _Left(msgspec.Struct, frozen=True, tag_field="kind", tag="left"):
    id: str


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[_Alive | _Left] = msgspec.json.Decoder(_Alive | _Left)


class Registry:
    """The live nodes as this process knows them; `open_registry` keeps it up to date."""

    def __init__(
        self,
        bus: Bus,
        node: Node,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        pass_on: Callable[[bytes], None],
    ) -> None:
        self.node = node
        self._bus = bus
        self._clock = clock
        self._jitter = jitter
        self._pass_on = pass_on
        self._alive = _announcement(node)
        self._others: dict[str, Node] = {}
        self._heard_seconds: dict[str, float] = {}
        self._heard_self_seconds = -math.inf
        self._is_listening = False
        self._announce_at_seconds = 0.0
        self._version = 0
        self._changed = asyncio.Event()
        self._is_full = False

    def update(self, node: Node) -> None:
        """Have this process known as `node` from now on: the same process in another state.

        Raises:
            ValueError: its description is too long for a message.
        """
        self._alive = _announcement(node)
        self.node = node
        self._announce_soon()
        self._notify()

    def live(self, role: str | None = None) -> list[Node]:
        """Give the live nodes, this one among them, ordered by id; of one role, if it is given."""
        nodes = [self.node, *self._others.values()]
        return sorted(
            (node for node in nodes if role is None or node.role == role), key=lambda node: node.id
        )

    def overdue(self) -> set[str]:
        """Give the ids of live nodes that have not been heard when they should have been.

        They may be gone, and will count so before long. Nobody is, if we may be the ones who hear
        nothing.
        """
        if not self._hears_itself():
            return set()
        now = self._clock.monotonic()
        return {
            id_
            for id_, heard in self._heard_seconds.items()
            if now - heard > OVERDUE_ANNOUNCEMENTS * _announces_seconds(self._others[id_])
        }

    async def changes(self) -> AsyncIterator[Sequence[Node]]:
        """Give the live nodes now, and again after each change; changes in between are joined.

        Cancelling: loses nothing.
        """
        seen = -1
        while True:
            while seen == self._version:
                await self._changed.wait()
            seen = self._version
            yield self.live()

    async def run(self) -> None:
        """Announce this process and listen to the others until cancelled.

        Raises:
            TopologyProblem: in an exception group; the broker has no bus.

        Cancelling: others believe us live for some seconds, unless `leave` is called.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._keep_time())

    async def leave(self) -> None:
        """Tell the others, if that is possible at once, that this process is no longer there."""
        with suppress(BrokerUnavailable, TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._bus.broadcast(_encoder.encode(_Left(self.node.id)))

    async def _listen(self) -> None:
        failures = 0
        while True:
            with suppress(BrokerUnavailable):
                async with self._bus.listen() as bodies:
                    failures = 0
                    self._start_hearing()
                    async for body in bodies:
                        self._hear(body)
            self._is_listening = False
            await self._clock.sleep(self._retry_seconds(failures))
            failures += 1

    def _retry_seconds(self, failures: int) -> float:
        doublings = min(failures, _LAST_RETRY_DOUBLINGS)
        longest = min(_LAST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2.0**doublings)
        return longest * (0.5 + 0.5 * self._jitter())

    async def _keep_time(self) -> None:
        while True:
            if self._is_listening and self._clock.monotonic() >= self._announce_at_seconds:
                await self._announce()
            self._forget_silent()
            await self._clock.sleep(_TICK_SECONDS)

    async def _announce(self) -> None:
        # Before the broadcast: a newcomer heard meanwhile needs another one.
        self._announce_at_seconds = self._clock.monotonic() + self.node.announce_seconds
        # No timeout: while the broker holds publishers back, nothing else is to be done here.
        with suppress(BrokerUnavailable):
            await self._bus.broadcast(self._alive)

    def _announce_soon(self) -> None:
        self._announce_at_seconds = self._clock.monotonic()

    def _start_hearing(self) -> None:
        self._is_listening = True
        self._announce_soon()
        self._excuse_silence()

    def _hear(self, body: bytes) -> None:
        match _decode(body):
            case _Alive(node):
                self._hear_alive(node)
            case _Left(node_id):
                self._forget([node_id])
            case None:
                self._pass_on(body)

    def _hear_alive(self, node: Node) -> None:
        if node.id == self.node.id:
            self._hear_self()
            return
        if node.id not in self._others:
            if len(self._others) + 1 >= NODES_AT_MOST:
                self._warn_full()
                return
            self._announce_soon()
        self._heard_seconds[node.id] = self._clock.monotonic()
        if self._others.get(node.id) != node:
            self._others[node.id] = node
            self._notify()

    def _hear_self(self) -> None:
        if not self._hears_itself():
            self._excuse_silence()
        self._heard_self_seconds = self._clock.monotonic()

    def _hears_itself(self) -> bool:
        patience_seconds = _HEARS_ITSELF_ANNOUNCEMENTS * self.node.announce_seconds
        return self._clock.monotonic() - self._heard_self_seconds <= patience_seconds

    def _excuse_silence(self) -> None:
        """Begin anew to count how long the others have been silent."""
        self._heard_seconds = dict.fromkeys(self._others, self._clock.monotonic())

    def _forget_silent(self) -> None:
        if not self._hears_itself():
            return
        now = self._clock.monotonic()
        self._forget(
            [
                id_
                for id_, heard in self._heard_seconds.items()
                if now - heard > self._patience_seconds(self._others[id_])
            ]
        )

    def _patience_seconds(self, node: Node) -> float:
        # Whoever announces itself more often than we do is judged as we are: it takes us so long
        # to notice that we hear nothing.
        return max(_bounded_silence(node), self.node.silent_seconds)

    def _forget(self, node_ids: Sequence[str]) -> None:
        gone = [node_id for node_id in node_ids if self._others.pop(node_id, None) is not None]
        for node_id in gone:
            del self._heard_seconds[node_id]
        if gone:
            self._is_full = False
            self._notify()

    def _notify(self) -> None:
        self._version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _warn_full(self) -> None:
        if not self._is_full:
            self._is_full = True
            _log.warning("more than %d nodes on the bus: some are not seen", NODES_AT_MOST)


def _bounded_silence(node: Node) -> float:
    return min(max(node.silent_seconds, _SILENT_SECONDS_AT_LEAST), _SILENT_SECONDS_AT_MOST)


def _announces_seconds(node: Node) -> float:
    return _bounded_silence(node) / ANNOUNCEMENTS_IN_SILENCE


def _announcement(node: Node) -> bytes:
    body = _encoder.encode(_Alive(node))
    if len(body) > MESSAGE_BYTES_AT_MOST:
        raise ValueError(f"announcing {node.name!r} takes more than {MESSAGE_BYTES_AT_MOST} B")
    return body


def _decode(body: bytes) -> _Alive | _Left | None:
    if len(body) > MESSAGE_BYTES_AT_MOST:
        return None
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _ignore(_: bytes) -> None:
    """What becomes of other messages in a process that expects none."""


@asynccontextmanager
async def open_registry(
    bus: Bus,
    node: Node,
    *,
    clock: Clock | None = None,
    jitter: Callable[[], float] = random.random,
    pass_on: Callable[[bytes], None] = _ignore,
) -> AsyncIterator[Registry]:
    """Take part: announce this process and know the others, until left.

    It needs no connection to begin with, and outlives lost ones. `pass_on` gets what else is on
    the bus; it must neither wait nor raise.

    Raises:
        ValueError: the node's description is too long for a message.
        TopologyProblem: in an exception group; the broker has no bus.
    """
    registry = Registry(bus, node, clock=clock or SystemClock(), jitter=jitter, pass_on=pass_on)
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(registry.run())
            try:
                yield registry
            finally:
                running.cancel()
    finally:
        await registry.leave()
