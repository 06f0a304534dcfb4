"""A view kept folded: whatever it begins with, it ends as reading the whole log would."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from msgspec import json

from broker.batch import FORMAT_VERSION
from broker.embedded import EmbeddedAccess, EmbeddedBroker, EmbeddedLimits
from broker.errors import TopologyProblem
from broker.follow import Loss, record_digest
from broker.interface import Position, Since, StoredRecord, Stream, StreamReader
from broker.record import Record, encode_settled
from services.latest_snapshot import read_latest_snapshot
from services.log_reader import LogReader
from services.view.partition import Change, PartitionView
from services.view.snapshot import Snapshot, encode_snapshot
from services.view.tops import Top
from tests.unit.view.writing import MAIN, REMEMBER_SECONDS, LogWriter, kept

WAIT_SECONDS = 5.0


class Clock:
    """A wall clock that is set by hand, for the node and the readers."""

    def __init__(self) -> None:
        self.seconds = 10_000.0

    def __call__(self) -> float:
        return self.seconds


class Listening:
    """Keeps what a reader says."""

    def __init__(self) -> None:
        self.restarts: list[int | None] = []
        """The position of the snapshot that each began with."""
        self.folded_positions: list[int] = []
        self.losses: list[Loss] = []
        self.on_fold: Callable[[int], None] = lambda _: None
        self.may_fold = asyncio.Event()
        self.may_fold.set()
        self._news = asyncio.Event()

    def restarted(self, view: PartitionView, snapshot: Snapshot | None) -> None:
        self.restarts.append(None if snapshot is None else snapshot.position)
        self.folded_positions.clear()
        self._news.set()

    def folded(self, stored: StoredRecord, record: Record, change: Change) -> None:
        self.folded_positions.append(stored.position)
        self.on_fold(stored.position)
        self._news.set()

    def continuity_lost(self, loss: Loss) -> None:
        self.losses.append(loss)
        self._news.set()

    async def ready(self) -> None:
        await self.may_fold.wait()

    async def until(self, claim: Callable[[], bool]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not claim():
                self._news.clear()
                await self._news.wait()


class Reading:
    """A reader on an embedded node, and who listens to it."""

    def __init__(
        self, node: EmbeddedBroker, broker: EmbeddedAccess, clock: Clock, history_seconds: float
    ) -> None:
        self.node = node
        self.listening = Listening()
        self.reader = LogReader(
            broker,
            MAIN,
            partitions=1,
            remember_seconds=REMEMBER_SECONDS,
            listener=self.listening,
            history_seconds=history_seconds,
            wall_seconds=clock,
        )

    def snapshot(self) -> Snapshot:
        """What a worker would write down now."""
        ledger = self.reader.view.ledger
        last = next(r for r in reversed(kept(self.node)) if r.position == ledger.head)
        return Snapshot(
            last.position,
            record_digest(last.body),
            ledger.state(),
            self.reader.view.tops.rows(),
            [],
        )

    def epoch_to_end(self) -> str | None:
        return self.reader.epoch_to_end

    async def catches_up(self) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            await self.reader.is_caught_up.wait()

    async def reads_to(self, record: StoredRecord) -> None:
        await self.listening.until(lambda: self.reader.view.position >= record.position)

    def agrees_with(self, view: PartitionView) -> bool:
        mine = self.reader.view
        return (
            mine.ledger.fence is not None
            and mine.ledger.state() == view.ledger.state()
            and mine.tops.rows() == view.tops.rows()
            and mine.position == view.position
        )


class Scene:
    """A node, who writes its log, and readers."""

    def __init__(self, *, log_bytes: int = 2**24) -> None:
        self.clock = Clock()
        self.node = EmbeddedBroker(
            {"main": 1}, limits=EmbeddedLimits(log_max_bytes=log_bytes), wall_clock=self.clock
        )
        self.writer = LogWriter(self.node)

    @asynccontextmanager
    async def reading(
        self, *, history_seconds: float = 0.0, name: str = "reader"
    ) -> AsyncIterator[Reading]:
        async with self.node.open(name) as broker, asyncio.TaskGroup() as tasks:
            reading = Reading(self.node, broker, self.clock, history_seconds)
            running = tasks.create_task(reading.reader.run())
            yield reading
            running.cancel()

    async def fence(self, epoch: str | None = None, *, cut: bool = False) -> StoredRecord:
        return await self.writer.fence(epoch, wall_seconds=int(self.clock.seconds), cut=cut)

    async def live(self, seconds: int) -> None:
        """Let an owner publish for some time, with a Fence every ten seconds."""
        for second in range(seconds):
            if second % 10 == 0:
                await self.fence()
            await self.writer.publish(f"channel {second % 7}")
            if second % 13 == 0:
                await self.writer.settle_late()
            self.clock.seconds += 1


def large(snapshot: Snapshot) -> Snapshot:
    """The same with so many channels more that it takes several records."""
    more = [(f"more {number}", Top(0, 1, 0)) for number in range(7_000)]
    return Snapshot(
        snapshot.position,
        snapshot.digest,
        snapshot.ledger,
        [*more, *snapshot.channels],
        snapshot.producers,
    )


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who begins again does so at once: what is tested is not how long that takes."""
    monkeypatch.setattr("random.uniform", lambda _least, _most: 0.001)


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def fails_with_topology_problem(scene: Scene) -> TopologyProblem:
    async with scene.node.open("reader") as broker:
        reader = Reading(scene.node, broker, scene.clock, 0.0).reader
        async with asyncio.timeout(WAIT_SECONDS):
            with pytest.raises(TopologyProblem) as problem:
                await reader.run()
    return problem.value


