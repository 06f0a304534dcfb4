"""What a worker refuses by its settings, from the pool to the log and the counters."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec import Raw

from broker.batch import Batch, Entry, EntryKind
from broker.record import Refused
from services.schema_file import SchemaFile
from services.settings import Config, LaneConfig, NamespaceConfig
from services.units import Rate
from services.worker.app import run_worker
from services.worker.counting import WorkerCounters
from tests.unit.worker.parts import Scene, publish, until

CONFIG = Config(
    lanes={"main": LaneConfig(partitions=1)},
    namespace=(
        NamespaceConfig(name="chat", schema=SchemaFile("chat.json", b'{"type": "string"}')),
        NamespaceConfig(name="rare", rate=Rate(4, 3600)),
    ),
)


class Working(Scene):
    """A scene with one worker, whose counters are looked at."""

    def __init__(self, counters: WorkerCounters) -> None:
        super().__init__()
        self.counters = counters

    async def settle(self, number: int, *entries: Entry) -> None:
        await self.submit(Batch("p", number, list(entries)))
        await self.settles_all()


@pytest.fixture
async def scene() -> AsyncIterator[Working]:
    working = Working(WorkerCounters())
    stop = asyncio.Event()
    async with working.node.open("worker") as broker, asyncio.TaskGroup() as tasks:
        tasks.create_task(run_worker(CONFIG, broker, stop, working.counters))
        yield working
        stop.set()


def said(channel: str) -> Entry:
    """A client's publication."""
    return Entry(EntryKind.PUBLISH, channel, Raw(b'{"user":"ada","client":"a"}'), b"1")


def codes(scene: Scene) -> list[int]:
    return [
        each.outcome.code if isinstance(each.outcome, Refused) else 0
        for each in scene.settlements()
    ]


async def test_what_is_refused_is_settled_and_counted_by_its_code(scene: Working) -> None:
    await scene.settle(
        1,
        publish("chat:1", b'"a"'),
        publish("chat:1", b"1"),
        publish("chat:1", b"{"),
        publish("chat:1", b"2"),
    )
    assert codes(scene) == [0, 401, 107, 401]
    await until(lambda: scene.counters.refused.value == 3)
    assert scene.counters.refusals.values == {401: 2, 107: 1}


async def test_a_batch_that_comes_twice_is_counted_against_a_rate_once(scene: Working) -> None:
    batch = Batch("p", 1, [said("rare:1")] * 3)
    await scene.submit(batch, batch)
    await scene.settle(2, said("rare:1"), said("rare:1"))
    await scene.submit(batch)
    await scene.settle(3, said("rare:2"))
    assert codes(scene) == [0, 0, 0, 0, 111, 0]


async def test_with_another_worker_counting_begins_anew() -> None:
    scene = Scene()
    for number in (1, 2):
        stop = asyncio.Event()
        async with scene.node.open(f"worker-{number}") as broker, asyncio.TaskGroup() as tasks:
            tasks.create_task(run_worker(CONFIG, broker, stop, WorkerCounters()))
            await scene.submit(Batch("p", number, [said("rare:1")] * 5))
            await scene.settles_all()
            stop.set()
    assert codes(scene) == [0, 0, 0, 0, 111] * 2
