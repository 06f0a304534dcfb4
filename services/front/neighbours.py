"""The other processes: which of them are live, what is said to them and what they say.

Rules
- Nothing here makes a client wait for the broker: what is to be said is queued, in order, and what
  the queue has no room for is refused. All of it may get lost; who needs an answer waits for it
  himself, and not for ever.
- One listener a process: who wants a kind of message registers for it here.

Not here: what is said (`presence`, `movements`), how liveness is told (`broker.registry`).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from broker.clock import Clock
from broker.errors import BrokerUnavailable
from broker.interface import Bus
from broker.registry import Node, Registry
from services.front.bus_messages import Message, decode_message, encode_message

FRONT: Final = "front"

# Two of the largest presences there are, or the leaves of some 50,000 subscriptions.
QUEUE_BYTES_AT_MOST: Final = 8 * 1024 * 1024

# Who is heard for the first time is answered within a tick of the registry (0.25 s); twice that,
# and as much again for a loop that is busy starting.
SETTLING_SECONDS: Final = 1.0

_LEAVE_SECONDS: Final = 1.0
_ALL: Final = ""

Told = TypeVar("Told", bound=Message)


class Neighbours:
    """A front's side of the bus."""

    def __init__(self, bus: Bus, node: Node, *, clock: Clock, jitter: Callable[[], float]) -> None:
        self.id: Final = node.id
        """This process's own address."""
        self._bus = bus
        self._clock = clock
        self._registry = Registry(bus, node, clock=clock, jitter=jitter, pass_on=self._hear)
        self._handlers: dict[type, Callable[[Any], None]] = {}
        self._queue: deque[tuple[str, bytes]] = deque()
        self._queue_bytes = 0
        self._has_queued = asyncio.Event()
        self._began_seconds: float | None = None

    @property
    def is_settled(self) -> bool:
        """Whether this process has run for long enough to know all the others."""
        began = self._began_seconds
        return began is not None and self._clock.monotonic() - began >= SETTLING_SECONDS

    def fronts(self) -> set[str]:
        """Give the other live fronts' ids."""
        return {node.id for node in self._registry.live(FRONT)} - {self.id}

    def with_app(self) -> set[str]:
        """Give the ids of the live workers that have the team's handlers."""
        return {node.id for node in self._registry.live() if node.has_app}

    def overdue(self) -> set[str]:
        """Give the ids of those that live, as far as is known, and may be gone."""
        return self._registry.overdue()

    def register(self, kind: type[Told], handler: Callable[[Told], None]) -> None:
        """Have `handler`, which neither waits nor raises, called for each message of a kind."""
        self._handlers[kind] = handler

    def broadcast(self, message: Message) -> bool:
        """Queue a message to all, this process too; False if there is no room. Never waits."""
        return self._offer(_ALL, encode_message(message))

    def send(self, node_id: str, message: Message) -> bool:
        """Queue a message to one process; False if there is no room. Never waits."""
        return self._offer(node_id, encode_message(message))

    async def run(self) -> None:
        """Know the others, hear and send, until cancelled.

        Raises:
            TopologyProblem: in an exception group; the broker has no bus.

        Cancelling: what is queued stays; `leave` sends it.
        """
        self._began_seconds = self._clock.monotonic()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._registry.run())
            tasks.create_task(self._send_queued())

    async def leave(self) -> None:
        """Say what is queued, and that this process is gone, if that is possible at once."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                while self._queue:
                    await self._send_next()
        await self._registry.leave()

    def _offer(self, node_id: str, body: bytes) -> bool:
        if self._queue_bytes + len(body) > QUEUE_BYTES_AT_MOST:
            return False
        self._queue.append((node_id, body))
        self._queue_bytes += len(body)
        self._has_queued.set()
        return True

    async def _send_queued(self) -> None:
        while True:
            await self._has_queued.wait()
            while self._queue:
                await self._send_next()
            self._has_queued.clear()

    async def _send_next(self) -> None:
        node_id, body = self._queue.popleft()
        self._queue_bytes -= len(body)
        # No timeout: while the broker holds publishers back, everything here waits alike.
        with suppress(BrokerUnavailable):
            if node_id == _ALL:
                await self._bus.broadcast(body)
            else:
                await self._bus.send(node_id, body)

    def _hear(self, body: bytes) -> None:
        message = decode_message(body)
        handler = self._handlers.get(type(message)) if message is not None else None
        if handler is not None:
            handler(message)
