"""Writes a partition's log on the embedded node as its owner would, one record at a time."""

from collections.abc import Iterable

from broker.batch import FORMAT_VERSION
from broker.embedded import EmbeddedBroker
from broker.follow import record_digest
from broker.interface import StoredRecord
from broker.partition import Partition
from broker.record import (
    Done,
    Fence,
    Outcomes,
    Published,
    decode_record,
    encode_fence,
    encode_settled,
)
from services.view.partition import PartitionView
from services.view.settled import SettledNumbers
from services.view.snapshot import Snapshot, encode_snapshot

MAIN = Partition("main", 0)
REMEMBER_SECONDS = 3600


def kept(node: EmbeddedBroker) -> list[StoredRecord]:
    return [record.stored for record in node.kept(MAIN)]


class LogWriter:
    """One owner after another; each call appends one record."""

    def __init__(self, node: EmbeddedBroker, *, partitions: int = 1) -> None:
        self.node = node
        self.partitions = partitions
        self._batches = 0

    def view(self) -> PartitionView:
        """What the log adds up to now."""
        return self.fold(kept(self.node))[0]

    def fold(self, records: list[StoredRecord]) -> tuple[PartitionView, SettledNumbers]:
        view, settled = PartitionView(REMEMBER_SECONDS), SettledNumbers()
        for position, body in records:
            change = view.fold(position, decode_record(body))
            for outcomes in change.settled.batches if change.settled is not None else ():
                settled.mark(outcomes)
        return view, settled

    async def append(self, body: bytes) -> StoredRecord:
        async with self.node.open("writer") as broker:
            await broker.log(MAIN).append(body, entries=1)
        return kept(self.node)[-1]

    async def fence(
        self, epoch: str | None = None, *, wall_seconds: int = 0, cut: bool = False
    ) -> StoredRecord:
        return await self.append(
            encode_fence(
                Fence(
                    FORMAT_VERSION,
                    "writer",
                    f"nonce {len(kept(self.node))}",
                    self.view().ledger.epoch if epoch is None else epoch,
                    self.partitions,
                    wall_seconds,
                    cut,
                    self.view().ledger.head,
                )
            )
        )

    async def publish(self, channel: str, count: int = 1) -> StoredRecord:
        """Settle a batch of publications of one channel."""
        view = self.view()
        period, offset = view.top(channel)
        self._batches += 1
        made = [Published(channel, period, offset + 1 + each, 2) for each in range(count)]
        outcomes = Outcomes("p", self._batches, count, 0, [*made])
        return await self.append(encode_settled(view.ledger.head, 0, [outcomes], [b"{}"] * count))

    async def settle_late(self) -> StoredRecord:
        """Append what does not count any more."""
        outcomes = Outcomes("late", 1, 1, 0, [Done()])
        return await self.append(encode_settled(-1, 0, [outcomes], []))

    def snapshot(self) -> Snapshot:
        records = kept(self.node)
        view, settled = self.fold(records)
        last = next(r for r in reversed(records) if r.position == view.ledger.head)
        return Snapshot(
            last.position,
            record_digest(last.body),
            view.ledger.state(),
            view.tops.rows(),
            settled.states(),
        )

    async def write_snapshot(self, snapshot: Snapshot | None = None) -> Snapshot:
        made = snapshot or self.snapshot()
        await self.append_tops(encode_snapshot(f"snapshot {made.position}", made))
        return made

    async def append_tops(self, bodies: Iterable[bytes]) -> None:
        """Append to the stream of snapshots whatever it is."""
        async with self.node.open("writer") as broker:
            for body in bodies:
                await broker.tops(MAIN).append(body, entries=0)
