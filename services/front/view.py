"""What this front knows of all channels: folded from the logs, never asked of anybody.

History and what is pushed are one sequence, read by one process. So a subscribe looks here and
registers in the hub in one step, and there is nothing to buffer, merge or check afterwards.

Rules:
- A partition whose log is not caught up, or cannot be read on, answers nothing: a client told of
  a position too early would lose what lies between.

Not here: what a record does to its partition (`view_partition`), reading the logs
(`services.log_reader`), who is subscribed (`hub`), encoding (`fanout`).
"""

import time
from collections.abc import Callable, Mapping

from broker.batch import NO_SENDER, Entry, EntryKind
from broker.interface import Broker
from broker.partition import Partition, partition_number
from broker.producer import Producer
from broker.record import Outcome
from services.front.fanout import Fanout
from services.front.hub import Hub
from services.front.view_partition import ChannelState, FrontPartition, ViewNotReady
from services.log_reader import LogReader
from services.permissions import Permissions
from services.settings import Config
from services.view.history import Keeping, Publication
from services.wire.channel import parse_channel
from services.wire.errors import Refusal

_DEAF_SECONDS = 2.0
"""A front that waits for so long for what becomes of its own entries, and hears nothing of the log
meanwhile, opens it anew: either no worker is there, or we are not told."""


class FrontView:
    """The state of all channels, as far as this front has read the logs."""

    def __init__(
        self,
        broker: Broker,
        config: Config,
        hub: Hub,
        fanout: Fanout,
        producer: Producer,
        carry_out: Callable[[bytes], None] = lambda order: None,
    ) -> None:
        """`carry_out` is given each order that comes out of the logs, once; without it, nobody."""
        self.carry_out = carry_out
        self.hub = hub
        self.fanout = fanout
        self.producer = producer
        self.sequence = 0
        """How many records were folded; tells what a new subscription has seen already."""
        self._permissions = Permissions(config)
        self._partition_counts = {name: lane.partitions for name, lane in config.lanes.items()}
        self._default_lane = config.without_namespace.lane
        self._partitions = {
            partition: FrontPartition(self, broker, partition, config)
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
        if state.is_behind(epoch, offset):
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

    def _at(self, channel: str) -> FrontPartition:
        partition = self._partitions[self.partition_of(channel)]
        if not partition.is_caught_up:
            raise ViewNotReady(partition.partition.name)
        return partition

    def lose_continuity(self, partition: Partition) -> None:
        """Tell who follows a partition's channels that something may be missing."""
        self.fanout.forget_told(lambda name: self.partition_of(name) == partition)
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

    def _look_for_deafness(self, name: Partition, partition: FrontPartition) -> None:
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
