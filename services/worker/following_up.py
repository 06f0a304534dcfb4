"""Does what follows from a partition's records: entries for other pools, dead letters.

Rules
- One record after the other, in the order of the log; what cannot be done waits, and is tried again
  for as long as the partition is this worker's. Nothing of it is ever given up.
- What was left in the log is read again from there, some MiB at a time.
- Entries go into the pool as batches of a producer that is the log itself, numbered by position: a
  worker that does them again makes the same batches, and the pool's worker knows them.
- Nobody waits for them, so what is refused of them (by a worker with other settings) is a dead
  letter.
- Dead letters are kept at least once, each with an id that says where it comes from.
"""

import asyncio
from collections.abc import Callable
from itertools import count

import structlog

from broker.batch import Entry, EntryKind, encode_unheard
from broker.errors import BrokerUnavailable, SubmitRefused
from broker.interface import Broker, DeadLetter, DeadReason
from broker.partition import Partition
from broker.record import Letter, NextEntry
from services.worker.counting import WorkerCounters
from services.worker.sequels import Sequels, ToFollow

_log = structlog.get_logger(__name__)

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 5.0
_TELL_EVERY_PAUSES = 10

# To read what was left in the log, some MiB of it. A reader that hears nothing is opened anew.
_READ_SECONDS = 5.0

# Each waits for its confirm, some 1.5 ms. More would be hardly faster, and all of them are tried
# again, and told of, when the broker is away.
_LETTERS_AT_ONCE = 16


class FollowingUp:
    """Does the sequels of one log."""

    def __init__(
        self,
        broker: Broker,
        partition: Partition,
        sequels: Sequels,
        counters: WorkerCounters,
        has_followed: Callable[[], None],
    ) -> None:
        """Call `has_followed` whenever a record's sequels are done."""
        self._broker = broker
        self._partition = partition
        self._sequels = sequels
        self._counters = counters
        self._has_followed = has_followed
        self.is_held_up = False
        """Whether the first that is to be done could not be, the last time it was tried."""

    async def run(self) -> None:
        """Do them until cancelled. Cancelling: what was being done is done again, by the next."""
        self.is_held_up = False
        while True:
            to_follow = await self._next()
            for partition, entries in _by_partition(to_follow).items():
                await self._submit(to_follow, partition, entries)
            await self._set_all_aside(to_follow)
            self._sequels.done(to_follow)
            self.is_held_up = False
            self._has_followed()

    async def _next(self) -> ToFollow:
        """Wait for the first that is to be done."""
        for tries in count(1):
            await self._sequels.until_some()
            first = self._sequels.first
            if first is not None:
                return first
            try:
                async with asyncio.timeout(_READ_SECONDS):
                    await self._bring_back()
            except (BrokerUnavailable, TimeoutError) as error:
                await self._pause(tries, f"log.{self._partition.name}", error)
        raise AssertionError("counting has no end")

    async def _bring_back(self) -> None:
        """Read again what was left in the log, as much as there is room for."""
        start = self._sequels.left_from
        async with self._broker.log(self._partition).read(start) as reader:
            async for records in reader:
                for stored in records:
                    if not self._sequels.bring_back(stored):
                        return

    async def _submit(
        self, to_follow: ToFollow, partition: Partition, entries: list[Entry]
    ) -> None:
        producer = f"{self._partition.name}.{to_follow.epoch}"
        # A producer's numbers begin with 1, and positions with 0.
        number = to_follow.position + 1
        body = encode_unheard(producer, number, entries)
        inbound = self._broker.inbound(partition)
        for tries in count(1):
            try:
                await inbound.submit(
                    body,
                    entries=len(entries),
                    message_id=f"{producer}/{partition.name}/{number}",
                )
            except (SubmitRefused, BrokerUnavailable) as error:
                await self._pause(tries, f"inbound.{partition.name}", error)
            else:
                return

    async def _set_all_aside(self, to_follow: ToFollow) -> None:
        letters = [
            (place, sequel, payload)
            for place, (sequel, payload) in enumerate(
                zip(to_follow.sequels, to_follow.payloads, strict=True)
            )
            if isinstance(sequel, Letter)
        ]
        for start in range(0, len(letters), _LETTERS_AT_ONCE):
            async with asyncio.TaskGroup() as tasks:
                for letter in letters[start : start + _LETTERS_AT_ONCE]:
                    tasks.create_task(self._set_aside(to_follow, *letter))

    async def _set_aside(
        self, to_follow: ToFollow, place: int, letter: Letter, payload: bytes
    ) -> None:
        dead = DeadLetter(
            payload,
            DeadReason(letter.reason),
            letter.explanation,
            channel=letter.channel,
            attempts=letter.attempts,
            message_id=f"{to_follow.epoch}.{self._partition.name}/{to_follow.position}/{place}",
        )
        for tries in count(1):
            try:
                await self._broker.dead.set_aside(dead)
            except (SubmitRefused, BrokerUnavailable) as error:
                await self._pause(tries, "dead", error)
            else:
                self._counters.dead.value += 1
                return

    async def _pause(self, tries: int, queue: str, error: Exception) -> None:
        self.is_held_up = True
        self._counters.follow_waits.value += 1
        if tries % _TELL_EVERY_PAUSES == 1:
            _log.warning(
                "what follows from entries has to wait",
                partition=self._partition.name,
                queue=queue,
                reason=str(error),
            )
        pause_seconds = _FIRST_PAUSE_SECONDS * 2 ** min(tries, 10)
        await asyncio.sleep(min(pause_seconds, _LONGEST_PAUSE_SECONDS))


def _by_partition(to_follow: ToFollow) -> dict[Partition, list[Entry]]:
    entries: dict[Partition, list[Entry]] = {}
    for sequel, payload in zip(to_follow.sequels, to_follow.payloads, strict=True):
        if isinstance(sequel, NextEntry):
            partition = Partition(sequel.lane, sequel.partition)
            entry = Entry(EntryKind(sequel.kind), sequel.channel, sequel.sender, payload)
            entries.setdefault(partition, []).append(entry)
    return entries
