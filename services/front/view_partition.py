"""One partition of what this front knows: its log folded into tops and histories, and fanned out.

Rules:
- A record's publications enter the histories and are fanned out in the same step; after them its
  orders are carried out.

Not here: which partition carries a channel, what a client is told of it (`view`), reading the log
(`services.log_reader`).
"""

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

from broker.errors import BrokerUnavailable, StreamEmpty, TopologyProblem
from broker.follow import Loss
from broker.interface import Broker, Position, StoredRecord
from broker.partition import Partition
from broker.record import Ordered, Published, Record, Settled, channel_epoch
from services.front.carried import CarriedOut
from services.log_reader import LogReader
from services.settings import Config
from services.view.history import Histories, Publication
from services.view.ledger import Judgement
from services.view.partition import Change, PartitionView
from services.view.snapshot import Snapshot

if TYPE_CHECKING:
    from services.front.view import FrontView

# Fronts read the same log milliseconds apart. A client that claims to have seen what nobody has
# waits this long for its answer, and nobody else does.
_REACH_SECONDS = 1.0

_END_SECONDS = 2.0
"""How long the broker may take to say where a log ends, for such a client."""


class ViewNotReady(Exception):
    """The channel's partition is not caught up; asking again a little later is right."""


class ChannelState(NamedTuple):
    """A channel's top."""

    epoch: str
    offset: int
    """0 for a channel without publications."""

    def is_behind(self, epoch: str, offset: int) -> bool:
        """Tell whether a client at this position has seen more."""
        return epoch == self.epoch and offset > self.offset


class _Pushed(NamedTuple):
    """A record's publications of one channel, and the one before them."""

    previous: Publication | None
    publications: list[Publication]


