"""Which entries already have their outcome.

A queue gives batches again after a worker died, and sometimes in another order; a rejected
batch's number is missing for ever. So settled numbers are kept exactly, not as a bare maximum:
per producer the last `NUMBERS_KEPT`, of the producers the last `PRODUCERS_KEPT`. What is lower
counts as settled.

Rules: bounded by counts and never by time: a batch may wait in the pool for as long as it takes.
"""

from collections import OrderedDict

import msgspec

from broker.record import Outcomes

# More than a worker lets a producer's batches go ahead of one whose entries are not all settled,
# and more than its prefetch: no batch that can still be delivered is so far behind the highest.
# As bits they are 128 bytes a producer.
NUMBERS_KEPT = 1_024
PRODUCERS_KEPT = 4_096

_NUMBERS_MASK = (1 << NUMBERS_KEPT) - 1


class ProducerState(msgspec.Struct, frozen=True, array_like=True):
    """One producer's settled numbers as a snapshot keeps them; bit sets as hexadecimal."""

    producer: str
    highest: int
    whole: str
    partial: dict[str, str]


class _Producer:
    __slots__ = ("highest", "partial", "whole")

    def __init__(self, highest: int = 0, whole: int = 0) -> None:
        self.highest = highest
        self.whole = whole
        """Bit i: all entries of batch `highest - i` are settled."""
        self.partial: dict[int, int] = {}
        """Batches with some entries settled: bit i for entry i."""

    def age(self, number: int) -> int:
        return self.highest - number

    def mark_whole(self, number: int) -> None:
        age = self.age(number)
        if age >= NUMBERS_KEPT:
            return
        if age < 0:
            # Not a shift by any amount: the number is what somebody wrote into a batch.
            self.whole = (self.whole << min(-age, NUMBERS_KEPT)) & _NUMBERS_MASK
            self.highest = number
            age = 0
            if self.partial:
                self._forget_old_partial()
        self.whole |= 1 << age
        self.partial.pop(number, None)

    def mark_some(self, number: int, size: int, entries: int) -> None:
        if self.age(number) >= NUMBERS_KEPT:
            return
        known = self.partial.get(number, 0) | entries
        if known == (1 << size) - 1:
            self.mark_whole(number)
        else:
            self.partial[number] = known

    def _forget_old_partial(self) -> None:
        for number in [n for n in self.partial if self.age(n) >= NUMBERS_KEPT]:
            del self.partial[number]


class SettledNumbers:
    """The settled entries of all producers of one partition."""

    def __init__(self) -> None:
        self._producers: OrderedDict[str, _Producer] = OrderedDict()

    def clear(self) -> None:
        """Know of none."""
        self._producers.clear()

    def mark(self, outcomes: Outcomes) -> None:
        """Take note of outcomes that a record which counted brought."""
        producer = self._producers.get(outcomes.producer)
        if producer is None:
            producer = self._producers[outcomes.producer] = _Producer()
            if len(self._producers) > PRODUCERS_KEPT:
                self._producers.popitem(last=False)
        else:
            self._producers.move_to_end(outcomes.producer)
        count = len(outcomes.outcomes)
        if count >= outcomes.size:
            producer.mark_whole(outcomes.number)
        else:
            entries = ((1 << count) - 1) << outcomes.first
            producer.mark_some(outcomes.number, outcomes.size, entries)

    def is_whole(self, producer: str, number: int) -> bool:
        """Tell whether every entry of a batch has its outcome."""
        known = self._producers.get(producer)
        if known is None:
            return False
        age = known.age(number)
        return age >= NUMBERS_KEPT or (age >= 0 and bool(known.whole >> age & 1))

    def has_any(self, producer: str, number: int) -> bool:
        """Tell whether some entry of a batch has its outcome."""
        known = self._producers.get(producer)
        return known is not None and (number in known.partial or self.is_whole(producer, number))

    def has(self, producer: str, number: int, entry: int) -> bool:
        """Tell whether one entry of a batch has its outcome."""
        if self.is_whole(producer, number):
            return True
        known = self._producers.get(producer)
        return known is not None and bool(known.partial.get(number, 0) >> entry & 1)

    def states(self) -> list[ProducerState]:
        """Give what a snapshot keeps, least recently heard producers first."""
        return [
            ProducerState(
                name, p.highest, f"{p.whole:x}", {str(n): f"{e:x}" for n, e in p.partial.items()}
            )
            for name, p in self._producers.items()
        ]

    def restore(self, states: list[ProducerState]) -> None:
        """Go on from what a snapshot kept.

        Raises:
            ValueError: a bit set is no hexadecimal number.
        """
        self._producers.clear()
        for state in states:
            producer = _Producer(state.highest, int(state.whole, 16))
            producer.partial = {int(n): int(e, 16) for n, e in state.partial.items()}
            self._producers[state.producer] = producer
