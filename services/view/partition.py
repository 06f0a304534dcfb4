"""What every reader of a log keeps: its ledger, its channels' tops and its keys, folded together.

`fold` takes the next record and returns what it changed; fronts put the publications into their
histories and fan them out, workers mark the entries settled. Both see the same.
"""

from collections.abc import Iterator
from typing import NamedTuple

from broker.interface import Position
from broker.record import Fence, Published, Record, Settled
from services.view.keys import KnownKeys
from services.view.ledger import Judgement, Ledger
from services.view.snapshot import Snapshot
from services.view.tops import Top, Tops


class Change(NamedTuple):
    """What one record meant."""

    judgement: Judgement
    settled: Settled | None
    """The record, if it counts and is no Fence."""
    forgotten: list[str]
    """Channels that have been idle for too long."""


class PartitionView:
    """One reader's state of one partition."""

    __slots__ = ("keys", "ledger", "position", "tops")

    def __init__(self, remember_seconds: int) -> None:
        self.ledger = Ledger()
        self.tops = Tops(remember_seconds)
        self.keys = KnownKeys()
        self.position: Position = -1
        """The last record read, whether it counted or not; -1 before the first."""

    def fold(self, position: Position, record: Record) -> Change:
        """Take the next record of the log.

        MISSED: the view is no longer right, and has to be made anew, unless it was made of all that
        there is: then that is how the log is.
        """
        judgement = self.ledger.judge(position, record)
        self.position = position
        if judgement is Judgement.COUNTS:
            if not isinstance(record, Settled):
                raise AssertionError("only a Settled is judged to count without being a Fence")
            follows = self._advance(record)
            return Change(judgement if follows else Judgement.MISSED, record, [])
        if judgement is Judgement.CUT:
            self.tops.clear()
        elif isinstance(record, Fence):
            self.keys.forget_old(self.ledger.log_seconds)
            return Change(judgement, None, self.tops.forget_idle(self.ledger.log_seconds))
        return Change(judgement, None, [])

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot, in place of the records up to it."""
        for _ in self.restoring(snapshot):
            pass

    def restoring(self, snapshot: Snapshot) -> Iterator[None]:
        """Go on from a snapshot in short steps; only after the last one is the view right."""
        self.ledger.restore(snapshot.ledger)
        self.position = snapshot.position
        yield from self.tops.restoring(snapshot.channels)
        yield from self.keys.restoring(snapshot.keys)

    def _advance(self, record: Settled) -> bool:
        """Whether every publication followed the one before it in its channel."""
        advance, log_seconds = self.tops.advance, self.ledger.log_seconds
        gaps = 0
        for batch in record.batches:
            for outcome in batch.outcomes:
                if type(outcome) is Published:
                    if outcome.offset:
                        gaps += not advance(
                            outcome.channel, outcome.period, outcome.offset, log_seconds
                        )
                    if outcome.key:
                        self.keys.add(outcome.channel, outcome.key, log_seconds)
        for channel, key in record.keys:
            self.keys.add(channel, key, log_seconds)
        return not gaps

    def top(self, channel: str) -> tuple[int, int]:
        """Tell a channel's period and offset."""
        top: Top | None = self.tops.get(channel)
        if top is None:
            return self.tops.current_period(self.ledger.log_seconds), 0
        return top.period, top.offset
