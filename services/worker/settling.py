"""Deliveries that have their outcomes: set aside what is no batch, then tell the broker.

Rules
- One task settles, and each delivery once.
- What cannot be set aside is not settled either, for it would be lost; it waits while others go on,
  and is tried again. Too many of them, and the partition is left: a person has to look.

Not here: dead letters of entries, which follow from records (`following_up`).
"""

import time
from collections import deque
from collections.abc import Iterable

import structlog

from broker.errors import BrokerUnavailable, SubmitRefused
from broker.interface import DeadLetter, DeadLetters, DeadReason, Intake
from services.worker.counting import WorkerCounters
from services.worker.held import HeldDelivery

_log = structlog.get_logger(__name__)

WAITING_AT_MOST = 16
"""Of deliveries that cannot be set aside; a quarter of what a worker may hold."""
RETRY_SECONDS = 5.0


class Settling:
    """Settles the deliveries of one intake."""

    def __init__(
        self, intake: Intake, dead: DeadLetters, counters: WorkerCounters, partition: str
    ) -> None:
        self._intake = intake
        self._dead = dead
        self._counters = counters
        self._partition = partition
        self._waiting: deque[HeldDelivery] = deque()
        self._retry_seconds = 0.0

    async def settle(self, held: Iterable[HeldDelivery]) -> None:
        """Settle deliveries whose outcomes have all been read back.

        Raises:
            SubmitRefused: too many could not be set aside.
            BrokerUnavailable: the intake is closed.
        """
        for one in held:
            if one.batch is not None or await self._set_aside(one):
                await self._intake.settle(one.delivery)
                continue
            self._waiting.append(one)
            if len(self._waiting) > WAITING_AT_MOST:
                raise SubmitRefused(f"{len(self._waiting)} deliveries cannot be set aside")

    async def retry(self) -> None:
        """Try again, every few seconds, to set aside what could not be.

        Raises:
            BrokerUnavailable: the intake is closed.
        """
        if not self._waiting or time.monotonic() < self._retry_seconds:
            return
        waiting, self._waiting = self._waiting, deque()
        await self.settle(waiting)

    async def _set_aside(self, one: HeldDelivery) -> bool:
        letter = DeadLetter(one.delivery.body, DeadReason.UNDECODABLE, one.error)
        try:
            await self._dead.set_aside(letter)
        except (SubmitRefused, BrokerUnavailable) as error:
            # Unavailable may be the exchange alone; a lost connection ends the intake anyway.
            self._retry_seconds = time.monotonic() + RETRY_SECONDS
            _log.error("cannot set aside", partition=self._partition, reason=str(error))
            return False
        self._counters.dead.value += 1
        _log.warning("delivery set aside", partition=self._partition, reason=one.error)
        return True
