"""What workers hold and what follows from it, in any legal order, against a model of what is due.

One partition, whose own pool is also where side publications go. Its log is a list; workers come
and go, with all that they knew or with nothing. Limits are so small that each is met all the time.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import Raw

from broker.batch import FORMAT_VERSION, NO_SENDER, Entry, EntryKind, decode_batch, encode_batch
from broker.interface import Delivery, StoredRecord
from broker.record import (
    Done,
    Fence,
    Letter,
    NextEntry,
    Outcome,
    Published,
    Refused,
    Settled,
    decode_record,
    encode_fence,
)
from services.view import settled as settled_module
from services.view.ledger import Judgement
from services.view.partition import PartitionView
from services.view.settled import SettledNumbers
from services.worker import held as held_module
from services.worker import sequels as sequels_module
from services.worker.concluding import Concluding
from services.worker.deciding import Deciding
from services.worker.handling.interface import Handled, Kind, Side, SideKind, Verdict
from services.worker.held import Held
from services.worker.record import encode_outcomes
from services.worker.sequels import Sequels, ToFollow
from tests.unit.view.writing import MAIN, REMEMBER_SECONDS
from tests.unit.worker.parts import CONFIG
from tests.unit.worker.scripted import PASS, ScriptedHandling

PRODUCERS = ("p", "q")
CHANNELS = ("a", "b", "c")
BESIDES = "besides"
SENDER = Raw(b'{"user":"42","client":"c1"}')
PREFETCH = 5
LEFT_BYTES = 1_500
LOG = "log"

LIMITS = (
    (held_module, "RECORD_ENTRIES_AT_MOST", 3),
    (held_module, "RECORD_BYTES_AT_MOST", 600),
    (held_module, "AHEAD_AT_MOST", 6),
    (held_module, "ASKED_AT_MOST", 8),
    (settled_module, "NUMBERS_KEPT", 8),
    (settled_module, "_NUMBERS_MASK", (1 << 8) - 1),
    (sequels_module, "WAITING_BYTES_AT_MOST", 250),
    (sequels_module, "LEFT_RECORDS_AT_MOST", 4),
)

Place = tuple[str, int, int]


class _Found(NamedTuple):
    """An outcome in a record that counts."""

    place: Place
    outcome: Outcome
    payload: bytes


class _Knowing:
    """What a worker knows of the log."""

    def __init__(self) -> None:
        self.view = PartitionView(REMEMBER_SECONDS)
        self.settled = SettledNumbers()
        self.sequels = Sequels(LEFT_BYTES)
        self.read = 0

    def read_on(self, log: list[StoredRecord]) -> list[Settled]:
        """Read the rest of the log; give what counts of it."""
        counted = []
        for stored in log[self.read :]:
            record = decode_record(stored.body)
            change = self.view.fold(stored.position, record)
            assert change.judgement is not Judgement.MISSED
            if change.settled is not None:
                for outcomes in change.settled.batches:
                    self.settled.mark(outcomes)
                self.sequels.take(stored, self.view.ledger.epoch, change.settled)
                counted.append(change.settled)
            elif isinstance(record, Fence):
                self.sequels.hear(record.followed, stored.position)
        self.read = len(log)
        return counted


class Holding(RuleBasedStateMachine):
    """One partition with its pool and its log."""

    def __init__(self) -> None:
        super().__init__()
        self.pool: deque[bytes] = deque()
        self.unsettled: dict[int, bytes] = {}
        self.log: list[StoredRecord] = []
        self.dead: dict[str, bytes] = {}
        self.handling = ScriptedHandling({Kind.PUBLISH: lambda _: PASS})
        self.knowing = _Knowing()
        self.judge = _Knowing()
        self.submitted: dict[Place, Entry] = {}
        self.found: list[_Found] = []
        self.due: list[bytes] = []
        """Of what handlers publish besides, in the order of the log."""
        self.said: dict[str, list[bytes]] = {}
        """What a handler said last of an entry, by its key."""
        self.due_letters = 0
        self.numbers = dict.fromkeys(PRODUCERS, 0)
        self.bodies: dict[str, bytes] = {}
        self.tag = 0
        self.fences = 0
        self.answers = 0
        self.held: Held | None = None

    # ---- clients

    @rule(
        producer=st.sampled_from(PRODUCERS),
        missing=st.sampled_from((0, 0, 1, 30)),
        entries=st.lists(
            st.tuples(st.sampled_from((*CHANNELS, "a:nowhere")), st.booleans()),
            min_size=1,
            max_size=5,
        ),
    )
    def submit(self, producer: str, missing: int, entries: list[tuple[str, bool]]) -> None:
        number = self.numbers[producer] = self.numbers[producer] + 1 + missing
        made = [
            Entry(
                EntryKind.PUBLISH,
                channel,
                NO_SENDER if is_teams else SENDER,
                b'"%s %d %d"' % (producer.encode(), number, place),
            )
            for place, (channel, is_teams) in enumerate(entries)
        ]
        self.submitted |= {(producer, number, n): entry for n, entry in enumerate(made)}
        body = self.bodies[producer] = encode_batch(producer, number, made)
        self.pool.append(body)

    @rule(producer=st.sampled_from(PRODUCERS))
    def submit_again(self, producer: str) -> None:
        if producer in self.bodies:
            self.pool.append(self.bodies[producer])

    # ---- a worker

    @initialize()
    def begin(self) -> None:
        self.claim(None)

    @rule(
        is_cold=st.booleans(),
        record=st.sampled_from(("unwritten", "too late", "written")),
        luck=st.integers(0, 2),
    )
    def lose_the_claim(self, is_cold: bool, record: str, luck: int) -> None:
        if luck:
            return
        body = self.make_record()
        if body is not None and record == "written":
            self.append(body)
        self.pool.extendleft(reversed(self.unsettled.values()))
        self.unsettled.clear()
        self.handling.abandon(self.held)
        if is_cold:
            self.knowing = _Knowing()
        self.claim(body if record == "too late" else None)

    def claim(self, late: bytes | None) -> None:
        """Append a Fence; what the last owner appends after it does not count."""
        self.fences += 1
        knowing = self.knowing
        knowing.read_on(self.log)
        ledger = knowing.view.ledger
        fence = Fence(
            FORMAT_VERSION, "w", str(self.fences), "e", 1, 0, False, ledger.head,
            knowing.sequels.followed,
        )  # fmt: skip
        self.append(encode_fence(fence))
        if late is not None:
            self.append(late)
        knowing.read_on(self.log)
        deciding = Deciding(CONFIG, self.handling)
        self.held = Held(
            MAIN,
            deciding,
            Concluding(CONFIG, deciding),
            self.handling,
            knowing.settled,
            lambda: None,
        )

    @precondition(lambda self: self.pool and len(self.unsettled) < PREFETCH)
    @rule(at_most=st.integers(1, PREFETCH))
    def deliver(self, at_most: int) -> None:
        assert self.held is not None
        for _ in range(min(at_most, PREFETCH - len(self.unsettled))):
            if not self.pool or not self.held.has_room:
                return
            body = self.pool.popleft()
            self.tag += 1
            self.unsettled[self.tag] = body
            self.held.take(Delivery(self.tag, body, is_redelivered=False))

    @precondition(lambda self: self.handling.lines)
    @rule(picked=st.integers(0, 9), verdict=st.sampled_from("pcsrfbbbb"), size=st.integers(0, 300))
    def answer(self, picked: int, verdict: str, size: int) -> None:
        lines = sorted(self.handling.lines)
        self.answers += 1
        besides = b'"%d %s"' % (self.answers, b"x" * size)
        sides = [Side(SideKind.PUBLISH, BESIDES, besides)] * 2
        answers: dict[str, Callable[[], Handled]] = {
            "p": lambda: PASS,
            "c": lambda: Handled(Verdict.CHANGED, b'"%s"' % (b"y" * size)),
            "s": lambda: Handled(Verdict.SWALLOWED),
            "r": lambda: Handled(Verdict.REFUSED, code=512, text="no" * size),
            "f": lambda: Handled(Verdict.FAILED, text="no" * size),
            "b": lambda: Handled(Verdict.PASSED, sides=sides),
        }
        key = self.handling.answer_first(lines[picked % len(lines)], answers[verdict]())
        self.said[key] = [besides] * 2 if verdict == "b" else []

    @rule(
        answers=st.lists(
            st.tuples(st.integers(0, 9), st.sampled_from("pcsrfbbbb"), st.integers(0, 300)),
            max_size=5,
        )
    )
    def work(self, answers: list[tuple[int, str, int]]) -> None:
        """All at once, so that much gets far in few steps."""
        self.deliver(PREFETCH)
        for each in answers:
            if self.handling.lines:
                self.answer(*each)
        self.settle()

    @rule()
    def settle(self) -> None:
        """Append a record, read it back, and acknowledge what is done with."""
        body = self.make_record()
        if body is not None:
            self.append(body)
            self.knowing.read_on(self.log)
        self.acknowledge()

    def make_record(self) -> bytes | None:
        assert self.held is not None
        if not self.knowing.sequels.has_room:
            return None
        batches = self.held.take_decided()
        if not batches:
            return None
        knowing = self.knowing
        made = encode_outcomes(knowing.view, batches, 0, knowing.sequels.followed)
        return made.body

    def append(self, body: bytes) -> None:
        # One position in three is nobody's.
        self.log.append(StoredRecord(len(self.log) + len(self.log) // 2, body))
        self.find(self.judge.read_on(self.log))

    def acknowledge(self) -> None:
        assert self.held is not None
        have = {each.place for each in self.found}
        for done in self.held.take_settled():
            body = self.unsettled.pop(done.delivery.tag)
            batch = decode_batch(body)
            for place in range(len(batch.entries)):
                assert (batch.producer, batch.number, place) in have, "settled unseen"

    # ---- what follows

    @rule(is_told=st.booleans())
    def follow(self, is_told: bool) -> None:
        """Do what is first; without `is_told` its worker does not know that it is done."""
        sequels = self.knowing.sequels
        if sequels.first is None and sequels.left_from >= 0:
            for stored in self.log:
                if stored.position >= sequels.left_from and not sequels.bring_back(stored):
                    break
        first = sequels.first
        if first is None:
            return
        entries = [
            Entry(EntryKind(sequel.kind), sequel.channel, sequel.sender, payload)
            for sequel, payload in zip(first.sequels, first.payloads, strict=True)
            if isinstance(sequel, NextEntry)
        ]
        if entries:
            self.pool.append(encode_batch(LOG, first.position + 1, entries))
        self.dead |= dict(_letters(first))
        if is_told:
            sequels.done(first)

    # ---- what is due

    def find(self, counted: list[Settled]) -> None:
        for record in counted:
            payloads = iter(record.payloads)
            for outcomes in record.batches:
                for n, outcome in enumerate(outcomes.outcomes, outcomes.first):
                    payload = next(payloads) if isinstance(outcome, Published) else b""
                    place = outcomes.producer, outcomes.number, n
                    self.found.append(_Found(place, outcome, payload))
                    self.due += self.said.pop(f"{place[0]}/{MAIN.name}/{place[1]}/{n}", [])
            self.due_letters += sum(isinstance(sequel, Letter) for sequel in record.sequels)

    @invariant()
    def no_entry_has_two_outcomes(self) -> None:
        places = [each.place for each in self.found]
        assert len(places) == len(set(places))

    @invariant()
    def none_of_a_channel_overtakes_another(self) -> None:
        for channel in CHANNELS:
            for producer in PRODUCERS:
                for is_teams in (False, True):
                    places = [
                        each.place
                        for each in self.found
                        if each.place[0] == producer
                        and self.submitted[each.place].channel == channel
                        and (self.submitted[each.place].sender == NO_SENDER) == is_teams
                    ]
                    assert places == sorted(places)

    @invariant()
    def what_is_published_besides_comes_in_the_order_of_the_log(self) -> None:
        besides = [each.payload for each in self.found if each.place[0] == LOG]
        assert besides == self.due[: len(besides)]

    @invariant()
    def records_are_bounded(self) -> None:
        assert all(len(stored.body) < 2_500 for stored in self.log)

    def teardown(self) -> None:
        """With nothing going wrong any more, everything that is due comes to be, once."""
        if self.held is None:
            return
        for _ in range(2_000):
            if self.is_done():
                break
            self.deliver(PREFETCH)
            for line in self.handling.lines:
                self.said.pop(self.handling.answer_first(line, PASS), None)
            self.settle()
            self.follow(is_told=True)
        assert self.is_done(), "it does not come to an end"
        self.no_entry_has_two_outcomes()
        self.none_of_a_channel_overtakes_another()
        self.every_entry_has_an_outcome_that_can_be()
        assert [each.payload for each in self.found if each.place[0] == LOG] == self.due
        assert len(self.dead) == self.due_letters

    def every_entry_has_an_outcome_that_can_be(self) -> None:
        have = {each.place: each.outcome for each in self.found}
        for place, entry in self.submitted.items():
            if entry.channel == "a:nowhere":
                assert isinstance(have[place], Refused)
            elif entry.sender == NO_SENDER:
                assert isinstance(have[place], Published)
            else:
                assert isinstance(have[place], Published | Refused | Done)

    def is_done(self) -> bool:
        return not (self.pool or self.unsettled) and self.knowing.sequels.is_none


def _letters(to_follow: ToFollow) -> Iterator[tuple[str, bytes]]:
    for n, (sequel, payload) in enumerate(zip(to_follow.sequels, to_follow.payloads, strict=True)):
        if isinstance(sequel, Letter):
            yield f"{to_follow.position}/{n}", payload


def test_what_is_held_is_settled_once_in_order_and_what_follows_comes_once_whoever_loses_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module, name, limit in LIMITS:
        monkeypatch.setattr(module, name, limit)
    run_state_machine_as_test(
        Holding, settings=settings(max_examples=150, stateful_step_count=60, deadline=None)
    )


def test_what_is_left_of_a_batch_goes_before_what_stands_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As they came they take little, and in a record more.
    monkeypatch.setattr(held_module, "RECORD_BYTES_AT_MOST", 600)
    holding = Holding()
    holding.begin()
    holding.submit("p", 0, [("c", False), *[("a", True)] * 9])
    holding.submit("p", 0, [("a", True)])
    holding.deliver(2)
    holding.handling.answer_first("c", PASS)
    holding.settle()
    assert len(holding.found) < 10
    holding.none_of_a_channel_overtakes_another()
    holding.teardown()
