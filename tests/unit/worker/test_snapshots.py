"""What a worker writes down is what the log adds up to at that position, whoever the worker is."""

import asyncio

import pytest

from broker.embedded import EmbeddedBroker
from broker.follow import read_to_end, record_digest
from broker.record import decode_record
from services.latest_snapshot import read_latest_snapshot
from services.view.snapshot import Snapshot, SnapshotSearch
from services.worker import snapshots
from services.worker.snapshots import SnapshotWriter
from tests.unit.view.writing import MAIN, LogWriter, kept
from tests.unit.worker.parts import Scene, batch, turns

MANY_CHANNELS = 9_000


@pytest.fixture(autouse=True)
def _always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "EVERY_RECORDS", 1)
    monkeypatch.setattr(snapshots, "AT_MOST_EVERY_SECONDS", 0.0)


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def latest(node: EmbeddedBroker) -> Snapshot | None:
    async with node.open("looks") as broker:
        return await read_latest_snapshot(broker.tops(MAIN))


async def all_written(node: EmbeddedBroker) -> list[Snapshot]:
    """Every complete one, in the order in which they were completed."""
    search, found = SnapshotSearch(), []
    async with node.open("looks") as broker:
        async for record in read_to_end(broker.tops(MAIN)):
            before = search.latest
            search.look_at(record.body)
            if search.latest is not before and search.latest is not None:
                *_, snapshot = search.latest.reading()
                assert snapshot is not None
                found.append(snapshot)
    return found


def folded_to(node: EmbeddedBroker, snapshot: Snapshot) -> Snapshot:
    """What the log adds up to at a snapshot's position."""
    records = [record for record in kept(node) if record.position <= snapshot.position]
    view, settled = LogWriter(node).fold(records)
    return Snapshot(
        records[-1].position,
        record_digest(records[-1].body),
        view.ledger.state(),
        view.tops.rows(),
        settled.states(),
    )


async def is_written(node: EmbeddedBroker, position: int) -> None:
    async with asyncio.timeout(5):
        while (found := await latest(node)) is None or found.position < position:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_worker_writes_what_the_log_adds_up_to(scene: Scene) -> None:
    async with scene.worker("worker"):
        for number in range(1, 6):
            await scene.submit(batch(number, "a", "b", f"channel {number}"))
            await scene.settles_all()
        await is_written(scene.node, kept(scene.node)[-1].position)
    found = await latest(scene.node)
    assert found is not None
    assert found == folded_to(scene.node, found)


@pytest.mark.parametrize("phase", range(0, 40, 4))
async def test_a_worker_whose_records_do_not_count_writes_nothing_of_them(
    scene: Scene, phase: int
) -> None:
    await scene.submit(*(batch(number, "a", "b", producer="q") for number in range(1, 9)))
    other = LogWriter(scene.node)
    async with scene.worker("worker"):
        for _ in range(3):
            # Somebody else takes the log while a record of the worker's is under way, or between.
            await turns(phase)
            await other.fence()
            await other.publish("a")
            await other.settle_late()
        await scene.settles_all()
        await turns()
    written = await all_written(scene.node)
    assert written
    for each in written:
        assert each == folded_to(scene.node, each)


async def test_what_is_folded_while_a_snapshot_is_written_is_not_in_it(scene: Scene) -> None:
    log = LogWriter(scene.node)
    await log.fence()
    for number in range(MANY_CHANNELS // 500):
        await log.publish(f"channel {number}", 500)
    view, settled = log.fold(kept(scene.node))
    last = kept(scene.node)[-1]
    expected = log.snapshot()
    async with scene.node.open("worker") as broker:
        writer = SnapshotWriter(broker.tops(MAIN), MAIN.name)
        writer.take(last, view, settled)
        writing = asyncio.ensure_future(writer.run())
        later = await log.publish("channel 1", 3)
        change = view.fold(later.position, decode_record(later.body))
        assert change.settled is not None
        settled.mark(change.settled.batches[0])
        await is_written(scene.node, last.position)
        writing.cancel()
    assert await latest(scene.node) == expected


async def test_no_second_snapshot_is_taken_while_one_is_written(scene: Scene) -> None:
    log = LogWriter(scene.node)
    await log.fence()
    first = await log.publish("a")
    view, settled = log.fold(kept(scene.node))
    async with scene.node.open("worker") as broker:
        writer = SnapshotWriter(broker.tops(MAIN), MAIN.name)
        writer.take(first, view, settled)
        second = await log.publish("a")
        writer.take(second, *log.fold(kept(scene.node)))
        writing = asyncio.ensure_future(writer.run())
        await is_written(scene.node, first.position)
        found = await latest(scene.node)
        assert found is not None
        assert found.position == first.position
        writing.cancel()


async def test_a_snapshot_that_cannot_be_written_is_left_out(scene: Scene) -> None:
    log = LogWriter(scene.node)
    await log.fence()
    first = await log.publish("a")
    async with scene.node.open("worker") as broker:
        writer = SnapshotWriter(broker.tops(MAIN), MAIN.name)
        writing = asyncio.ensure_future(writer.run())
        scene.node.disconnect("worker")
        writer.take(first, *log.fold(kept(scene.node)))
        await turns()
        scene.node.reconnect("worker")
        second = await log.publish("a")
        writer.take(second, *log.fold(kept(scene.node)))
        await is_written(scene.node, second.position)
        writing.cancel()
    assert [each.position for each in await all_written(scene.node)] == [second.position]
