"""Follows one partition's log for as long as the process lives, and keeps its view folded.

A start takes the last snapshot and reads the log from there. A reader that also wants what was
published lately starts earlier and takes from the snapshot, when it comes by its position, only
the channels it has not met. Both end with what reading the whole log would have given.

Rules:
- A record is folded and listened to in one step, without an await: whoever looks at the view sees
  all of it or nothing.
- A log that cannot be read on is read anew, and the listener is told first.
- Who cannot have read of every channel asks for a new epoch: a loss is told.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple, Protocol

import structlog

from broker.errors import BrokerUnavailable, StreamEmpty, TopologyProblem, UndecodableBody
from broker.follow import (
    ContinuityLost,
    Known,
    Loss,
    Prompt,
    follow,
    record_digest,
    verify,
)
from broker.interface import Broker, Position, Since, StoredRecord
from broker.partition import Partition
from broker.record import Fence, Record, decode_record
from services.latest_snapshot import read_latest_snapshot
from services.view.ledger import READ_EARLY_SECONDS, Judgement
from services.view.partition import Change, PartitionView
from services.view.snapshot import Snapshot

_log = structlog.get_logger(__name__)

# Reading a long log at full speed must leave the loop to others now and then. This is some 850
# publications of 300 bytes, at 2 us each of a worker's time and 6 of a front's.
_BYTES_A_TURN = 256 * 1024
_RECORD_BYTES = 4 * 1024
"""What the record itself costs, in bytes of entries."""

_EMPTY_PAUSE_SECONDS = 5.0

_DOUBT_SECONDS = 30.0
"""How long a record that must be there is waited for: a replica that starts anew catches up."""

_FIRST_RECORDS_SECONDS = 5.0
"""How long a read from a moment on may stay silent: clocks that disagree put it past the end."""


class LogListener(Protocol):
    """Who is told what is read."""

    def restarted(self, view: PartitionView, snapshot: Snapshot | None) -> None:
        """Reading begins with this view; what was known before counts no more.

        The view already holds the snapshot, if one is given.
        """

    def folded(self, stored: StoredRecord, record: Record, change: Change) -> None:
        """A record was folded into the view."""

    def continuity_lost(self, loss: Loss) -> None:
        """The log cannot be read on; reading begins anew."""

    async def ready(self) -> None:
        """Wait until more may be folded."""


class LogReader:
    """One partition's log, followed."""

    def __init__(
        self,
        broker: Broker,
        partition: Partition,
        *,
        partitions: int,
        remember_seconds: int,
        listener: LogListener,
        history_seconds: float = 0.0,
        catch_up_seconds: float = 30.0,
        wall_seconds: Callable[[], float] = time.time,
    ) -> None:
        """Start `history_seconds` back in the log, unless reading that takes too long."""
        self.partition = partition
        self.view = PartitionView(remember_seconds)
        self.is_caught_up = asyncio.Event()
        self.epoch_to_end: str | None = None
        """The epoch of a log that turned out to be rewritten, until another one was read."""
        self._broker = broker
        self._partitions = partitions
        self._remember_seconds = remember_seconds
        self._listener = listener
        self._history_seconds = history_seconds
        self._catch_up_seconds = catch_up_seconds
        self._wall_seconds = wall_seconds
        self._reads_all = False
        """Whether the view is being made of everything that is kept of the log."""
        self._first_seconds: int | None = None
        """Then: the log time before which channels may be unknown; None if there are none."""
        self._turn_bytes = 0
        self._prompt = Prompt()
        self._unread: bytes | None = None
        self._doubt_until_seconds = 0.0

    def reopen(self) -> None:
        """Open the log anew and go on where it was read to: there should be more than was heard."""
        self._prompt.reopen()

    def doubt(self, unread: bytes) -> None:
        """As `reopen`, and count as caught up only when a record that must be there was read.

        Not for ever, for the log may lose it yet: then what there is has to do.
        """
        self._unread = unread
        self._doubt_until_seconds = time.monotonic() + _DOUBT_SECONDS
        self.is_caught_up.clear()
        self.reopen()

    async def run(self) -> None:
        """Follow the log until cancelled.

        Raises:
            TopologyProblem: the log is not there, or has another number of partitions.
        """
        with_snapshot, with_history = True, self._history_seconds > 0
        while True:
            try:
                await self._read(with_snapshot=with_snapshot, with_history=with_history)
            except StreamEmpty as error:
                _log.warning(
                    "a log holds nothing: run 'forebay topology apply'",
                    partition=self.partition.name,
                    reason=str(error),
                )
                await asyncio.sleep(_EMPTY_PAUSE_SECONDS)
            except BrokerUnavailable as error:
                _log.debug("log not read", partition=self.partition.name, reason=str(error))
                await asyncio.sleep(random.uniform(0.1, 0.5))
            except _SnapshotUnusable as unusable:
                _log.warning(
                    "snapshot not used", partition=self.partition.name, reason=str(unusable)
                )
                with_snapshot = False
                self._lose(unusable.loss, unusable.epoch)
            except _CatchUpTooSlow:
                _log.warning(
                    "older publications are left out: reading the log took too long",
                    partition=self.partition.name,
                    setting="channel.catch_up_seconds",
                )
                with_history = False
            except ContinuityLost as lost:
                _log.error(
                    "log rewritten or overtaken",
                    partition=self.partition.name,
                    loss=lost.loss.value,
                )
                self._listener.continuity_lost(lost.loss)
                self._lose(lost.loss, self.view.ledger.epoch)
                # A snapshot of a log as it was would lead here again. One of a log that went on too
                # fast spares reading all of that, as at the start.
                with_snapshot = lost.loss is Loss.OVERTAKEN
                with_history = self._history_seconds > 0

    def _lose(self, loss: Loss, epoch: str) -> None:
        if loss is Loss.REWRITTEN and epoch:
            self.epoch_to_end = epoch
        self.is_caught_up.clear()

    async def _read(self, *, with_snapshot: bool, with_history: bool) -> None:
        self.is_caught_up.clear()
        self._unread = None
        snapshot = (
            await read_latest_snapshot(self._broker.tops(self.partition)) if with_snapshot else None
        )
        end = await self._broker.log(self.partition).end()
        try:
            beginning = await self._begin(snapshot, with_history=with_history)
            if beginning.to_merge is not None:
                await verify(self._broker.log(self.partition), beginning.to_merge.known)
                end = max(end, beginning.to_merge.known.position)
            await self._follow(beginning, end)
        except ContinuityLost as lost:
            if snapshot is not None and not self.is_caught_up.is_set():
                raise _SnapshotUnusable(str(lost), lost.loss, snapshot.ledger.epoch) from lost
            raise

    async def _begin(self, snapshot: Snapshot | None, *, with_history: bool) -> "_Beginning":
        """Make a fresh view, and decide where in the log it begins."""
        self.view = PartitionView(self._remember_seconds)
        self._reads_all = snapshot is None
        self._first_seconds = None
        if snapshot is None:
            self._listener.restarted(self.view, None)
            return _Beginning(0, None, None)
        # A large one is taken in steps, none of which may hold up the loop for long.
        restored = PartitionView(self._remember_seconds)
        for _ in restored.restoring(snapshot):
            await asyncio.sleep(0)
        known = Known(snapshot.position, snapshot.digest)
        earliest_seconds = self._wall_seconds() - self._history_seconds - READ_EARLY_SECONDS
        if with_history and snapshot.ledger.log_seconds > earliest_seconds:
            self._listener.restarted(self.view, None)
            return _Beginning(Since(earliest_seconds), None, _ToMerge(known, restored))
        self.view = restored
        self._listener.restarted(self.view, snapshot)
        return _Beginning(snapshot.position, known, None)

    async def _follow(self, beginning: "_Beginning", end: Position) -> None:
        deadline = self._wall_seconds() + self._catch_up_seconds
        to_merge = beginning.to_merge
        log = self._broker.log(self.partition)
        records = follow(log, beginning.start, beginning.known, self._prompt)
        async with aclosing(records) as batches:
            # Only a read from a moment on can begin beyond the end.
            soon = batches if to_merge is None else _beginning_soon(batches)
            async for batch in soon:
                for stored in batch:
                    await self._listener.ready()
                    self._fold(stored)
                    if to_merge is not None and stored.position >= to_merge.known.position:
                        self._merge(stored, to_merge)
                        to_merge = None
                    await self._leave_the_loop_to_others(stored)
                if self._unread is not None and time.monotonic() >= self._doubt_until_seconds:
                    end = max(end, await self._end_of_doubt())
                # Not before the snapshot's record was found: then there is a batch, even if empty.
                if self.view.position >= end and self._unread is None:
                    self._catch_up()
                elif to_merge is not None and self._wall_seconds() > deadline:
                    raise _CatchUpTooSlow

    async def _end_of_doubt(self) -> Position:
        """Where the log ends; while that cannot be found out, the doubt goes on."""
        try:
            end = await self._broker.log(self.partition).end()
        except BrokerUnavailable:
            return -1
        self._unread = None
        return end

    async def _leave_the_loop_to_others(self, stored: StoredRecord) -> None:
        """Now and then, after some bytes: records may hold one entry or a thousand."""
        self._turn_bytes += len(stored.body) + _RECORD_BYTES
        if self._turn_bytes >= _BYTES_A_TURN:
            self._turn_bytes = 0
            await asyncio.sleep(0)

    def _catch_up(self) -> None:
        if self._reads_all and self._may_lack_channels():
            _log.warning(
                "the log is too short to know all channels, and there is no snapshot of it",
                partition=self.partition.name,
                setting="rabbitmq.log_max_bytes",
            )
            self.epoch_to_end = self.view.ledger.epoch
        self._reads_all = False
        self.is_caught_up.set()
        self._notice_new_epoch()

    def _may_lack_channels(self) -> bool:
        """Whether retention may have taken all records of a channel that must be remembered.

        It would begin at offset 0 again, perhaps in the period it had: only a new epoch tells its
        clients. A log that began with the epoch, or that goes back further than an idle channel is
        remembered, lacks none.
        """
        ledger, first_seconds = self.view.ledger, self._first_seconds
        return first_seconds is not None and (
            ledger.log_seconds - first_seconds <= self._remember_seconds
        )

    def _notice_new_epoch(self) -> None:
        # Not before all is read: a log read anew passes through the epochs that it had earlier.
        if self.is_caught_up.is_set() and self.view.ledger.epoch != self.epoch_to_end:
            self.epoch_to_end = None

    def _fold(self, stored: StoredRecord) -> None:
        try:
            record = decode_record(stored.body)
        except UndecodableBody as error:
            # Counting it and not counting it are both wrong: a newer format needs a newer process.
            raise TopologyProblem(
                f"the log of partition {self.partition.name} has a record at position"
                f" {stored.position} that cannot be read ({error})",
                "Run the version of Forebay that wrote it, or a newer one",
            ) from error
        if isinstance(record, Fence):
            self._check(record)
        change = self.view.fold(stored.position, record)
        if isinstance(record, Fence) and self._reads_all:
            self._note_beginning(record, change)
        if change.judgement is Judgement.MISSED and not self._reads_all:
            raise ContinuityLost(Loss.OVERTAKEN, self.view.ledger.head)
        self._notice_new_epoch()
        if stored.body == self._unread:
            self._unread = None
        self._listener.folded(stored, record, change)

    def _note_beginning(self, fence: Fence, change: Change) -> None:
        """Note the log time before which there may be channels that are not known; None if not."""
        if change.judgement is Judgement.CUT:
            self._first_seconds = None if fence.cut else self.view.ledger.log_seconds

    def _check(self, fence: Fence) -> None:
        if fence.partitions != self._partitions:
            raise TopologyProblem(
                f"lane {self.partition.lane!r} has {fence.partitions} partitions,"
                f" here it is configured with {self._partitions}",
                f"Set lanes.{self.partition.lane}.partitions = {fence.partitions},"
                " or use a new lane",
            )

    def _merge(self, stored: StoredRecord, to_merge: "_ToMerge") -> None:
        if stored.position != to_merge.known.position:
            raise ContinuityLost(Loss.OVERTAKEN, to_merge.known.position)
        if record_digest(stored.body) != to_merge.known.digest:
            raise ContinuityLost(Loss.REWRITTEN, to_merge.known.position)
        # All of it, the ledger too: who starts in the middle has not seen the greatest wall time,
        # which periods are made of, if a clock was set back since.
        self.view = to_merge.view


class _ToMerge(NamedTuple):
    """A snapshot that takes the place of what was folded, when the log is read as far as that."""

    known: Known
    view: PartitionView


class _Beginning(NamedTuple):
    """Where a view begins."""

    start: Position | Since
    known: Known | None
    to_merge: _ToMerge | None


async def _beginning_soon(
    batches: AsyncIterator[Sequence[StoredRecord]],
) -> AsyncIterator[Sequence[StoredRecord]]:
    """Give what is read, if it begins soon.

    Raises:
        _CatchUpTooSlow: it does not.
    """
    try:
        async with asyncio.timeout(_FIRST_RECORDS_SECONDS):
            first = await anext(batches)
    except TimeoutError:
        raise _CatchUpTooSlow from None
    yield first
    async for batch in batches:
        yield batch


class _SnapshotUnusable(Exception):
    def __init__(self, reason: str, loss: Loss, epoch: str) -> None:
        super().__init__(reason)
        self.loss = loss
        self.epoch = epoch


class _CatchUpTooSlow(Exception):
    pass
