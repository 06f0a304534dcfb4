"""How many publications a channel or a user may make, in the partition's worker: token buckets.

A bucket holds as many publications as the rate's number, and fills evenly in the rate's period. So
that many can come at once, and in any time T no more than the number times 1 + T / period.

Rules
- Pure: the time is given. Exact: whole numbers only.
- A bucket is one number, the moment at which it will be full; one that is full is forgotten.
- It is all in the memory of the process that has the partition. With the next one counting begins
  anew.

Not here: which rate holds for whom, and what is told (`limiting`).
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from services.units import Rate

BUCKETS_AT_MOST: Final = 65_536
"""Of one rate: 10 MB (measured: 160 bytes each), whatever their owners are called."""

_NANOSECONDS: Final = 1_000_000_000


class Buckets:
    """The buckets of one rate, one for each owner: a channel, or a user in it."""

    __slots__ = ("_at_most", "_full", "_period")

    def __init__(self, rate: Rate) -> None:
        """Begin with all of them full."""
        self._at_most = rate.at_most
        self._period = rate.period_seconds * _NANOSECONDS
        # When each will be full, in nanoseconds times the rate's number: one publication is then
        # the period. In the order of their last use. The owner's hash is enough: if two of so many
        # ever had the same one, they would share a bucket.
        self._full: OrderedDict[int, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full)

    def take(self, owner: Hashable, now_nanoseconds: int) -> bool:
        """Take from the owner's bucket; False if there is nothing in it."""
        key, now = hash(owner), now_nanoseconds * self._at_most
        full = max(self._full.get(key, now), now)
        is_taken = full + self._period <= now + self._period * self._at_most
        self._full[key] = full + self._period if is_taken else full
        self._full.move_to_end(key)
        oldest = next(iter(self._full))  # at the most the one just used, which is not full
        if self._full[oldest] <= now or len(self._full) > BUCKETS_AT_MOST:
            del self._full[oldest]
            self._forget_full(now)
        return is_taken

    def _forget_full(self, now: int) -> None:
        """Let one more go, if it is full, so that they go faster than others come."""
        oldest = next(iter(self._full))
        if self._full[oldest] <= now:
            del self._full[oldest]
