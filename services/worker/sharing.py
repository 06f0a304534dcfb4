"""Workers share partitions: who is not to have one steps behind who is, in the queue's line.

Each inbound queue has one active consumer, and when that one goes, the one that has waited longest
is next. So a worker needs no other's consent: everybody works out the same owners from the live
workers, and whoever is not a partition's owner closes its intake, which gives back what it has
not settled, and stands in line anew. Then the owner is first. That is done when the owner of a
partition is another than before, and when the owner has taken its stand anew (`Node.standing`), for
then it is behind the others.

Rules
- No promise but evenness hangs on it: workers that disagree about who is live hand a partition to
  and fro, and only the log decides who may append.
- A worker that never stood in line owns nothing: one that still reads the log must not make the
  others let go.
- Only a stand that an owner takes is told, and becoming an owner, for that may come after the
  stand. To tell of stepping behind would have the others step behind in turn, for ever.
- Leaving begins with the registry: the others let the next owner go first, then the queues are
  left.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from msgspec.structs import replace

from broker.interface import Broker
from broker.partition import Partition
from broker.registry import Node, Registry, open_registry
from services.worker.assignment import assign
from services.worker.partition import PartitionWorker

_log = structlog.get_logger(__name__)

WORKER = "worker"

SILENT_SECONDS = 3.0
"""Half of what fronts take. Whoever is next in line serves a killed worker's partitions at once;
that they are spread evenly again takes until all know that it is gone."""


class Sharing:
    """One worker's part in the sharing of all partitions."""

    def __init__(self, broker: Broker, hear: Callable[[bytes], None] | None = None) -> None:
        """`hear` takes what fronts ask of this worker's app, if it has one."""
        self._broker = broker
        self._hear = hear
        self._owners: Mapping[Partition, Node] = {}
        self._standing = 0
        self._registry: Registry | None = None

    def stood(self, partition: Partition) -> None:
        """Take note that this worker has taken its stand in a partition's line."""
        if not self._standing or self._is_ours(partition, self._owners):
            self._announce_stand()

    @asynccontextmanager
    async def taking_part(
        self, workers: Mapping[Partition, PartitionWorker]
    ) -> AsyncIterator[None]:
        """Share these partitions with the other live workers, until the context is left.

        Raises:
            TopologyProblem: in an exception group: the broker has no bus.
        """
        node = Node(
            id=self._broker.node_id,
            role=WORKER,
            name=socket.gethostname(),
            lanes=tuple(dict.fromkeys(partition.lane for partition in workers)),
            started_seconds=time.time(),
            standing=self._standing,
            silent_seconds=SILENT_SECONDS,
            has_app=self._hear is not None,
        )
        pass_on = self._hear or _ignore
        async with (
            open_registry(self._broker.bus, node, pass_on=pass_on) as registry,
            asyncio.TaskGroup() as tasks,
        ):
            self._registry = registry
            stepping = tasks.create_task(self._step_behind_owners(registry, workers))
            try:
                yield
            finally:
                self._registry = None
                stepping.cancel()

    async def _step_behind_owners(
        self, registry: Registry, workers: Mapping[Partition, PartitionWorker]
    ) -> None:
        async for nodes in registry.changes():
            before, self._owners = self._owners, find_owners(workers, nodes)
            for partition, owner in self._owners.items():
                if self._is_ours(partition, self._owners):
                    continue
                known = before.get(partition)
                if known is None or (known.id, known.standing) != (owner.id, owner.standing):
                    workers[partition].step_behind()
            if any(
                self._is_ours(partition, self._owners) and not self._is_ours(partition, before)
                for partition in self._owners
            ):
                self._announce_stand()

    def _is_ours(self, partition: Partition, owners: Mapping[Partition, Node]) -> bool:
        owner = owners.get(partition)
        return owner is not None and owner.id == self._broker.node_id

    def _announce_stand(self) -> None:
        self._standing += 1
        if self._registry is not None:
            self._registry.update(replace(self._registry.node, standing=self._standing))


def _ignore(_: bytes) -> None:
    """What becomes of what fronts say to each other."""


def find_owners(partitions: Iterable[Partition], nodes: Sequence[Node]) -> dict[Partition, Node]:
    """Tell which of the live workers is to have which of the partitions, lane by lane."""
    by_lane: dict[str, list[Partition]] = {}
    for partition in partitions:
        by_lane.setdefault(partition.lane, []).append(partition)
    owners: dict[Partition, Node] = {}
    for lane, of_lane in by_lane.items():
        standing = {
            node.id: node
            for node in nodes
            if node.role == WORKER and node.standing and lane in node.lanes
        }
        for partition, worker in assign(sorted(of_lane), standing.keys()).items():
            owners[partition] = standing[worker]
    return owners
