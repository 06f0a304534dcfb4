"""The embedded broker's node: what all processes share, its limits, and the faults tests ask for.

Rules: one event loop; nothing here is safe to call from another thread.
"""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from broker.embedded.access import EmbeddedAccess, NodeStore, PartitionStore
from broker.embedded.bus import SharedBus
from broker.embedded.dead import StoredDead
from broker.embedded.link import Gate, Link, Strays
from broker.embedded.pool import EmbeddedIntake, StoredPool, WaitingBatch
from broker.embedded.stream import EmbeddedReader, KeptRecord, StoredStream
from broker.embedded.travel import Travel, one_turn
from broker.genesis import genesis_fence, genesis_snapshot
from broker.interface import DeadLetter
from broker.partition import Partition


@dataclass(frozen=True, slots=True)
class EmbeddedLimits:
    """How much the node keeps, each limit for one queue, stream or listener."""

    inbound_max_bytes: int = 64 * 2**20
    """A pool that would grow beyond it refuses what is submitted."""
    log_max_bytes: int = 64 * 2**20
    """A log beyond it drops its oldest records; the newest always stays."""
    tops_max_bytes: int = 4 * 2**20
    """As for a log."""
    dead_max_bytes: int = 4 * 2**20
    """Beyond it nothing more can be set aside."""
    bus_max_bytes: int = 2**20
    """A listener this far behind misses what is sent."""


class EmbeddedBroker:
    """A broker node in memory. Each `open` is one process's access to it."""

    def __init__(
        self,
        lanes: Mapping[str, int],
        *,
        limits: EmbeddedLimits | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._lanes = dict(lanes)
        self._limits = limits or EmbeddedLimits()
        self._wall_clock = wall_clock
        self._links: dict[str, Link] = {}
        self._alarm = Gate()
        self._confirms = Gate()
        self._strays = Strays()
        self._store = NodeStore(
            {
                Partition(lane, number): self._make_partition()
                for lane, count in self._lanes.items()
                for number in range(count)
            },
            StoredDead(self._limits.dead_max_bytes, self._wall_clock),
            SharedBus(self._limits.bus_max_bytes),
        )
        for partition, stored in self._store.partitions.items():
            self._begin_log(partition)
            stored.tops.store(genesis_snapshot(), 0)

    @asynccontextmanager
    async def open(
        self, node_id: str | None = None, travel: Travel = one_turn
    ) -> AsyncIterator[EmbeddedAccess]:
        """Connect a process; leaving closes all it has opened, as its death would.

        `travel` says how long its calls take.

        Raises:
            ValueError: a process with that id is connected already.
        """
        name = node_id or secrets.token_hex(8)
        if name in self._links and self._links[name].is_up:
            raise ValueError(f"a process {name!r} is connected already")
        if name in self._links:
            self._links[name].leave()
        link = Link(name, travel, alarm=self._alarm, confirms=self._confirms, strays=self._strays)
        self._links[name] = link
        try:
            yield EmbeddedAccess(link, self._store)
        finally:
            link.leave()
            if self._links.get(name) is link:
                del self._links[name]

    def dead_letters(self) -> Sequence[DeadLetter]:
        """What was set aside, oldest first."""
        return self._store.dead.letters()

    def waiting(self, partition: Partition) -> Sequence[WaitingBatch]:
        """What waits in a partition's pool and no intake holds, oldest first."""
        return self._store.partitions[partition].pool.waiting()

    def unsettled(self, partition: Partition) -> int:
        """How many batches a partition's pool keeps, waiting or held by an intake."""
        return self._store.partitions[partition].pool.unsettled

    def line(self, partition: Partition) -> Sequence[str]:
        """Which processes stand in line for a partition's pool; the first of them is active."""
        return self._store.partitions[partition].pool.line()

    def kept(self, partition: Partition) -> Sequence[KeptRecord]:
        """What a partition's log keeps, oldest first."""
        return self._store.partitions[partition].log.kept()

    def disconnect(self, node_id: str) -> None:
        """Fault: a process loses its connection, until `reconnect` or until it opens anew.

        Raises:
            KeyError: no such process.
        """
        self._links[node_id].drop()

    def deafen(self, node_id: str) -> None:
        """Fault: what a process reads now tells it of nothing more, and says nothing of that.

        So RabbitMQ's streams do now and then when a node's replica starts anew.

        Raises:
            KeyError: no such process.
        """
        for reader in self._links[node_id].opened(EmbeddedReader):
            reader.is_deaf = True

    def reconnect(self, node_id: str) -> None:
        """End a `disconnect`; what the process had opened stays closed.

        Raises:
            KeyError: no such process.
        """
        self._links[node_id].restore()

    def close_intakes(self, node_id: str) -> None:
        """Fault: the node takes a process's deliveries from it, and leaves it everything else.

        Raises:
            KeyError: no such process.
        """
        self._links[node_id].close_all(EmbeddedIntake)

    def deliver_strays(self) -> None:
        """Fault: what was on its way when its sender gave up, or lost its connection, arrives."""
        self._strays.arrive()

    def reorder_waiting(
        self, partition: Partition, shuffle: Callable[[list[WaitingBatch]], None]
    ) -> None:
        """Fault: a pool changes the order of what no intake holds, which a queue may."""
        self._store.partitions[partition].pool.reorder(shuffle)

    def hold_publishes(self) -> None:
        """Fault: as in the first moments of an alarm, let nothing published reach the node."""
        self._alarm.hold()

    def block_publishers(self) -> None:
        """Fault: as a memory or disk alarm, `hold_publishes`, and processes know it."""
        self._alarm.hold()
        self._alarm.is_announced = True

    def release_publishes(self) -> None:
        """End `hold_publishes` or `block_publishers`: what was held back is stored now."""
        self._alarm.release()

    def hold_confirms(self) -> None:
        """Fault: store what is published, but do not say so.

        A process that loses its connection meanwhile has published without knowing it.
        """
        self._confirms.hold()

    def release_confirms(self) -> None:
        """End `hold_confirms`: what was stored is confirmed now."""
        self._confirms.release()

    def lose_tail(self, partition: Partition, count: int) -> None:
        """Fault: a log loses its newest records, as by a power cut; its readers are closed.

        The next records get the positions of the lost ones.
        """
        self._store.partitions[partition].log.lose_tail(count)

    def delete_log(self, partition: Partition) -> None:
        """Fault: a log is deleted, until `recreate_log`; its readers are closed."""
        self._store.partitions[partition].log.delete()

    def recreate_log(self, partition: Partition) -> None:
        """Fault: a log is deleted and made anew, with a new epoch; its readers are closed."""
        self._store.partitions[partition].log.recreate()
        self._begin_log(partition)

    def _make_partition(self) -> PartitionStore:
        return PartitionStore(
            StoredPool(self._limits.inbound_max_bytes),
            StoredStream(self._limits.log_max_bytes, self._wall_clock),
            StoredStream(self._limits.tops_max_bytes, self._wall_clock),
        )

    def _begin_log(self, partition: Partition) -> None:
        fence = genesis_fence(self._lanes[partition.lane], int(self._wall_clock()))
        self._store.partitions[partition].log.store(fence, 0)