async def stays_behind(reading: Reading) -> bool:
    for _ in range(50):
        await asyncio.sleep(0)
    return not reading.reader.is_caught_up.is_set()


# ---- where it begins


async def test_a_reader_without_a_snapshot_reads_the_whole_log(scene: Scene) -> None:
    await scene.live(30)
    async with scene.reading() as reading:
        await reading.catches_up()
        assert reading.agrees_with(scene.writer.view())
        assert reading.listening.folded_positions == [r.position for r in kept(scene.node)]
        assert reading.listening.restarts == [None]


async def test_a_reader_follows_what_is_appended_later(scene: Scene) -> None:
    async with scene.reading() as reading:
        await reading.catches_up()
        await scene.fence()
        await reading.reads_to(await scene.writer.publish("a", 3))
        assert reading.agrees_with(scene.writer.view())


async def test_a_reader_with_a_snapshot_reads_only_what_comes_after_it(scene: Scene) -> None:
    await scene.live(30)
    snapshot = await scene.writer.write_snapshot()
    await scene.live(5)
    async with scene.reading() as reading:
        await reading.catches_up()
        assert reading.agrees_with(scene.writer.view())
        assert reading.listening.restarts == [snapshot.position]
        assert min(reading.listening.folded_positions) > snapshot.position


async def test_a_reader_whose_snapshot_is_the_end_of_the_log_catches_up(scene: Scene) -> None:
    await scene.live(10)
    await scene.writer.write_snapshot()
    async with scene.reading() as reading:
        await reading.catches_up()
        assert reading.agrees_with(scene.writer.view())
        assert reading.listening.folded_positions == []


async def test_the_latest_of_several_snapshots_is_used(scene: Scene) -> None:
    for _ in range(2):
        await scene.live(10)
        await scene.writer.write_snapshot()
    await scene.live(10)
    last = await scene.writer.write_snapshot()
    async with scene.reading() as reading:
        await reading.catches_up()
        assert reading.listening.restarts == [last.position]


async def test_a_reader_that_wants_history_starts_earlier_than_its_snapshot(scene: Scene) -> None:
    await scene.live(200)
    before = await scene.writer.write_snapshot()
    await scene.live(5)
    async with scene.reading(history_seconds=20) as reading:
        await reading.catches_up()
        positions = reading.listening.folded_positions
        assert positions[0] < before.position
        assert len(positions) < len(kept(scene.node)) / 2
        assert reading.listening.restarts == [None]
        assert reading.agrees_with(scene.writer.view())


async def test_a_reader_that_started_early_knows_channels_it_never_read_of(scene: Scene) -> None:
    await scene.fence()
    await scene.writer.publish("old", 9)
    scene.clock.seconds += 1000
    await scene.live(100)
    await scene.writer.write_snapshot()
    async with scene.reading(history_seconds=10) as reading:
        await reading.catches_up()
        assert reading.reader.view.top("old")[1] == 9
        assert reading.agrees_with(scene.writer.view())


