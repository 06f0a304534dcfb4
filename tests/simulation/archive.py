"""All that a log ever held, whatever retention or a fault has taken from it since.

A log that loses its tail, or is made anew, begins another *generation*: what came before and is
left, and all that comes after. A generation is complete: it begins with the log's first record.
"""

from collections.abc import Sequence
from contextlib import suppress

from broker.embedded import EmbeddedBroker
from broker.errors import BrokerUnavailable
from broker.interface import StoredRecord
from broker.partition import Partition


class Archive:
    """One partition's log, remembered."""

    def __init__(self, node: EmbeddedBroker, partition: Partition) -> None:
        self._node = node
        self._partition = partition
        self.generations: list[list[StoredRecord]] = [[]]

    @property
    def records(self) -> Sequence[StoredRecord]:
        """The log as it is, with what retention has dropped."""
        return self.generations[-1]

    async def run(self) -> None:
        """Take each record as it comes, until cancelled."""
        async with self._node.open(f"archive {self._partition.name}") as broker:
            while True:
                with suppress(BrokerUnavailable):
                    async with broker.log(self._partition).read(0) as reader:
                        async for _ in reader:
                            self._look()

    def lose_tail(self, count: int) -> int:
        """Have the log lose some of its newest records, not all; give the last one's position."""
        self._look()
        self._node.lose_tail(self._partition, min(count, len(self._kept()) - 1))
        last = self._kept()[-1].position
        self.generations.append([each for each in self.records if each.position <= last])
        return last

    def recreate(self) -> None:
        """Have the log made anew."""
        self._look()
        self._node.recreate_log(self._partition)
        self.generations.append([])
        self._look()

    def _kept(self) -> list[StoredRecord]:
        return [record.stored for record in self._node.kept(self._partition)]

    def _look(self) -> None:
        known = self.generations[-1]
        last = known[-1].position if known else -1
        known += [each for each in self._kept() if each.position > last]
