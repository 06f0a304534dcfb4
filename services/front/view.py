"""What this front knows of all channels: folded from the logs, never asked of anybody.

History and what is pushed are one sequence, read by one process. So a subscribe looks here and
registers in the hub in one step, and there is nothing to buffer, merge or check afterwards.

Rules:
- A partition whose log is not caught up, or cannot be read on, answers nothing: a client told of
  a position too early would lose what lies between.
- A record's publications enter the histories and are fanned out in the same step.

Not here: reading the logs (`services.log_reader`), who is subscribed (`hub`), encoding (`fanout`).
"""

import asyncio
import time
from collections.abc import Mapping
from typing import NamedTuple

from broker.batch import NO_SENDER, Entry, EntryKind
from broker.errors import BrokerUnavailable, StreamEmpty, TopologyProblem
from broker.follow import Loss
from broker.interface import Broker, StoredRecord
from broker.partition import Partition, partition_number
from broker.producer import Producer
from broker.record import Outcome, Published, Record, Settled, channel_epoch
from services.front.fanout import Fanout
from services.front.hub import Hub
from services.log_reader import LogReader
from services.permissions import Permissions
from services.settings import Config
from services.view.history import Histories, Keeping, Publication
from services.view.ledger import Judgement
from services.view.partition import Change, PartitionView
from services.view.snapshot import Snapshot
from services.wire.channel import parse_channel
from services.wire.errors import Refusal

# Fronts read the same log milliseconds apart. A client that claims to have seen what nobody has
# waits this long for its answer, and nobody else does.
_REACH_SECONDS = 1.0
_DEAF_SECONDS = 2.0
"""A front that waits for so long for what becomes of its own entries, and hears nothing of the log
meanwhile, opens it anew: either no worker is there, or we are not told."""

_END_SECONDS = 2.0
"""How long the broker may take to say where a log ends, for such a client."""


class ViewNotReady(Exception):
    """The channel's partition is not caught up; asking again a little later is right."""


class ChannelState(NamedTuple):
    """A channel's top."""

    epoch: str
    offset: int
    """0 for a channel without publications."""


class _Pushed(NamedTuple):
    """A record's publications of one channel, and the one before them."""

    previous: Publication | None
    publications: list[Publication]


class _FrontPartition:
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
        self.last_record_wall_ms = 0
        self.heard_seconds = time.monotonic()
        """When something was heard of the log, or it was opened anew for want of that."""
        self._awaited: list[tuple[str, int, asyncio.Future[None]]] = []

    @property
    def is_caught_up(self) -> bool:
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
        if change.settled is not None:
            self._take(change.settled)
        elif change.judgement is Judgement.CUT:
            self.histories.clear()
            self._view.lose_continuity(self.partition)
        for channel in change.forgotten:
            self.histories.forget(channel)

    def continuity_lost(self, loss: Loss) -> None:
        """See `LogListener.continuity_lost`."""
        self._view.lose_continuity(self.partition)

    async def ready(self) -> None:
        """See `LogListener.ready`."""
        await self._view.fanout.ready()

    def _take(self, settled: Settled) -> None:
        view = self._view
        self.last_record_wall_ms = settled.wall_ms
        pushed: dict[str, _Pushed] = {}
        payload = iter(settled.payloads)
        producer = view.producer
        for batch in settled.batches:
            for outcome in batch.outcomes:
                if type(outcome) is Published:
                    self._take_publication(outcome, next(payload), settled.wall_ms, pushed)
        if self._awaited:
            self._tell_who_awaits()
        # While a lost log is read anew, whoever relies on positions has been told to come back, and
        # the others have had most of it.
        for channel, (previous, publications) in pushed.items() if self.is_caught_up else ():
            epoch = self._epoch(channel)
            view.fanout.publish(channel, publications, view.sequence, epoch, previous)
        for batch in settled.batches:
            if batch.producer == producer.id:
                producer.settle(self.partition, batch)

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
        period, offset = self.reader.view.top(channel)
        return ChannelState(channel_epoch(self.reader.view.ledger.epoch, period), offset)