async def test_a_reader_that_started_early_knows_log_time_though_a_clock_was_set_back(
    scene: Scene,
) -> None:
    ahead_seconds = int(scene.clock.seconds) + 3000
    await scene.writer.fence(wall_seconds=ahead_seconds)
    await scene.writer.publish("a")
    scene.clock.seconds += 1000
    await scene.live(200)
    await scene.writer.write_snapshot()
    async with scene.reading(history_seconds=20) as reading:
        await reading.catches_up()
        assert reading.listening.restarts == [None]
        assert reading.reader.view.ledger.log_seconds == ahead_seconds
        assert reading.agrees_with(scene.writer.view())


async def test_a_snapshot_older_than_the_history_wanted_is_where_reading_begins(
    scene: Scene,
) -> None:
    await scene.live(10)
    snapshot = await scene.writer.write_snapshot()
    scene.clock.seconds += 1000
    await scene.live(10)
    async with scene.reading(history_seconds=20) as reading:
        await reading.catches_up()
        assert reading.listening.restarts == [snapshot.position]
        assert reading.agrees_with(scene.writer.view())


async def test_a_reader_leaves_out_history_that_takes_too_long(scene: Scene) -> None:
    await scene.live(100)
    snapshot = await scene.writer.write_snapshot()
    async with scene.node.open("reader") as broker:
        slow = Clock()
        slow.seconds = scene.clock.seconds
        reading = Reading(scene.node, broker, slow, history_seconds=10)

        def fold_slowly(_: int) -> None:
            slow.seconds += 100

        # More than one turn of reading, all of it before the snapshot.
        async with asyncio.TaskGroup() as tasks:
            reading.listening.on_fold = fold_slowly
            running = tasks.create_task(reading.reader.run())
            await reading.catches_up()
            assert reading.reader.view.position == snapshot.position
            running.cancel()


# ---- snapshots that are of no use


