"""Workers on the embedded node, what they are given, and what the log says came of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from broker.batch import NO_SENDER, Batch, Entry, EntryKind, encode_batch
from broker.embedded import EmbeddedAccess, EmbeddedBroker, EmbeddedLimits
from broker.record import Outcome, Published, decode_record
from services.settings import ChannelOptions, Config, LaneConfig, NamespaceConfig
from services.view.ledger import Judgement
from services.view.partition import PartitionView
from services.worker.counting import WorkerCounters
from services.worker.deciding import Deciding
from services.worker.handling.interface import Handling
from services.worker.partition import PartitionWorker
from tests.unit.view.writing import MAIN, REMEMBER_SECONDS, kept

WAIT_SECONDS = 5.0

CONFIG = Config(
    lanes={"main": LaneConfig(partitions=1)},
    without_namespace=ChannelOptions(history_size=10, history_ttl=60.0),
    namespace=(
        NamespaceConfig(name="queued", reply="queued", history_size=10, history_ttl=60.0),
        NamespaceConfig(name="fleeting"),
    ),
)


def publish(channel: str, payload: bytes = b"{}") -> Entry:
    return Entry(EntryKind.PUBLISH, channel, NO_SENDER, payload)


def cut(epoch: str) -> Entry:
    return Entry(EntryKind.CUT, "", NO_SENDER, epoch.encode())


def batch(number: int, *channels: str, producer: str = "p") -> Batch:
    """A batch whose payloads say which entries they are."""
    return Batch(
        producer,
        number,
        [
            publish(channel, b'"%s %d %d"' % (producer.encode(), number, place))
            for place, channel in enumerate(channels)
        ],
    )


class Settlement(NamedTuple):
    """An outcome in a record that counts."""

    producer: str
    number: int
    place: int
    outcome: Outcome
    payload: bytes
    epoch: str


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not claim():  # noqa: ASYNC110  (the pool and the dead letters tell nobody)
            await asyncio.sleep(0.001)


class Scene:
    """An embedded node, and what was submitted to it."""

    def __init__(self, limits: EmbeddedLimits | None = None) -> None:
        self.node = EmbeddedBroker({"main": 1}, limits=limits)
        self.submitted: list[Batch] = []
        self._probes = 0

    async def submit(self, *batches: Batch) -> None:
        async with self.node.open("front") as broker:
            for each in batches:
                body = encode_batch(each.producer, each.number, each.entries)
                await broker.inbound(MAIN).submit(body, entries=len(each.entries), message_id="")
                if each not in self.submitted:
                    self.submitted.append(each)

    async def submit_nonsense(self, body: bytes = b"nonsense") -> None:
        async with self.node.open("front") as broker:
            await broker.inbound(MAIN).submit(body, entries=1, message_id="")

    @asynccontextmanager
    async def worker(
        self, name: str, handling: Handling | None = None
    ) -> AsyncIterator[PartitionWorker]:
        """A worker that dies at the end, together with its connection."""
        counters = WorkerCounters()
        async with self.node.open(name) as broker:
            deciding = Deciding(CONFIG, handling)
            worker = PartitionWorker(broker, MAIN, CONFIG, deciding, counters, handling=handling)
            running = asyncio.ensure_future(worker.run())
            try:
                yield worker
            finally:
                await self._stop(running, broker)

    async def _stop(self, running: asyncio.Future[None], broker: EmbeddedAccess) -> None:
        if broker.is_connected:
            self.node.disconnect(broker.node_id)
        running.cancel()
        await asyncio.wait([running])
        if not running.cancelled() and (error := running.exception()) is not None:
            raise error

    # ---- what the log says

    def settlements(self) -> list[Settlement]:
        view = PartitionView(REMEMBER_SECONDS)
        found: list[Settlement] = []
        for position, body in kept(self.node):
            change = view.fold(position, decode_record(body))
            assert change.judgement is not Judgement.MISSED
            if change.settled is None:
                continue
            payloads = iter(change.settled.payloads)
            for outcomes in change.settled.batches:
                for place, outcome in enumerate(outcomes.outcomes, outcomes.first):
                    payload = next(payloads) if isinstance(outcome, Published) else b""
                    found.append(
                        Settlement(
                            outcomes.producer,
                            outcomes.number,
                            place,
                            outcome,
                            payload,
                            view.ledger.epoch,
                        )
                    )
        return found

    def is_all_settled(self) -> bool:
        settled = {(each.producer, each.number, each.place) for each in self.settlements()}
        return all(
            (each.producer, each.number, place) in settled
            for each in self.submitted
            for place in range(len(each.entries))
        )

    async def settles_all(self) -> None:
        await until(self.is_all_settled)

    async def settles_all_and_drains(self) -> None:
        """Wait until all is settled and acknowledged too, be it by who had it delivered again."""
        await self.settles_all()
        self._probes += 1
        await self.submit(batch(self._probes, "probe", producer="probe"))
        await self.settles_all()
        await turns()

    def verify(self) -> None:
        """Every entry settled exactly once, as itself, each channel from 1 without a gap."""
        found = self.settlements()
        places = [(each.producer, each.number, each.place) for each in found]
        assert len(places) == len(set(places)), "an entry was settled twice"
        assert self.is_all_settled()
        offsets: dict[tuple[str, str, int], int] = {}
        published: dict[str, list[bytes]] = {}
        for each in found:
            if not isinstance(each.outcome, Published) or not each.outcome.offset:
                continue
            channel = each.outcome.channel
            life = each.epoch, channel, each.outcome.period
            offsets[life] = offsets.get(life, 0) + 1
            assert each.outcome.offset == offsets[life]
            published.setdefault(channel, []).append(each.payload)
        channels = {entry.channel for each in self.submitted for entry in each.entries}
        for channel in channels & published.keys():
            payloads = published[channel]
            assert payloads == [
                entry.payload
                for each in self.submitted
                for entry in each.entries
                if entry.channel == channel and entry.payload in payloads
            ]

    def epochs(self) -> list[str]:
        """The log's epochs, in order."""
        view = PartitionView(REMEMBER_SECONDS)
        found: list[str] = []
        for position, body in kept(self.node):
            if view.fold(position, decode_record(body)).judgement is Judgement.CUT:
                found.append(view.ledger.epoch)
        return found