class FrontView:
    """The state of all channels, as far as this front has read the logs."""

    def __init__(
        self, broker: Broker, config: Config, hub: Hub, fanout: Fanout, producer: Producer
    ) -> None:
        self.hub = hub
        self.fanout = fanout
        self.producer = producer
        self.sequence = 0
        """How many records were folded; tells what a new subscription has seen already."""
        self._permissions = Permissions(config)
        self._partition_counts = {name: lane.partitions for name, lane in config.lanes.items()}
        self._default_lane = config.without_namespace.lane
        self._partitions = {
            partition: _FrontPartition(self, broker, partition, config)
            for partition in all_partitions(self._partition_counts)
        }

    @property
    def partition_count(self) -> int:
        """How many partitions there are in all lanes."""
        return sum(self._partition_counts.values())

    @property
    def readers(self) -> list[LogReader]:
        """What has to run for the view to follow the logs."""
        return [partition.reader for partition in self._partitions.values()]

    @property
    def is_caught_up(self) -> bool:
        """Whether every partition can be asked."""
        return all(partition.is_caught_up for partition in self._partitions.values())

    def lag(self) -> dict[str, dict[str, int | bool]]:
        """Say of each partition how far it has been read."""
        return {
            name.name: {
                "caught_up": partition.is_caught_up,
                "position": partition.reader.view.position,
                "last_record_ms": partition.last_record_wall_ms,
            }
            for name, partition in self._partitions.items()
        }

    def partition_of(self, channel: str) -> Partition:
        """Tell which partition carries a channel, which must be a legal name."""
        options = self._permissions.options_of(parse_channel(channel))
        lane = options.lane if options is not None else self._default_lane
        return Partition(lane, partition_number(channel, self._partition_counts[lane]))

    def keeping_of(self, channel: str) -> Keeping:
        """Tell how much of a channel's history is kept."""
        try:
            options = self._permissions.options_of(parse_channel(channel))
        except Refusal:
            options = None
        if options is None:
            return Keeping(0, 0)
        return Keeping(options.history_size, int(options.history_ttl * 1000))

    async def follow(self, channel: str, epoch: str = "", offset: int = 0) -> ChannelState:
        """Give a channel's top; whoever registers before it awaits again misses nothing.

        Returns at once, unless the client has seen more than this front has read yet: it comes
        from another front, which was a moment ahead. Then it waits a little for the log.

        Raises:
            ViewNotReady: the partition's log is not caught up, or not as far as the client.
        """
        partition = self._at(channel)
        state = partition.state(channel)
        if epoch == state.epoch and offset > state.offset:
            await partition.reach(channel, offset)
            state = self.state(channel)
        return state

    def state(self, channel: str) -> ChannelState:
        """Give a channel's top as this front knows it now.

        Raises:
            ViewNotReady: the partition's log is not caught up.
        """
        return self._at(channel).state(channel)

    def recover(
        self, channel: str, epoch: str, offset: int, at_most: int
    ) -> list[Publication] | None:
        """Give what came after a position; None if that is not all of what came after it.

        An empty epoch stands for any.

        Raises:
            ViewNotReady: the partition's log is not caught up.
        """
        partition = self._at(channel)
        state = partition.state(channel)
        if (epoch and epoch != state.epoch) or partition.has_lost_a_part:
            return None
        if offset == state.offset:
            return []
        missed = partition.histories.after(channel, offset, _now_ms(), at_most)
        is_all = (
            bool(missed) and missed[0].offset == offset + 1 and missed[-1].offset == state.offset
        )
        return missed if is_all else None

    def recover_newest(self, channel: str, epoch: str, offset: int) -> list[Publication] | None:
        """Give a channel's newest publication to whom is elsewhere; None if it is not kept.

        Nothing to whom is there already. An empty epoch stands for any.

        Raises:
            ViewNotReady: the partition's log is not caught up.
        """
        partition = self._at(channel)
        state = partition.state(channel)
        is_of_this_epoch = not epoch or epoch == state.epoch
        if partition.has_lost_a_part or (is_of_this_epoch and offset > state.offset):
            return None
        if is_of_this_epoch and offset == state.offset:
            return []
        newest = partition.histories.before(channel, state.offset + 1, _now_ms(), 1)
        return newest if newest and newest[0].offset == state.offset else None

    def history_after(self, channel: str, offset: int, at_most: int) -> list[Publication]:
        """Give the oldest publications kept after an offset.

        Raises:
            ViewNotReady: the partition's log is not caught up.
        """
        return self._at(channel).histories.after(channel, offset, _now_ms(), at_most)

    def history_before(self, channel: str, offset: int, at_most: int) -> list[Publication]:
        """Give the newest publications kept before an offset, newest first.

        Raises:
            ViewNotReady: the partition's log is not caught up.
        """
        return self._at(channel).histories.before(channel, offset, _now_ms(), at_most)

    def _at(self, channel: str) -> _FrontPartition:
        partition = self._partitions[self.partition_of(channel)]
        if not partition.is_caught_up:
            raise ViewNotReady(partition.partition.name)
        return partition

    def lose_continuity(self, partition: Partition) -> None:
        """Tell who follows a partition's channels that something may be missing."""
        self.hub.lose_continuity(
            [name for name in self.hub.channels() if self.partition_of(name) == partition]
        )

    def sweep(self) -> None:
        """Let go of what is too old, do what is due about the logs; to be called every second."""
        for name, partition in self._partitions.items():
            partition.histories.expire(_now_ms(), _EXPIRE_AT_MOST)
            self._look_for_deafness(name, partition)
            epoch = partition.reader.epoch_to_end
            if epoch is not None and partition.is_caught_up:
                self._ask_for_cut(name, epoch)

    def _look_for_deafness(self, name: Partition, partition: _FrontPartition) -> None:
        now = time.monotonic()
        if (
            self.producer.awaited_seconds(name) > _DEAF_SECONDS
            and now - partition.heard_seconds > _DEAF_SECONDS
        ):
            partition.heard_seconds = now
            partition.reader.reopen()

    def _ask_for_cut(self, partition: Partition, epoch: str) -> None:
        """Have a worker end an epoch of which the log has lost a part; again until it has.

        Nobody else may know: a worker that starts from a snapshot older than what was lost finds
        nothing wrong.
        """
        entry = Entry(EntryKind.CUT, "", NO_SENDER, epoch.encode())
        self.producer.offer(partition, entry, _NobodyWaits())


# A sweep looks at this many channels of each partition; those it does not reach are bounded by
# the histories' bytes anyway.
_EXPIRE_AT_MOST = 2_000


class _NobodyWaits:
    """A cut shows in the log, and is asked for again until it does."""

    def confirmed(self) -> None:
        """See `Waiter.confirmed`."""

    def settled(self, outcome: Outcome) -> None:
        """See `Waiter.settled`."""

    def refused(self) -> None:
        """See `Waiter.refused`."""

    def given_up(self) -> None:
        """See `Waiter.given_up`."""


def all_partitions(counts: Mapping[str, int]) -> list[Partition]:
    """List the partitions of all lanes."""
    return [Partition(lane, number) for lane, count in counts.items() for number in range(count)]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
