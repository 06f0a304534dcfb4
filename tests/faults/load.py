"""Publishers and subscribers together: the load under which things are killed."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

from tests.faults.checker import Report, judge
from tests.faults.journal import Acknowledged, Attempted, Journal
from tests.faults.progress import Progress
from tests.faults.publisher import Publisher, Workload
from tests.faults.subscriber import Subscriber
from tests.system.connection import Reconnection

PUBLISHERS = 20
PUBLICATIONS = 20_000
CHANNELS = [f"open:{number}" for number in range(10)]
SUBSCRIBERS_A_CHANNEL = 3
WINDOW = 10
# 20 x 200 a second: about 5 s of load, so that there is a middle to strike in.
PER_SECOND = 200.0

# Publishing, and then receiving what is left, each end in seconds once what was killed is back.
FINISH_SECONDS = 60.0

# Two clients share the channels, so that one connection's loss is not that of every channel.
CHANNELS_A_SUBSCRIBER = len(CHANNELS) // 2


class Load:
    """Twenty publishers and three recovering subscribers a channel, spread over the fronts."""

    def __init__(self, fronts: list[str], seed: int) -> None:
        random = Random(seed)
        self.progress = Progress()
        each = PUBLICATIONS // PUBLISHERS
        workload = Workload(CHANNELS, each, WINDOW, PER_SECOND)
        self.publishers = [
            Publisher(
                f"publisher-{number}",
                workload,
                Reconnection(fronts, number, random),
                self.progress,
                random,
            )
            for number in range(PUBLISHERS)
        ]
        groups = [CHANNELS[:CHANNELS_A_SUBSCRIBER], CHANNELS[CHANNELS_A_SUBSCRIBER:]]
        self.subscribers = [
            Subscriber(
                f"subscriber-{number}",
                groups[number % len(groups)],
                Reconnection(fronts, number // len(groups), random),
                self.progress,
            )
            for number in range(SUBSCRIBERS_A_CHANNEL * len(groups))
        ]

    @property
    def journals(self) -> list[Journal]:
        """All clients' journals."""
        publishing = [each.journal for each in self.publishers]
        return publishing + [each.journal for each in self.subscribers]

    @property
    def share_acknowledged(self) -> float:
        """How much of the work is done, from 0 to 1."""
        return self.progress.acknowledged / PUBLICATIONS

    def is_followed(self) -> bool:
        """Whether every subscriber follows all its channels."""
        return all(each.positions.keys() >= set(each.channels) for each in self.subscribers)

    async def until_acknowledged(self, share: float) -> None:
        """Wait until so much of the work is done."""
        await self.progress.until(lambda: self.share_acknowledged >= share, timeout_seconds=30)

    async def until_entries_pile_up(self) -> None:
        """Wait until a frozen worker certainly has deliveries that it has not settled.

        One more attempt a publisher and channel reaches every partition; if the worker has nearly
        all partitions, the windows fill up first.
        """
        enough = self.progress.attempted + len(CHANNELS) * PUBLISHERS
        await self.progress.until(
            lambda: self.progress.attempted >= enough or self._are_windows_full(),
            timeout_seconds=5,
        )

    def _are_windows_full(self) -> bool:
        return all(each.unanswered >= each.window for each in self.publishers)

    async def finish(self) -> Report:
        """Wait until all is published and received, as far as that happens in time, and judge.

        No client acts between the moment at which all subscribers have come equally far and the
        judgement.
        """
        with suppress(TimeoutError):  # the report tells what did not happen
            await self.progress.until(self._is_published, timeout_seconds=FINISH_SECONDS)
            owed = self._acknowledged_by_channel()
            await self.progress.until(
                lambda: self._is_drained(owed), timeout_seconds=FINISH_SECONDS
            )
        return judge(self.journals)

    def _is_published(self) -> bool:
        return all(each.is_done for each in self.publishers)

    def _is_drained(self, owed: dict[str, set[str]]) -> bool:
        """Whether every subscriber has what was acknowledged, and as much as any other has."""
        positions = {
            (channel, each.positions.get(channel))
            for each in self.subscribers
            for channel in each.channels
        }
        return len(positions) == len(CHANNELS) and all(
            owed[channel] <= each.received for each in self.subscribers for channel in each.channels
        )

    def _acknowledged_by_channel(self) -> dict[str, set[str]]:
        channel_of: dict[str, str] = {}
        owed: dict[str, set[str]] = defaultdict(set)
        for publisher in self.publishers:
            for event in publisher.journal.events:
                if isinstance(event, Attempted):
                    channel_of[event.attempt] = event.channel
                elif isinstance(event, Acknowledged):
                    owed[channel_of[event.attempt]].add(event.attempt)
        return owed

    def write_journals(self, directory: Path) -> None:
        """Keep the journals for a person to look at."""
        directory.mkdir(exist_ok=True)
        for journal in self.journals:
            journal.write(directory / f"{journal.client}.jsonl")


@asynccontextmanager
async def under_load(fronts: list[str], *, seed: int, directory: Path) -> AsyncIterator[Load]:
    """Publish and follow until the context ends; on an error the journals are kept."""
    load = Load(fronts, seed)
    try:
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(each.run()) for each in load.subscribers]
            await load.progress.until(load.is_followed, timeout_seconds=10)
            publishing = [tasks.create_task(each.run()) for each in load.publishers]
            yield load
            for task in (*following, *publishing):
                task.cancel()
    except BaseException:
        load.write_journals(directory / "journals")
        raise
