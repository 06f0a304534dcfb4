"""Workers come and go at any moment; every entry is settled exactly once, and in order."""

import asyncio
from contextlib import suppress

import pytest

from broker.batch import Batch, decode_batch
from broker.embedded import EmbeddedLimits
from broker.errors import TopologyProblem
from broker.interface import DeadReason
from broker.record import (
    Done,
    Fence,
    Outcome,
    Published,
    Refused,
    decode_record,
    encode_settled,
)
from services.settings import Config, LaneConfig
from services.worker.counting import WorkerCounters
from services.worker.deciding import Deciding, ToPublish
from services.worker.partition import PREFETCH, PartitionWorker
from services.worker.record import DecidedBatch, DecidedEntry, encode_outcomes
from tests.unit.view.records import outcomes, published
from tests.unit.view.writing import MAIN, LogWriter, kept
from tests.unit.worker.parts import (
    CONFIG,
    WAIT_SECONDS,
    Scene,
    batch,
    cut,
    publish,
    turns,
    until,
)

BATCHES = [batch(1, "a", "b", "a"), batch(2, "a"), batch(3, "b", "a")]

# In which turn of the event loop the fault comes. Measured: a worker that finds deliveries waiting
# has them after 9 turns, its Fence in the log after 13, their outcomes after 16, and is done at 22.
PHASES = range(6, 30)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who begins again does so at once: what is tested is not how long that takes."""
    monkeypatch.setattr("random.uniform", lambda _least, _most: 0.001)


async def ends(worker: PartitionWorker, running: asyncio.Future[None]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        await running


# ---- the ordinary course


async def test_a_worker_settles_what_it_is_given_and_tells_the_broker(scene: Scene) -> None:
    await scene.submit(*BATCHES)
    async with scene.worker("one"):
        await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)


async def test_a_worker_takes_what_comes_later(scene: Scene) -> None:
    async with scene.worker("one"):
        for each in BATCHES:
            await scene.submit(each)
            await scene.settles_all()
    scene.verify()


async def test_more_deliveries_than_a_worker_may_hold_are_settled_in_order(scene: Scene) -> None:
    await scene.submit(*(batch(number, "a", "b") for number in range(1, 3 * PREFETCH)))
    async with scene.worker("one"):
        await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)


async def test_a_channel_without_history_has_no_offsets(scene: Scene) -> None:
    await scene.submit(batch(1, "fleeting:a", "fleeting:a"))
    async with scene.worker("one"):
        await scene.settles_all()
    made = [each.outcome for each in scene.settlements()]
    assert [outcome.offset for outcome in made if isinstance(outcome, Published)] == [0, 0]


async def test_of_two_workers_one_works_and_the_other_takes_over(scene: Scene) -> None:
    async with scene.worker("other"):
        await turns()
        async with scene.worker("waiting"):
            await scene.submit(*BATCHES)
            await scene.settles_all()
            await turns()
            scene.node.disconnect("other")
            await scene.submit(batch(4, "a"), batch(5, "b"))
            await scene.settles_all()
    scene.verify()


async def test_entries_that_are_refused_are_answered_and_spoil_no_neighbour(scene: Scene) -> None:
    await scene.submit(Batch("p", 1, [publish("a"), publish("a", b"{"), publish("a")]))
    async with scene.worker("one"):
        await scene.settles_all()
    first, second, third = (each.outcome for each in scene.settlements())
    assert isinstance(second, Refused)
    assert isinstance(first, Published)
    assert isinstance(third, Published)
    assert (first.offset, third.offset) == (1, 2)
    assert scene.node.dead_letters() == []


async def test_a_batch_without_entries_is_done_with(scene: Scene) -> None:
    await scene.submit(Batch("p", 1, []), batch(2, "a"))
    async with scene.worker("one"):
        await scene.settles_all_and_drains()
    assert not scene.node.waiting(MAIN)


# ---- faults at every phase


@pytest.mark.parametrize("phase", PHASES)
async def test_a_worker_that_dies_at_any_phase_is_followed_by_another(
    scene: Scene, phase: int
) -> None:
    await scene.submit(*BATCHES)
    async with scene.worker("killed"):
        await turns(phase)
    async with scene.worker("next"):
        await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)


@pytest.mark.parametrize("phase", PHASES)
async def test_a_worker_that_dies_while_nothing_is_confirmed_is_followed_by_another(
    scene: Scene, phase: int
) -> None:
    await scene.submit(*BATCHES)
    async with scene.worker("killed"):
        await turns(phase)
        scene.node.hold_confirms()
        await turns(30)
    scene.node.release_confirms()
    async with scene.worker("next"):
        await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)


@pytest.mark.parametrize("phase", PHASES)
async def test_a_worker_that_loses_its_connection_at_any_phase_begins_again(
    scene: Scene, phase: int
) -> None:
    await scene.submit(*BATCHES)
    async with scene.worker("one"):
        await turns(phase)
        scene.node.disconnect("one")
        scene.node.reconnect("one")
        await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)


@pytest.mark.parametrize("phase", PHASES)
async def test_an_entry_that_was_answered_as_queued_is_kept_when_refused_whoever_dies(
    scene: Scene, phase: int
) -> None:
    await scene.submit(Batch("p", 1, [publish("queued:a", b"{")]))
    async with scene.worker("killed"):
        await turns(phase)
    async with scene.worker("next"):
        await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)
    assert {letter.reason for letter in scene.node.dead_letters()} == {DeadReason.REFUSED}


@pytest.mark.parametrize("phase", PHASES)
async def test_two_workers_that_both_believe_to_own_a_partition_settle_nothing_twice(
    scene: Scene, phase: int
) -> None:
    await scene.submit(*BATCHES)
    writer = LogWriter(scene.node)
    async with scene.worker("one"):
        await turns(phase)
        await writer.fence()
        # The other was given the first batch too, and settles it as far as it has not been read.
        view, settled = writer.fold(kept(scene.node))
        entries = [
            DecidedEntry(place, ToPublish(entry, has_history=True))
            for place, entry in enumerate(BATCHES[0].entries)
            if not settled.has("p", 1, place)
        ]
        if entries:
            body = encode_outcomes(view, [DecidedBatch(BATCHES[0], entries)], 0).body
            await writer.append(body)
        await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)


# ---- copies


async def test_copies_of_a_batch_in_one_record_are_settled_once(scene: Scene) -> None:
    await scene.submit(BATCHES[0], BATCHES[0], BATCHES[1], BATCHES[0])
    async with scene.worker("one"):
        await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)


async def test_a_copy_that_arrives_while_the_first_is_being_settled_is_settled_once(
    scene: Scene,
) -> None:
    await scene.submit(BATCHES[0])
    async with scene.worker("one"):
        await turns(12)
        await scene.submit(BATCHES[0])
        await scene.submit(BATCHES[1])
        await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)


async def test_a_copy_of_what_is_settled_is_done_with(scene: Scene) -> None:
    async with scene.worker("one"):
        await scene.submit(BATCHES[0])
        await scene.settles_all()
        records = len(kept(scene.node))
        await scene.submit(BATCHES[0])
        await turns()
        assert len(kept(scene.node)) == records
    scene.verify()
    assert not scene.node.waiting(MAIN)


async def test_of_a_batch_that_is_settled_in_part_only_the_rest_is_settled(scene: Scene) -> None:
    writer = LogWriter(scene.node)
    await writer.fence()
    head = kept(scene.node)[-1].position
    payload = BATCHES[0].entries[1].payload
    part = outcomes("p", 1, [published("b", 1, payload=payload)], size=3, first=1)
    await writer.append(encode_settled(head, 0, [part], [payload]))
    await scene.submit(*BATCHES)
    async with scene.worker("one"):
        await scene.settles_all_and_drains()
    scene.verify()
    assert [each.place for each in scene.settlements() if each.producer == "p"][:3] == [1, 0, 2]
    assert not scene.node.waiting(MAIN)


# ---- dead letters


async def test_a_delivery_that_is_no_batch_is_set_aside_and_the_partition_goes_on(
    scene: Scene,
) -> None:
    await scene.submit(BATCHES[0])
    await scene.submit_nonsense()
    await scene.submit(BATCHES[1])
    async with scene.worker("one"):
        await scene.settles_all_and_drains()
    scene.verify()
    assert [letter.body for letter in scene.node.dead_letters()] == [b"nonsense"]
    assert scene.node.dead_letters()[0].reason is DeadReason.UNDECODABLE
    assert scene.node.dead_letters()[0].explanation
    assert not scene.node.waiting(MAIN)


async def test_nothing_but_nonsense_is_set_aside_as_well(scene: Scene) -> None:
    async with scene.worker("one"):
        for body in (b"", b"[", b'["batch",99,"p",1,[]]'):
            await scene.submit_nonsense(body)
        await until(lambda: len(scene.node.dead_letters()) == 3)
        await turns()
    assert not scene.node.waiting(MAIN)


async def test_a_full_queue_of_dead_letters_stops_no_partition() -> None:
    scene = Scene(EmbeddedLimits(dead_max_bytes=1))
    await scene.submit_nonsense()
    await scene.submit(*BATCHES)
    async with scene.worker("one"):
        await scene.settles_all_and_drains()
    scene.verify()
    assert [each.body for each in scene.node.waiting(MAIN)] == [b"nonsense"]


async def test_what_is_refused_after_it_was_answered_as_queued_is_kept(scene: Scene) -> None:
    entries = [publish("queued:a"), publish("queued:a", b"{"), publish("a", b"{")]
    await scene.submit(Batch("p", 1, entries))
    async with scene.worker("one"):
        await scene.settles_all_and_drains()
    (letter,) = scene.node.dead_letters()
    assert letter.reason is DeadReason.REFUSED
    assert letter.explanation.startswith("107 ")
    assert decode_batch(letter.body) == Batch("p", 1, [entries[1]])


# ---- leaving


async def test_a_worker_that_leaves_finishes_the_record_in_flight(scene: Scene) -> None:
    async with scene.node.open("one") as broker:
        worker = PartitionWorker(broker, MAIN, CONFIG, Deciding(CONFIG), WorkerCounters())
        running = asyncio.ensure_future(worker.run())
        await scene.submit(batch(1, "a"))
        await scene.settles_all()
        await turns()  # the log has the record, but its confirm is still on its way
        scene.node.hold_confirms()
        held = asyncio.ensure_future(scene.submit(batch(2, "a")))
        await until(lambda: len(scene.settlements()) == 2)
        worker.leave()
        await turns()
        assert not running.done()
        scene.node.release_confirms()
        await ends(worker, running)
        await held
    scene.verify()
    assert not scene.node.waiting(MAIN)


async def test_an_idle_worker_leaves_at_once(scene: Scene) -> None:
    async with scene.node.open("one") as broker:
        worker = PartitionWorker(broker, MAIN, CONFIG, Deciding(CONFIG), WorkerCounters())
        running = asyncio.ensure_future(worker.run())
        await turns()
        worker.leave()
        await ends(worker, running)


async def test_what_a_leaving_worker_did_not_begin_is_there_for_the_next(scene: Scene) -> None:
    await scene.submit(*(batch(number, "a") for number in range(1, 10)))
    async with scene.node.open("one") as broker:
        worker = PartitionWorker(broker, MAIN, CONFIG, Deciding(CONFIG), WorkerCounters())
        running = asyncio.ensure_future(worker.run())
        await turns(8)
        await scene.submit(*(batch(number, "a") for number in range(10, 200)))
        worker.leave()
        await ends(worker, running)
    async with scene.worker("two"):
        await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)


async def test_a_worker_of_another_number_of_partitions_refuses_to_work(scene: Scene) -> None:
    config = Config(lanes={"main": LaneConfig(partitions=2)})
    async with scene.node.open("one") as broker:
        worker = PartitionWorker(broker, MAIN, config, Deciding(config), WorkerCounters())
        async with asyncio.timeout(WAIT_SECONDS):
            with pytest.raises(ExceptionGroup) as group:
                await worker.run()
    assert group.group_contains(TopologyProblem)


# ---- cuts


async def test_an_entry_that_asks_for_a_cut_begins_a_new_epoch(scene: Scene) -> None:
    async with scene.worker("one"):
        await scene.submit(batch(1, "a", "a"))
        await scene.settles_all()
        before = scene.epochs()[-1]
        await scene.submit(Batch("p", 2, [cut(before)]), batch(3, "a"))
        await scene.settles_all()
    scene.verify()
    assert len(scene.epochs()) == 2
    *_, cut_made, last = (each.outcome for each in scene.settlements())
    assert cut_made == Done()
    assert isinstance(last, Published)
    assert last.offset == 1


async def test_only_the_first_of_several_who_ask_cuts_an_epoch(scene: Scene) -> None:
    await scene.submit(batch(1, "a"))
    async with scene.worker("one"):
        await scene.settles_all()
        epoch = scene.epochs()[-1]
        await scene.submit(
            *(Batch(f"front {number}", 1, [cut(epoch), cut(epoch)]) for number in range(3))
        )
        await scene.settles_all()
        await scene.submit(Batch("late front", 1, [cut(epoch)]))
        await scene.settles_all()
    assert len(scene.epochs()) == 2


@pytest.mark.parametrize("phase", PHASES)
async def test_a_cut_is_made_once_or_twice_whoever_dies_and_loses_no_entry(
    scene: Scene, phase: int
) -> None:
    await scene.submit(batch(1, "a"))
    async with scene.worker("first"):
        await scene.settles_all()
    epoch = scene.epochs()[-1]
    await scene.submit(Batch("p", 2, [cut(epoch)]), batch(3, "a"))
    async with scene.worker("killed"):
        await turns(phase)
    async with scene.worker("next"):
        await scene.settles_all()
    scene.verify()
    assert len(scene.epochs()) == 2


async def test_a_log_that_lost_its_tail_gets_a_new_epoch_from_who_had_read_it(
    scene: Scene,
) -> None:
    async with scene.worker("one"):
        await scene.submit(batch(1, "a"), batch(2, "a"))
        await scene.settles_all_and_drains()
        before = scene.epochs()
        scene.node.disconnect("one")
        scene.node.lose_tail(MAIN, 1)
        await LogWriter(scene.node).fence()
        scene.node.reconnect("one")
        await scene.submit(batch(3, "a"))
        await until(lambda: any(each.number == 3 for each in scene.settlements()))
    assert scene.epochs()[:-1] == before
    last = scene.settlements()[-1].outcome
    assert isinstance(last, Published)
    assert last.offset == 1


# ---- somebody else


async def test_a_fence_is_in_whatever_retention_leaves_of_a_log_of_large_records(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.worker.claim.FENCE_EVERY_BYTES", 300)
    async with scene.worker("one"):
        for number in range(1, 10):
            await scene.submit(batch(number, "a"))
            await scene.settles_all()
    records = [(decode_record(body), len(body)) for _, body in kept(scene.node)]
    unfenced_bytes = 0
    for record, size_bytes in records:
        unfenced_bytes = 0 if isinstance(record, Fence) else unfenced_bytes + size_bytes
        assert unfenced_bytes < 300 + size_bytes
    assert sum(isinstance(record, Fence) for record, _ in records) > 3
    scene.verify()


async def test_a_fence_of_somebody_else_makes_an_idle_worker_claim_again(scene: Scene) -> None:
    async with scene.worker("one"):
        await scene.submit(batch(1, "a"))
        await scene.settles_all()
        await LogWriter(scene.node).fence()
        await scene.submit(batch(2, "a"))
        await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)


async def test_what_somebody_else_refused_stays_refused(scene: Scene) -> None:
    writer = LogWriter(scene.node)
    await writer.fence()
    made: list[Outcome] = [Refused(103, "permission denied")]
    head = kept(scene.node)[-1].position
    await writer.append(encode_settled(head, 0, [outcomes("p", 1, made)], []))
    await scene.submit(batch(1, "a"))
    async with scene.worker("one"):
        await turns(60)
    assert [each.outcome for each in scene.settlements()] == made
    assert not scene.node.waiting(MAIN)


# ---- standing in line


async def test_a_worker_that_steps_behind_leaves_what_it_did_not_begin_to_the_next(
    scene: Scene,
) -> None:
    async with scene.worker("first") as first:
        await turns()
        async with scene.worker("second"):
            await turns()
            await scene.submit(*BATCHES)
            first.step_behind()
            await until(lambda: scene.node.line(MAIN) == ["second", "first"])
            await scene.submit(batch(4, "a"))
            await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)


@pytest.mark.parametrize("phase", PHASES)
async def test_a_worker_that_steps_behind_at_any_moment_finishes_what_it_has_begun(
    scene: Scene, phase: int
) -> None:
    await scene.submit(*BATCHES)
    async with scene.worker("first") as first, scene.worker("second"):
        await turns(phase)
        first.step_behind()
        await scene.submit(batch(4, "a", "b"))
        await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)


async def test_a_worker_tells_each_time_that_it_has_taken_its_stand(scene: Scene) -> None:
    stands: list[str] = []
    async with scene.node.open("one") as broker:
        worker = PartitionWorker(
            broker, MAIN, CONFIG, Deciding(CONFIG), WorkerCounters(), lambda: stands.append("one")
        )
        running = asyncio.ensure_future(worker.run())
        await until(lambda: len(stands) == 1)
        worker.step_behind()
        await until(lambda: len(stands) == 2)
        worker.leave()
        await ends(worker, running)


async def test_a_worker_whose_log_is_read_anew_leaves_its_place_to_one_that_is_warm(
    scene: Scene,
) -> None:
    async with scene.worker("cold") as cold:
        await turns()
        async with scene.worker("warm"):
            await turns()
            assert scene.node.line(MAIN) == ["cold", "warm"]
            cold.reader.is_caught_up.clear()
            await scene.submit(batch(1, "a"))
            await scene.settles_all()
            assert scene.node.line(MAIN)[0] == "warm"
    scene.verify()


# ---- a reader that hears nothing


@pytest.fixture
def _soon_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.worker.claim.UNREAD_SECONDS", 0.4)


@pytest.mark.usefixtures("_soon_unread")
async def test_a_worker_that_went_deaf_hears_again_and_goes_on(scene: Scene) -> None:
    async with scene.worker("one"):
        await scene.submit(batch(1, "a"))
        await scene.settles_all_and_drains()
        scene.node.deafen("one")
        await scene.submit(batch(2, "a"))
        await scene.settles_all_and_drains()
    scene.verify()


@pytest.mark.usefixtures("_soon_unread")
async def test_a_worker_that_stays_deaf_lets_another_have_the_partition(scene: Scene) -> None:
    deafening = asyncio.ensure_future(stays_deaf(scene, "deaf"))
    async with scene.worker("deaf") as deaf:
        await turns()
        async with scene.worker("hearing"):
            for number in range(1, 4):
                await scene.submit(batch(number, "a"))
                await scene.settles_all()
            assert scene.node.line(MAIN)[0] == "hearing"
            assert not deaf.reader.is_caught_up.is_set()
        deafening.cancel()
    scene.verify()


async def stays_deaf(scene: Scene, name: str) -> None:
    """Whatever a process opens anew tells it of nothing either."""
    while True:
        await asyncio.sleep(0)
        with suppress(KeyError):  # not there yet
            scene.node.deafen(name)


@pytest.mark.usefixtures("_soon_unread")
async def test_a_worker_that_waits_to_hear_again_leaves_at_once(scene: Scene) -> None:
    async with scene.node.open("deaf") as broker:
        worker = PartitionWorker(broker, MAIN, CONFIG, Deciding(CONFIG), WorkerCounters())
        running = asyncio.ensure_future(worker.run())
        await turns()
        deafening = asyncio.ensure_future(stays_deaf(scene, "deaf"))
        await scene.submit(batch(1, "a"))
        await until(lambda: not worker.reader.is_caught_up.is_set())
        worker.leave()
        await ends(worker, running)
        deafening.cancel()
