"""A partition and everybody at it, in memory, one random step at a time.

Producers submit batches, lose confirms and submit again; a queue gives deliveries to one worker
and gives them back in place when that one is gone; workers die, freeze, are believed dead, and
append late; the network delays appends or loses them. What judges, counts and encodes is the real
thing (`services.view`, `services.worker.record`); only who does what when is made up here, and the
claim, whose real form waits.

Rules: all chance comes from one seed. A mutant breaks one rule, everywhere alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import NamedTuple

from broker.batch import FORMAT_VERSION, NO_SENDER, Batch, Entry, EntryKind
from broker.interface import Position
from broker.record import Fence, Outcomes, Published, Record, Settled, decode_record, encode_fence
from services.view.ledger import READ_EARLY_POSITIONS, Judgement, Ledger
from services.view.partition import PartitionView
from services.view.settled import ProducerState, SettledNumbers
from services.view.snapshot import Snapshot, encode_snapshot, latest_snapshot
from services.worker.deciding import ToPublish
from services.worker.record import DecidedBatch, DecidedEntry, encode_outcomes

CHANNELS = "ab"
REMEMBER_SECONDS = 30
TICKS_A_SECOND = (20, 2_000)
"""So that channels are forgotten again and again in some worlds, and never in others."""
WORKERS = 3
PRODUCERS = 3
PREFETCH = 8
QUEUED_AT_MOST = 12
REST_ROUNDS = 4_000


class Violation(Exception):
    """What must hold does not."""


@dataclass(frozen=True)
class Rules:
    """The rules that hold; each False is a mutant."""

    settled_is_skipped: bool = True
    fences_move_the_head: bool = True
    after_is_the_head: bool = True
    numbers_are_exact: bool = True
    resent_before_others: bool = True
    readers_wait_for_a_fence: bool = True
    cuts_are_final: bool = True
    order_is_kept: bool = True
    """Whether the queue gives everything back in its place. No mutant: a queue need not."""


class Stored(NamedTuple):
    """A record in the log."""

    position: Position
    body: bytes
    record: Record


# ---- mutants of what is folded


class _MutantLedger(Ledger):
    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self._rules = rules

    def judge(self, position: Position, record: Record) -> Judgement:
        if isinstance(record, Fence):
            return self._judge_fence(position, record)
        if self.fence is None and not self._rules.readers_wait_for_a_fence:
            self.fence = Fence(FORMAT_VERSION, "", "", "", 1, 0)
            self.fence_position, self.head = position - 1, record.after
        if self.fence is not None and not self._rules.after_is_the_head:
            record = Settled(self.head, record.wall_ms, record.batches, record.payloads)
        return super().judge(position, record)

    def _judge_fence(self, position: Position, fence: Fence) -> Judgement:
        head = self.head
        judgement = super().judge(position, fence)
        if head >= 0 and not self._rules.fences_move_the_head:
            self.head = head
        if fence.cut and not self._rules.cuts_are_final:
            self._is_epoch_certain = False
        return judgement


class _BareMaximum(SettledNumbers):
    def __init__(self) -> None:
        super().__init__()
        self._highest: dict[str, int] = {}

    def mark(self, outcomes: Outcomes) -> None:
        super().mark(outcomes)
        if super().is_whole(outcomes.producer, outcomes.number):
            highest = self._highest.get(outcomes.producer, 0)
            self._highest[outcomes.producer] = max(highest, outcomes.number)

    def is_whole(self, producer: str, number: int) -> bool:
        return number <= self._highest.get(producer, 0)

    def restore(self, states: list[ProducerState]) -> None:
        super().restore(states)
        self._highest = {state.producer: state.highest for state in states if state.whole != "0"}


class Folding:
    """One reader of the log: the view, and what is settled."""

    def __init__(self, rules: Rules) -> None:
        self.view = PartitionView(REMEMBER_SECONDS)
        self.view.ledger = _MutantLedger(rules)
        self.settled = SettledNumbers() if rules.numbers_are_exact else _BareMaximum()
        self.read = 0
        """How many of the log's records were read, or left out by a snapshot."""

    def restore(self, written: Sequence[bytes], log: Sequence[Stored]) -> None:
        snapshot = latest_snapshot(written)
        assert snapshot is not None
        self.view.restore(snapshot)
        self.settled.restore(snapshot.producers)
        self.read = next(i for i, s in enumerate(log, 1) if s.position == snapshot.position)

    def fold(self, stored: Stored) -> Judgement:
        change = self.view.fold(stored.position, stored.record)
        if change.judgement is Judgement.MISSED:
            raise Violation(f"a reader missed something before {stored.position}")
        if change.settled is not None:
            for outcomes in change.settled.batches:
                self.settled.mark(outcomes)
        self.read += 1
        return change.judgement

    def counted(self, log: Iterable[Stored]) -> dict[Position, str]:
        """Fold all; give the positions of the records that count, and their epochs."""
        found = {}
        for stored in log:
            if self.fold(stored) is Judgement.COUNTS:
                found[stored.position] = self.view.ledger.epoch
        return found

    def snapshot(self) -> list[bytes]:
        view = self.view
        made = Snapshot(
            view.ledger.head,
            "digest",
            view.ledger.state(),
            view.tops.rows(),
            self.settled.states(),
        )
        return list(encode_snapshot("id", made))


