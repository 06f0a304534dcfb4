"""The bus in memory: who listens, and what each has yet to hear.

Rules: at most once; a listener that has fallen `limit_bytes` behind misses what comes then.
"""

from collections import deque
from collections.abc import AsyncIterator

from broker.embedded.signal import Signal
from broker.embedded.travel import Leg, Travel, one_turn
from broker.errors import BrokerUnavailable


class SharedBus:
    """All listeners of all processes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._listeners: dict[str, dict[EmbeddedListener, None]] = {}

    def broadcast(self, body: bytes) -> None:
        """Let every listener hear it."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.offer(body)

    def send(self, node_id: str, body: bytes) -> None:
        """Let one process's listeners hear it, if there are any."""
        for listener in self._listeners.get(node_id, ()):
            listener.offer(body)

    def open_listener(self, node_id: str, travel: Travel = one_turn) -> "EmbeddedListener":
        """Hear from now on what is sent to all, and to this process."""
        listener = EmbeddedListener(self, node_id, self._limit_bytes, travel)
        self._listeners.setdefault(node_id, {})[listener] = None
        return listener

    def forget(self, listener: "EmbeddedListener") -> None:
        """Let a closed listener hear nothing any more."""
        listeners = self._listeners.get(listener.node_id, {})
        listeners.pop(listener, None)
        if not listeners:
            self._listeners.pop(listener.node_id, None)


class EmbeddedListener:
    """What one process hears, in the order in which it was sent."""

    def __init__(self, bus: SharedBus, node_id: str, limit_bytes: int, travel: Travel) -> None:
        self.node_id = node_id
        self._travel = travel
        self._bus = bus
        self._limit_bytes = limit_bytes
        self._heard: deque[bytes] = deque()
        self._heard_bytes = 0
        self._is_closed = False
        self._signal = Signal()

    def offer(self, body: bytes) -> None:
        """Queue a message; lost if the listener is too far behind. Never waits."""
        if self._heard_bytes + len(body) > self._limit_bytes:
            return
        self._heard.append(body)
        self._heard_bytes += len(body)
        self._signal.wake()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Wait for a message.

        Raises:
            BrokerUnavailable: the listener is closed.

        Cancelling: nothing is lost.
        """
        await self._travel(Leg.HEARING)
        while not self._is_closed:
            if self._heard:
                body = self._heard.popleft()
                self._heard_bytes -= len(body)
                return body
            await self._signal.wait()
            await self._travel(Leg.HEARING)
        raise BrokerUnavailable("no longer listening")

    def close(self) -> None:
        """Stop listening; closing twice is harmless."""
        self._is_closed = True
        self._heard.clear()
        self._bus.forget(self)
        self._signal.wake()
