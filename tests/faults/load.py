"""Publishers and subscribers together: the load under which things are killed."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults.checker import Report, judge
from tests.faults.evidence import gather
from tests.faults.journal import Journal
from tests.faults.progress import Progress
from tests.faults.publisher import Publisher, Workload
from tests.faults.subscriber import Subscriber
from tests.system.connection import Reconnection

SUBSCRIBERS_A_CHANNEL = 3

# Publishing, and then receiving what is left, each end in seconds once what was killed is back.
FINISH_SECONDS = 60.0


@dataclass(frozen=True)
class LoadPlan:
    """How much is published where."""

    channels: Sequence[str] = tuple(f"open:{number}" for number in range(10))
    publishers: int = 20
    publications: int = 20_000
    window: int = 10
    # 20 x 200 a second: about 5 s of load, so that there is a middle to strike in.
    per_second: float = 200.0
    unsound_every: int = 0

    @property
    def workload(self) -> Workload:
        """One publisher's part."""
        each = self.publications // self.publishers
        return Workload(self.channels, each, self.window, self.per_second, self.unsound_every)


WHOLE = LoadPlan()


class Load:
    """Publishers, and three recovering subscribers a channel, spread over the fronts."""

    def __init__(self, fronts: list[str], seed: int, plan: LoadPlan = WHOLE) -> None:
        random = Random(seed)
        self.plan = plan
        self.progress = Progress()
        self.publishers = [
            Publisher(
                f"publisher-{number}",
                plan.workload,
                Reconnection(fronts, number, random),
                self.progress,
                random,
            )
            for number in range(plan.publishers)
        ]
        # Two clients share the channels, so that one connection's loss is not that of every one.
        groups = [list(plan.channels[::2]), list(plan.channels[1::2])]
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
        return self.progress.acknowledged / self.plan.publications

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
        enough = self.progress.attempted + len(self.plan.channels) * self.plan.publishers
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
            await self.until_published(FINISH_SECONDS)
            await self.until_received(FINISH_SECONDS)
        return judge(self.journals)

    def stop_publishing(self) -> None:
        """Attempt nothing more."""
        for publisher in self.publishers:
            publisher.finish()

    async def until_published(self, timeout_seconds: float) -> None:
        """Wait until every publisher knows what it can know of all its attempts.

        Raises:
            TimeoutError: that did not come in time.
        """
        await self.progress.until(
            lambda: all(each.is_done for each in self.publishers), timeout_seconds=timeout_seconds
        )

    async def until_received(self, timeout_seconds: float) -> None:
        """Wait until every subscriber has what was promised, and as much as any other has.

        Raises:
            TimeoutError: that did not come in time.
        """
        owed = self._promised_by_channel()
        await self.progress.until(lambda: self._is_drained(owed), timeout_seconds=timeout_seconds)

    def _is_drained(self, owed: dict[str, set[str]]) -> bool:
        positions = {
            (channel, each.positions.get(channel))
            for each in self.subscribers
            for channel in each.channels
        }
        return len(positions) == len(self.plan.channels) and all(
            owed[channel] <= each.received for each in self.subscribers for channel in each.channels
        )

    def _promised_by_channel(self) -> dict[str, set[str]]:
        owed: dict[str, set[str]] = defaultdict(set)
        evidence = gather(publisher.journal for publisher in self.publishers)
        for name, attempt in evidence.attempts.items():
            if attempt.is_promised:
                owed[attempt.channel].add(name)
        return owed

    def write_journals(self, directory: Path) -> None:
        """Keep the journals for a person to look at."""
        directory.mkdir(parents=True, exist_ok=True)
        for journal in self.journals:
            journal.write(directory / f"{journal.client}.jsonl")


@asynccontextmanager
async def under_load(
    fronts: list[str], *, seed: int, directory: Path, plan: LoadPlan = WHOLE
) -> AsyncIterator[Load]:
    """Publish and follow until the context ends; on an error the journals are kept."""
    load = Load(fronts, seed, plan)
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