# ---- who is at the partition


class Producer:
    """One batch in flight; what was not confirmed is submitted again, before any other."""

    def __init__(self, world: "World", name: str) -> None:
        self._world = world
        self._name = name
        self._number = 0
        self.unconfirmed: list[Batch] = []

    def step(self) -> None:
        random, rules = self._world.random, self._world.rules
        is_new = not self.unconfirmed or (not rules.resent_before_others and random.random() < 0.5)
        if self._world.is_ending and not self.unconfirmed:
            return
        if not is_new or self._world.is_ending:
            self._submit(self.unconfirmed.pop(0))
            return
        self._number += 1
        batch = Batch(self._name, self._number, [self._entry(i) for i in range(self._size())])
        if random.random() > 0.05:  # else refused: a number that is missing for ever
            self._submit(batch)

    def _size(self) -> int:
        return self._world.random.choice((1, 1, 2, 4))

    def _entry(self, place: int) -> Entry:
        payload = f"{self._name} {self._number} {place}".encode()
        return Entry(EntryKind.PUBLISH, self._world.random.choice(CHANNELS), NO_SENDER, payload)

    def _submit(self, batch: Batch) -> None:
        world = self._world
        lands, is_confirmed = world.random.random() < 0.9, world.random.random() < 0.85
        if lands:
            world.queue.append(batch)
            world.submitted[batch.producer, batch.number] = batch
        if not lands or not (is_confirmed or world.is_ending):
            self.unconfirmed.append(batch)
        elif world.random.random() < 0.05:
            world.late_copies.append(batch)


class Flying(NamedTuple):
    """An append on its way, which outlives whoever sent it."""

    arrives_at_tick: int
    sender: "Worker"
    body: bytes