async def test_a_snapshot_of_another_log_is_not_used(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.follow.RESUME_SECONDS", 0.05)
    monkeypatch.setattr("broker.follow.LAGGING_SECONDS", 0.2)
    await scene.live(30)
    await scene.writer.write_snapshot()
    scene.node.recreate_log(MAIN)
    await scene.live(3)
    for history_seconds in (0.0, 20.0):
        async with scene.reading(history_seconds=history_seconds) as reading:
            await reading.catches_up()
            assert reading.agrees_with(scene.writer.view())
            assert reading.epoch_to_end() is None


async def test_a_snapshot_of_a_log_that_grew_again_differently_is_not_used(scene: Scene) -> None:
    await scene.live(30)
    await scene.writer.write_snapshot()
    scene.node.recreate_log(MAIN)
    await scene.live(60)
    for history_seconds in (0.0, 20.0):
        async with scene.reading(history_seconds=history_seconds) as reading:
            await reading.catches_up()
            assert reading.agrees_with(scene.writer.view())
            assert reading.epoch_to_end() is None


async def test_a_snapshot_beyond_a_lost_tail_asks_for_the_epochs_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.follow.RESUME_SECONDS", 0.05)
    monkeypatch.setattr("broker.follow.LAGGING_SECONDS", 0.2)
    await scene.live(30)
    await scene.writer.write_snapshot()
    scene.node.lose_tail(MAIN, 5)
    epoch = scene.writer.view().ledger.epoch
    for history_seconds in (0.0, 20.0):
        async with scene.reading(history_seconds=history_seconds) as reading:
            await reading.catches_up()
            assert reading.epoch_to_end() == epoch
            await reading.reads_to(await scene.fence("next", cut=True))
            assert reading.epoch_to_end() is None
        scene.node.lose_tail(MAIN, 1)


async def test_no_reader_is_caught_up_on_a_snapshot_that_was_not_found_in_the_log(
    scene: Scene,
) -> None:
    await scene.live(30)
    await scene.writer.write_snapshot()
    scene.node.recreate_log(MAIN)
    async with scene.reading() as reading:
        await reading.listening.until(lambda: bool(reading.listening.restarts))
        assert await stays_behind(reading)


async def test_a_snapshot_that_retention_overtook_is_not_used() -> None:
    scene = Scene(log_bytes=5000)
    await scene.live(10)
    await scene.writer.write_snapshot()
    await scene.live(60)
    for history_seconds in (0.0, 1000.0):
        async with scene.reading(history_seconds=history_seconds) as reading:
            await reading.catches_up()
            assert reading.listening.restarts[-1] is None
            assert reading.reader.view.ledger.head == scene.writer.view().ledger.head


async def test_a_reader_that_may_never_have_read_of_some_channel_asks_for_the_epochs_end() -> None:
    scene = Scene(log_bytes=5000)
    await scene.writer.publish("quiet now")
    await scene.live(60)
    epoch = scene.writer.view().ledger.epoch
    assert scene.writer.view().tops.get("quiet now") is None
    async with scene.reading() as reading:
        await reading.catches_up()
        assert reading.epoch_to_end() == epoch
        await reading.reads_to(await scene.fence("next", cut=True))
        assert reading.epoch_to_end() is None


async def test_a_log_that_was_cut_since_its_first_record_lacks_no_channel() -> None:
    scene = Scene(log_bytes=5000)
    await scene.live(60)
    await scene.fence("next", cut=True)
    await scene.live(3)
    async with scene.reading() as reading:
        await reading.catches_up()
        assert kept(scene.node)[0].position > 0
        assert reading.epoch_to_end() is None


async def test_a_log_that_goes_back_further_than_channels_are_remembered_lacks_none() -> None:
    scene = Scene(log_bytes=5000)
    await scene.live(60)
    scene.clock.seconds += REMEMBER_SECONDS + 1
    await scene.live(3)
    async with scene.reading() as reading:
        await reading.catches_up()
        assert kept(scene.node)[0].position > 0
        assert reading.epoch_to_end() is None


async def test_a_torn_snapshot_leaves_the_one_before_it_in_use(scene: Scene) -> None:
    await scene.live(10)
    whole = await scene.writer.write_snapshot()
    await scene.live(10)
    head, *parts = encode_snapshot("torn", large(scene.writer.snapshot()))
    for torn in ([head], [head, parts[0]], [head, *parts[1:]], [head, parts[0], *parts[2:]]):
        await scene.writer.append_tops(torn)
        async with scene.reading() as reading:
            await reading.catches_up()
            assert reading.listening.restarts == [whole.position]
            assert reading.agrees_with(scene.writer.view())


async def test_nothing_but_torn_snapshots_are_as_good_as_none(scene: Scene) -> None:
    await scene.live(10)
    for number in range(200):
        head, *parts = encode_snapshot(f"torn {number}", large(scene.writer.snapshot()))
        await scene.writer.append_tops([head, *parts[:-1]])
    async with scene.reading() as reading:
        await reading.catches_up()
        assert reading.listening.restarts == [None]
        assert reading.agrees_with(scene.writer.view())


async def test_two_snapshots_written_into_each_other_are_both_good(scene: Scene) -> None:
    await scene.live(10)
    early = encode_snapshot("early", large(scene.writer.snapshot()))
    await scene.live(10)
    late_made = large(scene.writer.snapshot())
    late = encode_snapshot("late", late_made)
    await scene.writer.append_tops(
        [body for pair in zip(early, late, strict=True) for body in pair]
    )
    async with scene.reading() as reading:
        await reading.catches_up()
        assert reading.listening.restarts == [late_made.position]


async def test_a_snapshot_far_from_the_end_of_its_stream_is_found(scene: Scene) -> None:
    await scene.live(10)
    snapshot = await scene.writer.write_snapshot()
    await scene.writer.append_tops([b"nonsense"] * 2_000)
    async with scene.reading() as reading:
        await reading.catches_up()
        assert reading.listening.restarts == [snapshot.position]


class ReadFrom:
    """A stream of which is noted where it is read from."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.starts: list[Position | Since] = []

    async def append(self, body: bytes, *, entries: int) -> None:
        await self._stream.append(body, entries=entries)

    def read(self, start: Position | Since) -> AbstractAsyncContextManager[StreamReader]:
        self.starts.append(start)
        return self._stream.read(start)

    async def end(self) -> Position:
        return await self._stream.end()


async def test_older_snapshots_are_not_read(scene: Scene) -> None:
    await scene.live(10)
    await scene.writer.append_tops([b"nonsense"] * 2_000)
    snapshot = await scene.writer.write_snapshot()
    async with scene.node.open("reader") as broker:
        tops = ReadFrom(broker.tops(MAIN))
        assert await read_latest_snapshot(tops) == snapshot
        (start,) = tops.starts
        assert isinstance(start, int)
        assert start > 1_000


async def test_a_snapshot_of_a_worker_that_fell_behind_costs_only_time(scene: Scene) -> None:
    await scene.live(10)
    behind = scene.writer.snapshot()
    await scene.fence("next", cut=True)
    await scene.live(20)
    await scene.writer.write_snapshot()
    await scene.writer.write_snapshot(behind)
    async with scene.reading() as reading:
        await reading.catches_up()
        assert reading.listening.restarts == [behind.position]
        assert reading.agrees_with(scene.writer.view())


async def test_a_snapshot_of_a_later_format_is_passed_over(scene: Scene) -> None:
    await scene.live(10)
    older = await scene.writer.write_snapshot()
    later = scene.writer.snapshot()
    for body in encode_snapshot("later", later):
        fields = json.decode(body)
        fields[1] = FORMAT_VERSION + 1
        await scene.writer.append_tops([json.encode([*fields, "and more"])])
    async with scene.reading() as reading:
        await reading.catches_up()
        assert reading.listening.restarts == [older.position]


async def test_a_snapshot_with_rows_of_another_kind_is_not_used(scene: Scene) -> None:
    await scene.live(10)
    for body in encode_snapshot("odd", scene.writer.snapshot()):
        await scene.writer.append_tops([body.replace(b'"channel 1"', b"1")])
    async with scene.reading() as reading:
        await reading.catches_up()
        assert reading.listening.restarts == [None]
        assert reading.agrees_with(scene.writer.view())


# ---- what a log may not be


async def test_a_log_of_another_number_of_partitions_is_refused(scene: Scene) -> None:
    scene.writer.partitions = 3
    await scene.fence()
    problem = await fails_with_topology_problem(scene)
    assert "3 partitions" in str(problem)
    assert "lanes.main.partitions = 3" in problem.next_step


async def test_a_record_that_cannot_be_read_is_refused(scene: Scene) -> None:
    await scene.fence()
    bad = await scene.writer.append(b'["settled",99,0,0,[]]')
    problem = await fails_with_topology_problem(scene)
    assert f"position {bad.position}" in str(problem)


# ---- continuity


async def test_a_rewritten_log_is_told_and_read_anew(scene: Scene) -> None:
    await scene.live(20)
    async with scene.reading() as reading:
        await reading.catches_up()
        old = scene.writer.view().ledger.epoch
        scene.node.disconnect("reader")
        scene.node.recreate_log(MAIN)
        await scene.live(40)
        scene.node.reconnect("reader")
        await reading.listening.until(lambda: reading.listening.losses == [Loss.REWRITTEN])
        await reading.listening.until(lambda: reading.agrees_with(scene.writer.view()))
        await reading.catches_up()
        assert reading.reader.view.ledger.epoch != old
        assert reading.epoch_to_end() is None
        assert reading.listening.restarts == [None, None]


async def test_a_log_without_its_tail_is_told_and_its_epoch_is_to_end(scene: Scene) -> None:
    await scene.live(20)
    async with scene.reading() as reading:
        await reading.catches_up()
        scene.node.disconnect("reader")
        scene.node.lose_tail(MAIN, 3)
        last = await scene.fence()
        await scene.live(10)
        scene.node.reconnect("reader")
        await reading.listening.until(lambda: reading.listening.losses == [Loss.REWRITTEN])
        await reading.reads_to(last)
        await reading.catches_up()
        assert reading.epoch_to_end() == scene.writer.view().ledger.epoch
        await reading.reads_to(await scene.fence("next", cut=True))
        assert reading.epoch_to_end() is None


async def test_an_epochs_end_is_not_forgotten_while_earlier_epochs_are_read_again(
    scene: Scene,
) -> None:
    await scene.live(5)
    await scene.fence("second", cut=True)
    await scene.live(20)
    async with scene.reading() as reading:
        await reading.catches_up()
        scene.node.disconnect("reader")
        scene.node.lose_tail(MAIN, 3)
        await scene.live(10)
        scene.node.reconnect("reader")
        await reading.listening.until(lambda: reading.listening.losses != [])
        await reading.listening.until(lambda: reading.agrees_with(scene.writer.view()))
        await reading.catches_up()
        assert reading.epoch_to_end() == "second"


async def test_a_loss_before_anything_new_was_read_is_told_all_the_same(scene: Scene) -> None:
    await scene.live(20)
    await scene.writer.write_snapshot()
    async with scene.reading() as reading:
        await reading.catches_up()
        scene.node.disconnect("reader")
        scene.node.lose_tail(MAIN, 1)
        await scene.live(5)
        scene.node.reconnect("reader")
        await reading.listening.until(lambda: reading.listening.losses == [Loss.REWRITTEN])


@pytest.mark.parametrize("history_seconds", [0.0, 5.0])
async def test_an_overtaken_reader_is_told_and_begins_with_the_snapshot(
    history_seconds: float,
) -> None:
    scene = Scene(log_bytes=5000)
    await scene.fence()
    await scene.writer.publish("quiet now")
    await scene.live(10)
    async with (
        scene.reading(name="steady") as steady,
        scene.reading(history_seconds=history_seconds) as reading,
    ):
        await reading.catches_up()
        scene.node.disconnect("reader")
        await scene.live(60)
        await steady.reads_to(kept(scene.node)[-1])
        snapshot = await scene.writer.write_snapshot(steady.snapshot())
        await scene.live(2)
        scene.node.reconnect("reader")
        await reading.listening.until(lambda: reading.listening.losses == [Loss.OVERTAKEN])
        await reading.listening.until(lambda: reading.agrees_with(steady.reader.view))
        await reading.catches_up()
        begun_with = None if history_seconds else snapshot.position
        assert reading.listening.restarts == [None, begun_with]
        assert reading.epoch_to_end() is None
        assert reading.reader.view.top("quiet now")[1] == 1


async def test_an_overtaken_reader_without_a_snapshot_asks_for_the_epochs_end() -> None:
    scene = Scene(log_bytes=5000)
    await scene.live(10)
    async with scene.reading() as reading:
        await reading.catches_up()
        scene.node.disconnect("reader")
        await scene.live(60)
        scene.node.reconnect("reader")
        await reading.listening.until(lambda: reading.listening.losses == [Loss.OVERTAKEN])
        await reading.listening.until(
            lambda: reading.reader.view.position == kept(scene.node)[-1].position
        )
        await reading.catches_up()
        assert reading.epoch_to_end() == scene.writer.view().ledger.epoch
        assert reading.reader.view.ledger.head == scene.writer.view().ledger.head


async def test_a_slow_reader_that_retention_overtakes_is_told() -> None:
    scene = Scene(log_bytes=5000)
    await scene.live(3)
    async with scene.reading() as reading:
        await reading.catches_up()
        reading.listening.may_fold.clear()
        # The log keeps some 35 records: always a Fence, and it does not begin with one in the end.
        for number in range(80):
            if number % 30 == 0:
                await scene.fence()
            await scene.writer.publish("a")
        reading.listening.may_fold.set()
        await reading.listening.until(lambda: reading.listening.losses == [Loss.OVERTAKEN])
        assert reading.epoch_to_end() is None


async def test_a_slow_reader_that_goes_on_with_a_fence_is_told_by_the_offsets() -> None:
    scene = Scene(log_bytes=5000)
    await scene.live(3)
    async with scene.reading() as reading:
        await reading.catches_up()
        reading.listening.may_fold.clear()
        await scene.live(3)
        for _ in range(80):
            await scene.fence()
        await scene.writer.publish("channel 1")
        reading.listening.may_fold.set()
        await reading.listening.until(lambda: reading.listening.losses == [Loss.OVERTAKEN])


async def test_a_slow_reader_that_goes_on_with_a_fence_is_told_of_channels_now_quiet() -> None:
    scene = Scene(log_bytes=5000)
    await scene.live(3)
    async with scene.reading() as reading:
        await reading.catches_up()
        reading.listening.may_fold.clear()
        await scene.live(3)
        last = None
        for _ in range(80):
            last = await scene.fence()
        reading.listening.may_fold.set()
        assert last is not None
        await reading.reads_to(last)
        assert reading.listening.losses == [Loss.OVERTAKEN]


async def test_a_record_that_follows_one_never_read_is_a_loss(scene: Scene) -> None:
    await scene.live(5)
    async with scene.reading() as reading:
        await reading.catches_up()
        await scene.writer.append(encode_settled(kept(scene.node)[-1].position + 50, 0, [], []))
        await reading.listening.until(lambda: reading.listening.losses != [])