class FrontPartition:
    """One partition as a front sees it: listens to its log."""

    def __init__(
        self, view: "FrontView", broker: Broker, partition: Partition, config: Config
    ) -> None:
        self.partition = partition
        self._view = view
        self._log = broker.log(partition)
        self._looking = asyncio.Lock()
        self._looked_seconds = 0.0
        self._is_behind = False
        self.histories = Histories(
            view.keeping_of,
            view.hub.is_subscribed,
            int(config.channel.history_max_bytes) // view.partition_count,
        )
        self.reader = LogReader(
            broker,
            partition,
            partitions=config.lanes[partition.lane].partitions,
            remember_seconds=int(config.channel.history_meta_ttl),
            listener=self,
            history_seconds=config.longest_history_ttl,
            catch_up_seconds=config.channel.catch_up_seconds,
        )
        self._carried_out = CarriedOut(time.time_ns() // 1_000_000)
        self.last_record_wall_ms = 0
        self.heard_seconds = time.monotonic()
        """When something was heard of the log, or it was opened anew for want of that."""
        self._awaited: list[tuple[str, int, asyncio.Future[None]]] = []

    @property
    def is_caught_up(self) -> bool:
        """Whether its channels can be asked for."""
        return self.reader.is_caught_up.is_set()

    @property
    def has_lost_a_part(self) -> bool:
        """Whether the log lost something of its epoch, which is still to be ended.

        The same positions may have been given again, to other publications.
        """
        epoch = self.reader.epoch_to_end
        return epoch is not None and epoch == self.reader.view.ledger.epoch

    def restarted(self, view: PartitionView, snapshot: Snapshot | None) -> None:
        """See `LogListener.restarted`."""
        self.histories.clear()

    def folded(self, stored: StoredRecord, record: Record, change: Change) -> None:
        """See `LogListener.folded`."""
        self._view.sequence += 1
        self.heard_seconds = time.monotonic()
        if self.is_caught_up:
            self._carried_out.note_caught_up()
        if change.settled is not None:
            self._take(change.settled, stored.position)
        elif change.judgement is Judgement.CUT:
            self.histories.clear()
            self._view.lose_continuity(self.partition)
        for channel in change.forgotten:
            self.histories.forget(channel)

    def continuity_lost(self, loss: Loss) -> None:
        """See `LogListener.continuity_lost`."""
        if self.is_caught_up:
            self._carried_out.note_caught_up()
        self._view.lose_continuity(self.partition)

    async def ready(self) -> None:
        """See `LogListener.ready`."""
        await self._view.fanout.ready()

    def _take(self, settled: Settled, position: Position) -> None:
        self.last_record_wall_ms = settled.wall_ms
        pushed: dict[str, _Pushed] = {}
        orders: list[bytes] = []
        payload = iter(settled.payloads)
        for batch in settled.batches:
            for outcome in batch.outcomes:
                if type(outcome) is Published:
                    self._take_publication(outcome, next(payload), settled.wall_ms, pushed)
                elif type(outcome) is Ordered:
                    orders.append(outcome.order)
        if self._awaited:
            self._tell_who_awaits()
        self._push(pushed)
        self._settle_own(settled)
        if orders:
            self._carry_out(orders, position)

    def _push(self, pushed: dict[str, _Pushed]) -> None:
        view = self._view
        # While a lost log is read anew, whoever relies on positions has been told to come back, and
        # the others have had most of it.
        for channel, (previous, publications) in pushed.items() if self.is_caught_up else ():
            epoch = self._epoch(channel)
            view.fanout.publish(channel, publications, view.sequence, epoch, previous)

    def _settle_own(self, settled: Settled) -> None:
        producer = self._view.producer
        for batch in settled.batches:
            if batch.producer == producer.id:
                producer.settle(self.partition, batch)

    def _carry_out(self, orders: list[bytes], position: Position) -> None:
        is_new = self._carried_out.take(
            self.reader.view.ledger.epoch,
            position,
            self.last_record_wall_ms,
            is_caught_up=self.is_caught_up,
        )
        for order in orders if is_new else ():
            self._view.carry_out(order)

    async def reach(self, channel: str, offset: int) -> None:
        """Wait until the channel has got to an offset, but not for long.

        If it does not, and all that is in the log has been read, there is no such offset.

        Raises:
            ViewNotReady: something is in the log, or may be, that was not read yet.
        """
        reached = asyncio.get_running_loop().create_future()
        awaited = channel, offset, reached
        self._awaited.append(awaited)
        try:
            async with asyncio.timeout(_REACH_SECONDS):
                await reached
        except TimeoutError:
            if await self._may_be_behind():
                # Told of our top the client would receive once more what it has already.
                raise ViewNotReady from None
        finally:
            if awaited in self._awaited:
                self._awaited.remove(awaited)

    async def _may_be_behind(self) -> bool:
        """Tell whether the log may go on beyond what was read; who ask together share a look."""
        asked = time.monotonic()
        async with self._looking:
            if self._looked_seconds <= asked:
                self._looked_seconds = time.monotonic()
                self._is_behind = await self._look_for_more()
            return self._is_behind

    async def _look_for_more(self) -> bool:
        try:
            async with asyncio.timeout(_END_SECONDS):
                end = await self._log.end()
        except (BrokerUnavailable, StreamEmpty, TopologyProblem, TimeoutError):
            return True
        return self.reader.view.position < end

    def _tell_who_awaits(self) -> None:
        still: list[tuple[str, int, asyncio.Future[None]]] = []
        for channel, offset, reached in self._awaited:
            if self.reader.view.top(channel)[1] < offset:
                still.append((channel, offset, reached))
            elif not reached.done():
                reached.set_result(None)
        self._awaited = still

    def _take_publication(
        self,
        outcome: Published,
        payload: bytes,
        wall_ms: int,
        pushed: dict[str, _Pushed],
    ) -> None:
        channel = outcome.channel
        publication = Publication(outcome.offset, payload, bytes(outcome.sender), wall_ms)
        if channel in pushed:
            pushed[channel].publications.append(publication)
        elif self._view.hub.is_subscribed(channel):
            previous = self.histories.newest(channel, outcome.period)
            pushed[channel] = _Pushed(previous, [publication])
        if outcome.offset:
            self.histories.add(channel, outcome.period, publication)

    def _epoch(self, channel: str) -> str:
        period, _ = self.reader.view.top(channel)
        return channel_epoch(self.reader.view.ledger.epoch, period)

    def state(self, channel: str) -> ChannelState:
        """Give a channel's top; to be asked only when caught up."""
        period, offset = self.reader.view.top(channel)
        return ChannelState(channel_epoch(self.reader.view.ledger.epoch, period), offset)