@dataclass
class Worker:
    """A worker as its own process sees it: it may be wrong about what it still owns."""

    world: "World"
    id: str
    folding: Folding
    held: list[Batch] = field(default_factory=list)
    is_cut_off: bool = False
    """The broker has closed its channel, which it does not know yet."""
    has_begun: bool = False
    is_lost: bool = False
    in_flight: bytes | None = None
    fence_epoch: str | None = None

    def step(self) -> None:
        random = self.world.random
        self.read(random.choice((1, 1, 3, 50)))
        if self.is_lost:
            self.drop()
        elif random.random() < 0.4:
            self.take()
        elif self.in_flight is None and self.folding.view.ledger.epoch:
            self.append()

    def read(self, at_most: int) -> None:
        for stored in self.world.log[self.folding.read :][:at_most]:
            self._look_at(stored, self.folding.fold(stored))
        self._settle()

    def _look_at(self, stored: Stored, judgement: Judgement) -> None:
        is_ours = stored.body == self.in_flight
        if is_ours:
            self.in_flight = None
        if isinstance(stored.record, Fence):
            if is_ours:
                self.has_begun = True
                self.is_lost |= self.fence_epoch != self.folding.view.ledger.epoch
            else:
                self.is_lost |= self.has_begun
        elif is_ours:
            self.is_lost |= judgement is not Judgement.COUNTS
        else:
            self.is_lost |= self.has_begun and judgement is Judgement.COUNTS

    def take(self) -> None:
        if self.is_cut_off:
            self.is_lost = True
        elif self.world.line[0] is self and len(self.held) < PREFETCH and self.world.queue:
            batch = self.world.queue.pop(0)
            self.held.append(batch)
            self.world.unsettled.setdefault(self.id, []).append(batch)

    def _settle(self) -> None:
        if not self.has_begun:
            return
        for batch in list(self.held):
            if self.folding.settled.is_whole(batch.producer, batch.number):
                if self.is_cut_off:
                    self.is_lost = True
                    return
                self.held.remove(batch)
                self.world.unsettled[self.id].remove(batch)

    def append(self) -> None:
        view, random = self.folding.view, self.world.random
        if not self.held:
            return
        is_due = view.ledger.is_fence_due(view.position + 1)
        if not self.has_begun or is_due or random.random() < 0.08:
            self._fence(is_cut=self.has_begun and random.random() < 0.3)
            return
        if random.random() < 0.1:
            self.world.snapshots.append(self.folding.snapshot())
        batches = self._undecided(random.randint(1, 4))
        if batches:
            body = encode_outcomes(view, batches, self.world.tick).body
            self._send(body)

    def _undecided(self, batches_at_most: int) -> list[DecidedBatch]:
        settled, rules = self.folding.settled, self.world.rules
        found: list[DecidedBatch] = []
        seen: set[tuple[str, int]] = set()
        for batch in self.held:
            if (batch.producer, batch.number) in seen or len(found) == batches_at_most:
                continue
            seen.add((batch.producer, batch.number))
            entries = [
                DecidedEntry(place, ToPublish(entry, has_history=True))
                for place, entry in enumerate(batch.entries)
                if not rules.settled_is_skipped
                or not settled.has(batch.producer, batch.number, place)
            ]
            if len(entries) > 1 and self.world.random.random() < 0.2:
                found.append(DecidedBatch(batch, entries[: len(entries) // 2]))
                break
            if entries:
                found.append(DecidedBatch(batch, entries))
        return found

    def _fence(self, *, is_cut: bool) -> None:
        nonce = str(next(self.world.nonces))
        epoch = self.fence_epoch = f"e{nonce}" if is_cut else self.folding.view.ledger.epoch
        seconds = self.world.tick // self.world.ticks_a_second
        self._send(encode_fence(Fence(FORMAT_VERSION, self.id, nonce, epoch, 1, seconds, is_cut)))

    def _send(self, body: bytes) -> None:
        self.in_flight = body
        self.world.send(self, body)

    def drop(self) -> None:
        """Close the channel, which gives back what is held, and stand in line again."""
        if not self.is_cut_off:
            self.world.close(self)
        self.held.clear()
        self.is_cut_off = self.has_begun = self.is_lost = False
        self.in_flight = None
        self.world.line.append(self)


class World:
    """A log, a queue and everybody at them."""

    def __init__(self, seed: int, rules: Rules) -> None:
        self.random = Random(seed)
        self.rules = rules
        self.ticks_a_second = self.random.choice(TICKS_A_SECOND)
        self.tick = 0
        self.nonces = count()
        self.is_ending = False
        self.log: list[Stored] = []
        self.network: list[Flying] = []
        self.queue: list[Batch] = []
        self.late_copies: list[Batch] = []
        self.submitted: dict[tuple[str, int], Batch] = {}
        self.unsettled: dict[str, list[Batch]] = {}
        self.snapshots: list[list[bytes]] = []
        self._next_position = 0
        self._store(encode_fence(Fence(FORMAT_VERSION, "topology", "", "e", 1, 0, True)))
        self.producers = [Producer(self, f"p{index}") for index in range(PRODUCERS)]
        self.line = [self._start_worker() for _ in range(WORKERS)]
        self._workers = list(self.line)

    def run(self, steps: int) -> None:
        """Live, come to rest, and see whether all that must hold does.

        Raises:
            Violation: it does not.
        """
        for _ in range(steps):
            self.tick += 1
            self._step()
        self._come_to_rest()
        Checks(self).all_hold()

    def close(self, worker: Worker) -> None:
        """The queue takes back what a worker holds: in its place, or, if it may, in any order."""
        back = self.unsettled.pop(worker.id, [])
        if not self.rules.order_is_kept and self.random.random() < 0.3:
            self.random.shuffle(back)
        self.queue[:0] = back
        self.line.remove(worker)

    def _step(self) -> None:
        chance = self.random.random()
        if chance < 0.5:
            self.random.choice(self._workers).step()
        elif chance < 0.75:
            self._deliver()
        elif chance < 0.92:
            if len(self.queue) < QUEUED_AT_MOST:
                self.random.choice(self.producers).step()
        elif self.late_copies and chance < 0.94:
            self.queue.append(self.late_copies.pop())
        elif chance > 0.96:
            self._strike(self.random.choice(self._workers))

    def send(self, worker: Worker, body: bytes) -> None:
        """Put an append on its way, which is short for most."""
        ticks = self.random.choice((*range(10), 300))
        self.network.append(Flying(self.tick + ticks, worker, body))

    def _deliver(self) -> None:
        arrived = [flying for flying in self.network if flying.arrives_at_tick <= self.tick]
        if not arrived:
            return
        flying = self.random.choice(arrived)
        self.network.remove(flying)
        if self.random.random() < 0.03:
            flying.sender.is_lost |= flying.sender.in_flight == flying.body  # nacked
        else:
            self._store(flying.body)

    def _store(self, body: bytes) -> None:
        self.log.append(Stored(self._next_position, body, decode_record(body)))
        holes = self.random.choice((0, 0, 0, 0, 0, 0, 1, self.random.randint(0, 150)))
        self._next_position += 1 + holes

    def _strike(self, worker: Worker) -> None:
        kind = self.random.choice(("dies", "is believed dead", "loses patience"))
        if kind == "loses patience":
            worker.is_lost |= worker.in_flight is not None
        elif kind == "is believed dead":
            if not worker.is_cut_off:
                self.close(worker)
                worker.is_cut_off = True
        else:
            if not worker.is_cut_off:
                self.close(worker)
            self._workers.remove(worker)
            self._workers.append(self._start_worker())
            self.line.append(self._workers[-1])

    def _start_worker(self) -> Worker:
        folding = Folding(self.rules)
        if self.snapshots and self.random.random() < 0.5:
            folding.restore(self.random.choice(self.snapshots[-3:]), self.log)
        return Worker(self, f"w{next(self.nonces)}", folding)

    def _come_to_rest(self) -> None:
        self.is_ending = True
        for _ in range(REST_ROUNDS):
            self.tick += 1
            while self.network:
                self._store(self.network.pop(0).body)
            for producer in self.producers:
                producer.step()
            for worker in self._workers:
                worker.step()
            is_busy = self.queue or self.network or any(p.unconfirmed for p in self.producers)
            if not is_busy and not any(self.unsettled.values()):
                return
        raise Violation("it does not come to rest")


class Checks:
    """What must hold of a log at rest."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._log = world.log
        self._whole = Folding(world.rules)
        self._counted = self._whole.counted(world.log)

    def all_hold(self) -> None:
        self._each_entry_is_settled_once()
        self._offsets_have_no_gap()
        if self._world.rules.order_is_kept:
            self._producers_are_in_order()
        self._readers_from_the_middle_agree()
        self._readers_from_snapshots_agree()

    def _settled(self) -> Iterable[tuple[str, Settled]]:
        for stored in self._log:
            if stored.position in self._counted and isinstance(stored.record, Settled):
                yield self._counted[stored.position], stored.record

    def _each_entry_is_settled_once(self) -> None:
        found = [
            (each.producer, each.number, place)
            for _, record in self._settled()
            for each in record.batches
            for place in range(each.first, each.first + len(each.outcomes))
        ]
        if len(found) != len(set(found)):
            raise Violation("an entry has two outcomes that count")
        expected = {
            (producer, number, place)
            for (producer, number), batch in self._world.submitted.items()
            for place in range(len(batch.entries))
        }
        if set(found) != expected:
            raise Violation(f"{len(expected - set(found))} entries have no outcome")

    def _offsets_have_no_gap(self) -> None:
        offsets: dict[tuple[str, str, int], int] = {}
        for epoch, record in self._settled():
            for each in record.batches:
                for outcome in each.outcomes:
                    assert isinstance(outcome, Published)
                    life = epoch, outcome.channel, outcome.period
                    offsets[life] = offsets.get(life, 0) + 1
                    if outcome.offset != offsets[life]:
                        raise Violation(f"{life} goes on with {outcome.offset}")

    def _producers_are_in_order(self) -> None:
        last: dict[tuple[str, str], tuple[int, int]] = {}
        for _, record in self._settled():
            for each in record.batches:
                for place, outcome in enumerate(each.outcomes, each.first):
                    assert isinstance(outcome, Published)
                    key = each.producer, outcome.channel
                    if last.get(key, (0, 0)) > (each.number, place):
                        raise Violation(f"{key} is out of order at batch {each.number}")
                    last[key] = each.number, place

    def _readers_from_the_middle_agree(self) -> None:
        for first in self._world.random.choices(range(len(self._log)), k=20):
            reader = Folding(self._world.rules)
            agreed = self._log[first].position + READ_EARLY_POSITIONS
            counted = reader.counted(self._log[first:])
            if _from(counted, agreed) != _from(self._counted, agreed):
                raise Violation(f"a reader that began at {self._log[first].position} disagrees")

    def _readers_from_snapshots_agree(self) -> None:
        for snapshot in self._world.snapshots[-10:]:
            reader = Folding(self._world.rules)
            reader.restore(snapshot, self._log)
            after = reader.view.position + 1
            if reader.counted(self._log[reader.read :]) != _from(self._counted, after):
                raise Violation("a reader that began with a snapshot disagrees")
            if _channels(reader) != _channels(self._whole):
                raise Violation("a reader that began with a snapshot has other positions")
            if reader.settled.states() != self._whole.settled.states():
                raise Violation("a reader that began with a snapshot has other settled numbers")


def _from(counted: dict[Position, str], first: Position) -> dict[Position, str]:
    return {position: epoch for position, epoch in counted.items() if position >= first}


def _channels(folding: Folding) -> dict[str, tuple[int, int, int]]:
    rows = folding.view.tops.rows()
    return {channel: (top.period, top.offset, top.last_seconds) for channel, top in rows}
