"""What a worker holds of one partition: deliveries, and how far their entries have got.

    delivered ──▶ decided, or asked about ──▶ in a record ──▶ settled, when all of a batch are

An entry that a handler looks at is decided when that one answers; the others of its batch go
on. Of entries of one channel none overtakes another: handlers answer in the order of a channel, and
what is decided enters records in the order of the deliveries.

Rules
- A batch may be delivered more than once. Of its copies that are held at once only the first is
  looked at; all are settled when every entry has its outcome.
- What has its outcome already, from whoever had the partition before, is not looked at again.
- No producer's batches go further ahead of one that is still held than settled numbers are kept
  for: a number that is lower than these counts as settled.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter

from broker.batch import Batch, decode_batch
from broker.errors import UndecodableBody
from broker.interface import Delivery
from broker.partition import Partition
from broker.record import Letter, Replied
from services.view.settled import NUMBERS_KEPT, SettledNumbers
from services.worker.concluding import Concluding, WithPayload
from services.worker.deciding import (
    Deciding,
    Decision,
    ToCut,
    ToHandle,
    ToPublish,
    ToRefuse,
    ToSettle,
)
from services.worker.handling.interface import Handled, Handling
from services.worker.record import DecidedBatch, DecidedEntry

RECORD_ENTRIES_AT_MOST = 1_000
RECORD_BYTES_AT_MOST = 512 * 1024
"""A record holds at least one entry, and further ones as far as these go."""

AHEAD_AT_MOST = NUMBERS_KEPT - 64
"""Of batches, while an earlier one of their producer is held: one of its entries is tried again,
and others go on. Beyond it the partition waits."""

# What names, senders and digits take in a record's index beside each payload.
_AROUND_BYTES = 100

ASKED_AT_MOST = 16_384
"""Entries that handlers look at, beyond which no further batch is taken. One costs 2 KB, here and
in its line; app processes are given 1,024 each."""

_by_place = attrgetter("place")


class HeldDelivery:
    """A delivery, decoded; `batch` is None if it is no batch, and `error` says why."""

    __slots__ = ("batch", "decided", "decided_bytes", "delivery", "error", "is_copy", "is_handled")

    def __init__(self, delivery: Delivery, batch: Batch | None, error: str = "") -> None:
        self.delivery = delivery
        self.batch = batch
        self.error = error
        self.is_copy = False
        self.is_handled = False
        """Whether handlers look at some of it, so that entries are not decided in order."""
        self.decided: list[DecidedEntry] = []
        """Those that are in no record yet."""
        self.decided_bytes = 0


class Held:
    """The deliveries that one claim holds of one partition, in the order in which they came."""

    def __init__(
        self,
        partition: Partition,
        deciding: Deciding,
        concluding: Concluding,
        handling: Handling,
        settled: SettledNumbers,
        has_decided: Callable[[], None],
    ) -> None:
        """Call `has_decided` when handlers have answered."""
        self._partition = partition
        self._deciding = deciding
        self._concluding = concluding
        self._handling = handling
        self._settled = settled
        self._has_decided = has_decided
        self._deliveries: dict[int, HeldDelivery] = {}
        self._ready_entries = 0
        self._ready_bytes = 0
        self._asked = 0
        """Entries that handlers look at now."""
        self._has_asked = False
        self._open: dict[str, set[int]] = {}
        """The numbers of the batches that are held and not settled, by producer."""
        self._far: HeldDelivery | None = None
        """The last one that was taken, if it is too far ahead to be looked at."""

    @property
    def has_record(self) -> bool:
        """Whether as much is decided as goes into a record."""
        return (
            self._ready_entries >= RECORD_ENTRIES_AT_MOST
            or self._ready_bytes >= RECORD_BYTES_AT_MOST
        )

    @property
    def is_unfinished(self) -> bool:
        """Whether handlers look at something now, or what they said is in no record yet."""
        return self._asked > 0 or (self._has_asked and self._ready_entries > 0)

    @property
    def has_room(self) -> bool:
        """Whether more may be taken; not if a batch waits that is too far ahead of another one."""
        return self._far is None and self._asked < ASKED_AT_MOST and not self.has_record

    def take(self, delivery: Delivery) -> None:
        """Hold a delivery: decide its entries, or have handlers look at them."""
        held = _decode(delivery)
        self._deliveries[delivery.tag] = held
        if held.batch is None:
            return
        if self._is_far(held.batch):
            self._far = held
        else:
            self._begin(held, held.batch)

    def _is_far(self, batch: Batch) -> bool:
        # Numbers of batches that were refused are missing, as many as there were while a pool was
        # full: the next one may be any number ahead.
        numbers = self._open.get(batch.producer)
        return numbers is not None and batch.number - min(numbers) > AHEAD_AT_MOST

    def _begin(self, held: HeldDelivery, batch: Batch) -> None:
        known = batch.producer, batch.number
        numbers = self._open.get(batch.producer)
        held.is_copy = numbers is not None and batch.number in numbers
        if held.is_copy or not batch.entries or self._settled.is_whole(*known):
            return
        self._open.setdefault(batch.producer, set()).add(batch.number)
        has_some = self._settled.has_any(*known)
        decide = self._deciding.decide_again if batch.is_unheard else self._deciding.decide
        for place, entry in enumerate(batch.entries):
            if has_some and self._settled.has(*known, place):
                continue
            decision = decide(entry, self._partition)
            if isinstance(decision, ToHandle):
                held.is_handled = True
                self._ask(held, batch, place, decision)
            else:
                held.decided.append(DecidedEntry(place, decision))
        self._count(held, len(held.decided), len(held.delivery.body))

    def cut_asked(self, epoch: str) -> bool:
        """Tell whether an entry that is decided asks for the end of this epoch."""
        return any(
            type(entry.decision) is ToCut and entry.decision.epoch == epoch
            for held in self._deliveries.values()
            for entry in held.decided
        )

    def take_decided(self) -> list[DecidedBatch]:
        """Give what goes into the next record, and hold it as decided no more."""
        batches: list[DecidedBatch] = []
        entries = size_bytes = 0
        for held in self._deliveries.values():
            if not held.decided or held.batch is None:
                continue
            entries += len(held.decided)
            size_bytes += held.decided_bytes
            is_too_much = entries > RECORD_ENTRIES_AT_MOST or size_bytes > RECORD_BYTES_AT_MOST
            if batches and is_too_much:
                break
            batches.append(DecidedBatch(held.batch, self._take_from(held)))
            if is_too_much or held.decided:
                # What is left of it goes before what stands behind it.
                break
        return batches

    def take_settled(self) -> list[HeldDelivery]:
        """Give the deliveries with nothing left to do, and hold them no more."""
        done = [held for held in self._deliveries.values() if self._is_settled(held)]
        for held in done:
            del self._deliveries[held.delivery.tag]
            if held.batch is not None and not held.is_copy:
                self._close(held.batch)
        self._go_on()
        return done

    def _close(self, batch: Batch) -> None:
        numbers = self._open.get(batch.producer)
        if numbers is not None:
            numbers.discard(batch.number)
            if not numbers:
                del self._open[batch.producer]

    def _go_on(self) -> None:
        """Look at the batch that was too far ahead, once it is no more."""
        far = self._far
        if far is None or far.batch is None or self._is_far(far.batch):
            return
        self._far = None
        if far.delivery.tag in self._deliveries:
            self._begin(far, far.batch)
            self._has_decided()

    def _take_from(self, held: HeldDelivery) -> Sequence[DecidedEntry]:
        decided = held.decided
        self._ready_entries -= len(decided)
        self._ready_bytes -= held.decided_bytes
        held.decided, held.decided_bytes = [], 0
        if held.is_handled:
            decided.sort(key=_by_place)
            # What handlers do besides may be much.
            fitting = _count_fitting(decided)
            held.decided = decided[fitting:]
            self._count(held, len(held.decided), sum(map(_size_bytes, held.decided)))
            return decided[:fitting]
        return decided

    def _is_settled(self, held: HeldDelivery) -> bool:
        batch = held.batch
        if batch is None or not batch.entries:
            return True
        return self._settled.is_whole(batch.producer, batch.number)

    def _count(self, held: HeldDelivery, entries: int, size_bytes: int) -> None:
        held.decided_bytes += size_bytes
        self._ready_entries += entries
        self._ready_bytes += size_bytes

    def _ask(self, held: HeldDelivery, batch: Batch, place: int, asked: ToHandle) -> None:
        # The same for every copy, and for every worker that may have the partition. What is done
        # again from a dead letter keeps the key of its first life.
        key = f"{batch.producer}/{self._partition.name}/{batch.number}/{place}"
        if batch.is_unheard and asked.entry.key:
            key = asked.entry.key

        def hear(handled: Handled) -> None:
            self._asked -= 1
            decided = DecidedEntry(place, *self._concluding.conclude(asked, handled, batch, key))
            held.decided.append(decided)
            self._count(held, 1, _size_bytes(decided))
            self._has_decided()

        self._asked += 1
        self._has_asked = True
        self._handling.ask(self, asked.question(key), hear)


def _decode(delivery: Delivery) -> HeldDelivery:
    try:
        return HeldDelivery(delivery, decode_batch(delivery.body))
    except UndecodableBody as error:
        return HeldDelivery(delivery, None, str(error))


def _size_bytes(decided: DecidedEntry) -> int:
    """About what an entry takes in a record, with all that follows from it."""
    own = _AROUND_BYTES + _decision_bytes(decided.decision)
    return own + sum(map(_sequel_bytes, decided.sequels)) if decided.sequels else own


def _decision_bytes(decision: Decision) -> int:
    if isinstance(decision, ToPublish):
        return len(decision.entry.payload)
    if isinstance(decision, ToRefuse):
        return len(decision.outcome.message)
    if isinstance(decision, ToSettle) and isinstance(decision.outcome, Replied):
        # It stands in the index, in base64.
        return 4 * len(decision.outcome.data) // 3
    return 0


def _sequel_bytes(sequel: WithPayload) -> int:
    # Not the payload alone: a handler may publish a byte a hundred times, and failures are told in
    # words.
    told = len(sequel.sequel.explanation) if isinstance(sequel.sequel, Letter) else 0
    return _AROUND_BYTES + len(sequel.payload) + told


def _count_fitting(decided: Sequence[DecidedEntry]) -> int:
    size_bytes = 0
    for fitting, entry in enumerate(decided):
        size_bytes += _size_bytes(entry)
        if fitting and size_bytes > RECORD_BYTES_AT_MOST:
            return fitting
    return len(decided)
