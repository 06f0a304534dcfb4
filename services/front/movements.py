"""Joins and leaves: told to those who want to know, on every front, at most once.

    a client subscribes, or leaves ──▶ noted ──end of the turn──▶ subscribers here
                                                          └─bus─▶ other fronts ──▶ subscribers there

Rules
- Per channel and front in order. A subscriber hears what happens from its own join on, that one
  included; of its own leave it hears nothing.
- What happens in one turn of the loop travels in one message, and leaves for a subscriber joined.
- Everything that waits is bounded; what there is no room for is not told, and counted. Presence is
  what a client asks when it wants to be sure.
- Large channels are served in slices, one a turn of the loop.

Not here: who may want to know (`permissions`), who is there (`presence`).
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from services.front.addresses import Addresses
from services.front.bus_messages import Moved, Movement, divide
from services.front.encoding import FRAME_BYTES_AT_MOST, Encoding
from services.front.fanout import SLICE_SESSIONS
from services.front.hub import Subscription
from services.front.measures import Measures
from services.front.neighbours import Neighbours
from services.front.presence import Presence
from services.wire.errors import Disconnect
from services.wire.reply import JoinPush, LeavePush

# Some 20,000 movements, which is what a front's end in one turn may be; each of the two.
NOTED_BYTES_AT_MOST: Final = 4 * 1024 * 1024
WAITING_BYTES_AT_MOST: Final = 4 * 1024 * 1024


class _Frame(NamedTuple):
    """Some movements of a channel, on their way to those who wanted to know when they happened."""

    content: bytes
    listeners: list[Subscription]


class Movements:
    """Tells who came and who left."""

    def __init__(
        self,
        addresses: Addresses,
        neighbours: Neighbours,
        presence: Presence,
        measures: Measures,
    ) -> None:
        self._addresses = addresses
        self._neighbours = neighbours
        self._presence = presence
        self._measures = measures
        self._listeners: dict[str, set[Subscription]] = {}
        self._noted: list[Movement] = []
        self._noted_bytes = 0
        self._waiting: deque[_Frame] = deque()
        self._waiting_bytes = 0
        self._has_waiting = asyncio.Event()
        neighbours.register(Moved, self._hear)

    def join(self, subscription: Subscription) -> None:
        """Tell that a client follows a channel now. Its subscribe has been answered."""
        if subscription.hears_movements:
            self._listeners.setdefault(subscription.channel, set()).add(subscription)
        if self._is_told(subscription):
            self._note(subscription, is_join=True)

    def leave(self, subscription: Subscription) -> None:
        """Tell that it no longer does."""
        if subscription.hears_movements:
            listeners = self._listeners.get(subscription.channel)
            if listeners is not None:
                listeners.discard(subscription)
                if not listeners:
                    del self._listeners[subscription.channel]
        if self._is_told(subscription):
            self._note(subscription, is_join=False)

    def _is_told(self, subscription: Subscription) -> bool:
        options = self._addresses.find(subscription.channel).options
        return subscription.override.get("join_leave", options.join_leave)

    async def run(self) -> None:
        """Serve those who want to know until cancelled. Cancelling: what waits is not told."""
        while True:
            await self._has_waiting.wait()
            while self._waiting:
                frame = self._waiting.popleft()
                for start in range(0, len(frame.listeners), SLICE_SESSIONS):
                    self._serve(frame.content, frame.listeners[start : start + SLICE_SESSIONS])
                    await asyncio.sleep(0)
                self._waiting_bytes -= len(frame.content)
            self._has_waiting.clear()

    def _note(self, subscription: Subscription, *, is_join: bool) -> None:
        info = subscription.session.info(subscription.chan_info)
        size_bytes = len(info) + len(subscription.channel)
        if self._noted_bytes + size_bytes > NOTED_BYTES_AT_MOST:
            self._measures.lost_movements.value += 1
            return
        if not self._noted:
            asyncio.get_running_loop().call_soon(self._tell)
        self._noted.append(
            Movement(subscription.channel, is_join, subscription.session.id, msgspec.Raw(info))
        )
        self._noted_bytes += size_bytes

    def _tell(self) -> None:
        noted, self._noted, self._noted_bytes = self._noted, [], 0
        self._push(noted)
        if self._neighbours.is_settled and not self._neighbours.fronts():
            return
        for movements in divide(noted, _size_bytes):
            if not self._neighbours.broadcast(Moved(self._neighbours.id, movements)):
                self._measures.lost_movements.value += len(movements)

    def _hear(self, moved: Moved) -> None:
        if moved.sender == self._neighbours.id:
            return
        # First, so that a presence that is told after a push is not older than it.
        self._presence.amend(moved.movements)
        self._push(moved.movements)

    def _push(self, movements: Sequence[Movement]) -> None:
        by_channel: dict[str, list[Movement]] = {}
        for movement in movements:
            if movement.channel in self._listeners:
                by_channel.setdefault(movement.channel, []).append(movement)
        for channel, its in by_channel.items():
            groups: dict[Encoding, list[Subscription]] = {}
            for listener in self._listeners[channel]:
                groups.setdefault(listener.encoding, []).append(listener)
            for encoding, listeners in groups.items():
                for content, count in _frames(encoding, its):
                    self._wait(_Frame(content, listeners), count)

    def _wait(self, frame: _Frame, count: int) -> None:
        if self._waiting_bytes + len(frame.content) > WAITING_BYTES_AT_MOST:
            self._measures.lost_movements.value += count
            return
        self._waiting.append(frame)
        self._waiting_bytes += len(frame.content)
        self._has_waiting.set()

    @staticmethod
    def _serve(content: bytes, listeners: Sequence[Subscription]) -> None:
        for listener in listeners:
            if listener.is_active and not listener.outbox.offer(content):
                listener.session.disconnect(Disconnect.SLOW)


def _size_bytes(movement: Movement) -> int:
    return len(movement.info) + len(movement.channel)


def _frames(encoding: Encoding, movements: Sequence[Movement]) -> Iterator[tuple[bytes, int]]:
    """One channel's movements as they are sent, each with how many there are in it."""
    pushes: list[bytes] = []
    size_bytes = 0
    for movement in movements:
        kind = JoinPush if movement.is_join else LeavePush
        push = encoding.encode_push(movement.channel, kind(movement.info))
        pushes.append(push)
        size_bytes += len(push)
        if size_bytes >= FRAME_BYTES_AT_MOST:
            yield b"".join(pushes), len(pushes)
            pushes, size_bytes = [], 0
    if size_bytes:
        yield b"".join(pushes), len(pushes)
