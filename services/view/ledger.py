"""Which records of a log count.

Several workers may believe that a partition is theirs: one was frozen and wakes up, a network
broke. The queue decides who should work, but only the log decides who may, and everybody who
reads it comes to the same judgement:

- A Fence always counts. Its writer is the log's owner until the next Fence.
- A Settled counts if its `after` is the position of the last record that counted, if the last
  Fence is the one that its writer knew, and if it is not too far behind it. So of several writers
  that append after the same record only the first is heard, and a Fence silences everybody who has
  not read it.
- An `after` beyond the last record that counted means that this reader has missed something; a
  Fence has one too, for that alone.

Rules: a reader that starts in the middle of a log cannot judge anything before the first Fence
it meets, and ignores it. It finds one, because an owner appends a Fence at least every
`FENCE_EVERY_POSITIONS` and readers start `READ_EARLY_POSITIONS` early.
"""

from enum import Enum

import msgspec

from broker.interface import Position
from broker.record import Fence, Record

FENCE_EVERY_POSITIONS = 500
"""How far an owner lets the log grow before it appends a fresh Fence."""

SETTLED_WITHIN_POSITIONS = 1_000
"""How far behind the last Fence a Settled may be. Twice the above, because others' records that
do not count move positions too; and a reader that starts this much early meets a Fence first."""

READ_EARLY_POSITIONS = SETTLED_WITHIN_POSITIONS
READ_EARLY_SECONDS = 60.0


class Judgement(Enum):
    """What a record is to its reader."""

    FENCE = "fence"
    CUT = "cut"
    """A Fence that begins a new epoch: every channel starts afresh."""
    COUNTS = "counts"
    IGNORED = "ignored"
    MISSED = "missed"
    """What it follows was never read. A Fence counts all the same, a Settled does not."""


class LedgerState(msgspec.Struct, frozen=True, array_like=True):
    """A ledger as a snapshot keeps it."""

    head: Position
    fence_position: Position
    fence: Fence
    epoch: str
    log_seconds: int


class Ledger:
    """One reader's judgement of one log, so far."""

    __slots__ = ("_is_epoch_certain", "epoch", "fence", "fence_position", "head", "log_seconds")

    def __init__(self) -> None:
        self.head: Position = -1
        """The position of the last record that counted; -1 before the first Fence."""
        self.fence: Fence | None = None
        self.fence_position: Position = -1
        self.epoch = ""
        self.log_seconds = 0
        """Log time: the greatest wall time a Fence has shown so far."""
        self._is_epoch_certain = False

    def judge(self, position: Position, record: Record) -> Judgement:
        """Take the next record of the log and say what it is."""
        if isinstance(record, Fence):
            return self._take_fence(position, record)
        if self.fence is None or record.after < self.head:
            return Judgement.IGNORED
        if record.after > self.head:
            # A writer only names what it has read; holes in the positions are no records.
            return Judgement.MISSED
        if position - self.fence_position > SETTLED_WITHIN_POSITIONS:
            return Judgement.IGNORED
        if record.nonce and record.nonce != self.fence.nonce:
            # Its `after` was a position of a log that has lost its tail since.
            return Judgement.IGNORED
        self.head = position
        self._is_epoch_certain = True
        return Judgement.COUNTS

    def _take_fence(self, position: Position, fence: Fence) -> Judgement:
        is_new_epoch = fence.epoch != self.epoch and (
            fence.cut
            # A Fence of a writer that had not read the last cut yet names the epoch before it.
            # That writer appends nothing but another Fence; who happened to start reading
            # between the two took the wrong epoch from the first, and corrects it here. Who has
            # read the cut itself, or a record that counts, knows better than such a Fence.
            or not self._is_epoch_certain
        )
        # Its writer had read further than we, and it is no writer of a log that this one replaced.
        has_missed = self.fence is not None and self.head < fence.after < position
        if is_new_epoch:
            self.epoch = fence.epoch
        self._is_epoch_certain = self._is_epoch_certain or fence.cut
        self.head = self.fence_position = position
        self.fence = fence
        self.log_seconds = max(self.log_seconds, fence.wall_seconds)
        if is_new_epoch:
            return Judgement.CUT
        return Judgement.MISSED if has_missed else Judgement.FENCE

    def is_fence_due(self, next_position: Position) -> bool:
        """Tell whether the owner must append a Fence before anything else."""
        return next_position - self.fence_position >= FENCE_EVERY_POSITIONS

    def state(self) -> LedgerState:
        """Give what a snapshot keeps. Only after a Fence."""
        if self.fence is None:
            raise AssertionError("a ledger without a Fence has nothing to keep")
        return LedgerState(self.head, self.fence_position, self.fence, self.epoch, self.log_seconds)

    def restore(self, state: LedgerState) -> None:
        """Go on from what a snapshot kept."""
        self.head = state.head
        self.fence = state.fence
        self.fence_position = state.fence_position
        self.epoch = state.epoch
        self.log_seconds = state.log_seconds
        self._is_epoch_certain = True
