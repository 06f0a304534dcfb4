"""Deliveries that have their outcomes: set aside what must be kept, then tell the broker.

Rules
- One task settles, in order, and each delivery once.
- What cannot be set aside is not settled either, for it would be lost; it waits while others go on,
  and is tried again. Too many of them, and the partition is left: a person has to look.
"""

import time
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import structlog

from broker.batch import Batch, encode_batch
from broker.errors import BrokerUnavailable, SubmitRefused
from broker.interface import DeadLetters, DeadReason, Delivery, Intake
from services.worker.counting import WorkerCounters
from services.worker.deciding import Decision, ToRefuse

_log = structlog.get_logger(__name__)

WAITING_AT_MOST = 16
"""Of deliveries that cannot be set aside; a quarter of what a worker may hold."""
RETRY_SECONDS = 5.0


class HeldDelivery(NamedTuple):
    """A delivery, decoded and decided; `error` if it is no batch."""

    delivery: Delivery
    batch: Batch | None
    decisions: list[Decision]
    error: str


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
            if await self._set_aside(one):
                self._count(one)
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
        try:
            if one.batch is None:
                await self._dead.set_aside(one.delivery.body, DeadReason.UNDECODABLE, one.error)
                _log.warning("delivery set aside", partition=self._partition, reason=one.error)
            else:
                await self._set_aside_refused(one.batch, one.decisions)
        except (SubmitRefused, BrokerUnavailable) as error:
            # Unavailable may be the exchange alone; a lost connection ends the intake anyway.
            self._retry_seconds = time.monotonic() + RETRY_SECONDS
            _log.error("cannot set aside", partition=self._partition, reason=str(error))
            return False
        return True

    async def _set_aside_refused(self, batch: Batch, decisions: Iterable[Decision]) -> None:
        """Keep what was refused after its sender had been told that it was queued."""
        for entry, decision in zip(batch.entries, decisions, strict=False):
            if type(decision) is ToRefuse and decision.is_kept:
                await self._dead.set_aside(
                    encode_batch(batch.producer, batch.number, [entry]),
                    DeadReason.REFUSED,
                    f"{decision.outcome.code} {decision.outcome.message}",
                )
                self._counters.dead.value += 1

    def _count(self, one: HeldDelivery) -> None:
        self._counters.entries.value += len(one.decisions)
        self._counters.refused.value += sum(type(each) is ToRefuse for each in one.decisions)
        self._counters.dead.value += one.batch is None
