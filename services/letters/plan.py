"""What of the dead letters can be done again, in which partition and in what order.

The order is the log's: a letter's id says at which position of which log its entry was given up,
and in which place of the record. The queue has them in nearly the same order; but a letter may be
set aside twice, and what a killed reader of many held can come back in another.

An entry is submitted with a key: its own if it has one, or its letter's id. The worker carries out
once what comes with a key. So an entry that was done again, failed again and is two letters now is
still one; and so is a letter that was set aside twice.

Rules: pure. What cannot be done again is said, and stays.
"""

from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from broker.batch import Entry, EntryKind, decode_batch
from broker.errors import UndecodableBody
from broker.interface import DeadLetter, DeadReason, HeldLetter
from broker.partition import Partition, partition_number
from services.permissions import Permissions
from services.settings import Config
from services.wire.channel import parse_channel
from services.wire.errors import Refusal

# A confirm costs some milliseconds, so this is thousands of letters a second; and what was under
# way when a replay was killed is submitted again, in vain.
BATCH_ENTRIES_AT_MOST = 200
BATCH_BYTES_AT_MOST = 512 * 1024
"""A batch holds at least one entry, and further ones as far as these go."""


class Staying(Exception):
    """A letter cannot be done again; the text says why."""


class _Place(NamedTuple):
    """Where an entry was given up."""

    log: str
    """Its epoch and its partition's name."""
    position: int
    number: int

    @property
    def partition(self) -> Partition:
        lane, _, number = self.log.partition(".")[2].rpartition(".")
        return Partition(lane, int(number))


class Planned:
    """An entry that is to be submitted, and the letters that are about it."""

    __slots__ = ("entry", "letters", "place", "set_aside_seconds")

    def __init__(self, entry: Entry, place: _Place, set_aside_seconds: int) -> None:
        self.entry = entry
        self.place = place
        self.set_aside_seconds = set_aside_seconds
        self.letters: list[HeldLetter] = []


class Plan:
    """What is to be done; letters are added in the order in which they are read."""

    def __init__(self, config: Config) -> None:
        self._permissions = Permissions(config)
        self._lanes = config.lanes
        self._planned: dict[tuple[str, str], Planned] = {}
        self._partitions: dict[Partition, list[Planned]] = {}
        self.staying: dict[str, int] = {}
        """How many letters cannot be done again, by the reason."""

    @property
    def entries(self) -> int:
        """How many entries are to be submitted."""
        return len(self._planned)

    def add(self, held: HeldLetter) -> None:
        """Take a letter into account."""
        try:
            self._add(held)
        except Staying as staying:
            self.staying[str(staying)] = self.staying.get(str(staying), 0) + 1

    def _add(self, held: HeldLetter) -> None:
        letter = held.letter
        entry, place = _read_entry(letter), _read_place(letter)
        entry = replace(entry, key=entry.key or letter.message_id)
        planned = self._planned.get((entry.channel, entry.key))
        if planned is None:
            partition = self._find_partition(entry, place)
            planned = Planned(entry, place, letter.set_aside_seconds)
            self._planned[entry.channel, entry.key] = planned
            self._partitions.setdefault(partition, []).append(planned)
        elif place.log == planned.place.log:
            planned.place = min(place, planned.place)
        # There may be a quarter of a gigabyte of them, and the entry is enough.
        planned.letters.append(held._replace(letter=letter._replace(body=b"")))

    def _find_partition(self, entry: Entry, place: _Place) -> Partition:
        partition = place.partition
        if entry.kind is EntryKind.PUBLISH:
            try:
                channel = parse_channel(entry.channel)
            except Refusal as refusal:
                raise Staying(f"of its channel's name: {refusal.error.message}") from None
            options = self._permissions.options_of(channel)
            if options is None:
                raise Staying(f"there is no namespace {channel.namespace!r} any more")
            count = self._lanes[options.lane].partitions
            return Partition(options.lane, partition_number(entry.channel, count))
        if partition.lane not in self._lanes:
            raise Staying(f"there is no lane {partition.lane!r} any more")
        return partition

    def batches(self) -> Iterator[tuple[Partition, int, list[Planned]]]:
        """Give partition, number and entries of each batch, in the order to submit them in."""
        for partition, planned in self._partitions.items():
            for number, batch in enumerate(_cut(_sorted(planned)), 1):
                yield partition, number, batch


def _read_entry(letter: DeadLetter) -> Entry:
    if letter.reason is DeadReason.UNDECODABLE:
        raise Staying("what is undecodable cannot be done again")
    try:
        entries = decode_batch(letter.body).entries
    except UndecodableBody as error:
        raise Staying(f"its body is of another version: {error}") from None
    if len(entries) != 1:
        raise Staying("its body is no batch of one entry")
    return entries[0]


def _read_place(letter: DeadLetter) -> _Place:
    try:
        log, position, index = letter.message_id.split("/")
        place = _Place(log, int(position), int(index))
        place.partition  # noqa: B018  (reading it is the check)
    except ValueError:
        raise Staying("it has no id of a log's place") from None
    return place


def _sorted(planned: list[Planned]) -> list[Planned]:
    """In the order of the log; of several logs, first what was begun first."""
    began: dict[str, int] = {}
    for each in planned:
        known = began.setdefault(each.place.log, each.set_aside_seconds)
        began[each.place.log] = min(known, each.set_aside_seconds)
    return sorted(planned, key=lambda each: (began[each.place.log], *each.place))


def _cut(planned: list[Planned]) -> Iterator[list[Planned]]:
    batch: list[Planned] = []
    size_bytes = 0
    for each in planned:
        size = len(each.entry.payload)
        is_full = len(batch) >= BATCH_ENTRIES_AT_MOST or size_bytes + size > BATCH_BYTES_AT_MOST
        if batch and is_full:
            yield batch
            batch, size_bytes = [], 0
        batch.append(each)
        size_bytes += size
    if batch:
        yield batch
