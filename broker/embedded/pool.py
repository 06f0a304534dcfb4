"""An inbound queue in memory: what waits, and the intakes of which one is active.

Rules: deliveries are handed to the active intake as they come, up to its bound, as a broker's
prefetch does; so a closed intake gives back, marked as redelivered, also what nobody had taken.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from broker.embedded.signal import Signal
from broker.embedded.travel import Leg, Travel, one_turn
from broker.errors import BrokerUnavailable, SubmitRefused
from broker.interface import Delivery

# What a waiting batch costs beside its body, so that empty ones fill a pool as well.
_MESSAGE_BYTES = 64


class WaitingBatch(NamedTuple):
    """A submitted batch that nobody has settled."""

    body: bytes
    entries: int
    message_id: str
    is_redelivered: bool = False


class StoredPool:
    """One inbound queue; what would take it beyond `limit_bytes` is refused."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self.unsettled = 0
        """How many batches it keeps, waiting or held by an intake."""
        self._ready: deque[WaitingBatch] = deque()
        self._intakes: dict[EmbeddedIntake, None] = {}

    def store(self, batch: WaitingBatch) -> None:
        """Keep a batch at the end of the queue.

        Raises:
            SubmitRefused: there is no room for it.
        """
        size = len(batch.body) + _MESSAGE_BYTES
        if self._bytes + size > self._limit_bytes:
            raise SubmitRefused("the pool is full")
        self._bytes += size
        self.unsettled += 1
        self._ready.append(batch)
        self.hand_out()

    def waiting(self) -> Sequence[WaitingBatch]:
        """What no intake holds, oldest first."""
        return list(self._ready)

    def line(self) -> Sequence[str]:
        """Whose intakes stand in line; the first of them is active."""
        return [intake.node_id for intake in self._intakes]

    def reorder(self, shuffle: Callable[[list[WaitingBatch]], None]) -> None:
        """Change the order of what waits."""
        waiting = list(self._ready)
        shuffle(waiting)
        self._ready = deque(waiting)

    def open_intake(
        self, at_most: int, node_id: str, travel: Travel = one_turn
    ) -> "EmbeddedIntake":
        """Stand in line behind the other intakes."""
        intake = EmbeddedIntake(self, at_most, node_id, travel)
        self._intakes[intake] = None
        self.hand_out()
        return intake

    def hand_out(self) -> None:
        """Give the active intake what it has room for."""
        active = next(iter(self._intakes), None)
        while active is not None and self._ready and active.has_room:
            active.hand(self._ready.popleft())

    def settled(self, batch: WaitingBatch) -> None:
        """Drop a batch for good."""
        self._bytes -= len(batch.body) + _MESSAGE_BYTES
        self.unsettled -= 1
        self.hand_out()

    def leave_line(self, intake: "EmbeddedIntake") -> None:
        """Hand an intake nothing more; the next one is active."""
        self._intakes.pop(intake, None)
        self.hand_out()

    def give_back(self, intake: "EmbeddedIntake", batches: Sequence[WaitingBatch]) -> None:
        """Put a closing intake's batches back in their place; then the next one is active."""
        self._intakes.pop(intake, None)
        self._ready.extendleft(batch._replace(is_redelivered=True) for batch in reversed(batches))
        self.hand_out()


class EmbeddedIntake:
    """The deliveries of one pool, from one consume to its end."""

    def __init__(self, pool: StoredPool, at_most: int, node_id: str, travel: Travel) -> None:
        if at_most < 1:
            raise ValueError("an intake has room for at least one delivery")
        self.node_id = node_id
        self._pool = pool
        self._travel = travel
        self._at_most = at_most
        self._is_closed = False
        self._last_tag = 0
        self._arrived: list[Delivery] = []
        self._unsettled: dict[int, WaitingBatch] = {}
        self._signal = Signal()

    @property
    def has_room(self) -> bool:
        """Whether one more delivery may be handed to it."""
        return len(self._unsettled) < self._at_most

    def hand(self, batch: WaitingBatch) -> None:
        """Deliver a batch."""
        self._last_tag += 1
        self._unsettled[self._last_tag] = batch
        self._arrived.append(Delivery(self._last_tag, batch.body, batch.is_redelivered))
        self._signal.wake()

    async def take(self) -> Sequence[Delivery]:
        """Wait for deliveries; give those that have arrived.

        Raises:
            BrokerUnavailable: the intake is closed.

        Cancelling: nothing is lost.
        """
        await self._travel(Leg.TAKING)
        while not self._is_closed:
            if self._arrived:
                arrived, self._arrived = self._arrived, []
                return arrived
            await self._signal.wait()
            await self._travel(Leg.TAKING)
        raise BrokerUnavailable("the intake was closed")

    async def settle(self, delivery: Delivery) -> None:
        """Tell that the delivery is done with.

        Raises:
            BrokerUnavailable: the intake is closed, or never had this to settle, which closes it
                as an unknown delivery tag does an AMQP channel.
        """
        await self._travel(Leg.SETTLING)
        if self._is_closed:
            raise BrokerUnavailable("the intake was closed")
        batch = self._unsettled.pop(delivery.tag, None)
        if batch is None:
            self.close()
            raise BrokerUnavailable(f"unknown delivery tag {delivery.tag}")
        self._pool.settled(batch)

    def cancel(self) -> None:
        """Take part no longer, but keep what is unsettled until `close`.

        As AMQP 0-9-1 basic.cancel, measured: the next intake gets later batches at once, and these
        only when this one's AMQP channel is closed. Nobody should leave a pool so.
        """
        self._pool.leave_line(self)

    def close(self) -> None:
        """Give everything unsettled back; closing twice is harmless."""
        if self._is_closed:
            return
        self._is_closed = True
        self._arrived.clear()
        unsettled = list(self._unsettled.values())
        self._unsettled.clear()
        self._pool.give_back(self, unsettled)
        self._signal.wake()
