"""What the queues, streams and exchanges are called.

Rules: made of the prefix, a lane, a partition's number and ids of our own making; never of
anything a client said.
"""

from dataclasses import dataclass

from broker.partition import Partition


@dataclass(frozen=True, slots=True)
class Names:
    """The names under one prefix."""

    prefix: str

    def inbound(self, partition: Partition) -> str:
        """The quorum queue of a partition's entries."""
        return f"{self.prefix}inbound.{partition.name}"

    def log(self, partition: Partition) -> str:
        """The stream of what happened to them."""
        return f"{self.prefix}log.{partition.name}"

    def tops(self, partition: Partition) -> str:
        """The stream of snapshots."""
        return f"{self.prefix}tops.{partition.name}"

    def own(self, node_id: str) -> str:
        """A process's exclusive queue."""
        return f"{self.prefix}own.{node_id}"

    @property
    def dead(self) -> str:
        """The quorum queue of what could not be handled."""
        return f"{self.prefix}dead"

    @property
    def api(self) -> str:
        """The quorum queue of a backend's commands."""
        return f"{self.prefix}api"

    def exchange(self, role: str) -> str:
        """The exchange in front of the queues of a role.

        There is one each, since who may publish to the default exchange may publish to any queue.
        """
        return f"{self.prefix}{role}"
