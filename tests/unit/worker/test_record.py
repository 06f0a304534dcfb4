"""Decided entries to a record: offsets without a gap, on top of what the log says."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.batch import NO_SENDER, Batch, decode_batch
from broker.interface import DeadReason
from broker.record import Done, Letter, NextEntry, Published, Refused, Settled, decode_record
from services.view.partition import PartitionView
from services.worker.concluding import WithPayload, letter_of
from services.worker.deciding import Decision, ToCut, ToPublish, ToRefuse, ToSettle
from services.worker.record import DecidedBatch, DecidedEntry, encode_outcomes
from tests.unit.view.records import fence, outcomes, published, settled
from tests.unit.worker.parts import publish

REFUSED = Refused(107, "bad request")


def view_with(tops: dict[str, int]) -> PartitionView:
    view = PartitionView(3600)
    view.fold(0, fence(wall_seconds=5, cut=True))
    made = [published(name, offset) for name, offset in tops.items()]
    view.fold(1, settled(0, outcomes("before", 1, made)))
    return view


def to_publish(channel: str, payload: bytes = b"{}", *, has_history: bool = True) -> ToPublish:
    return ToPublish(publish(channel, payload), has_history)


def decided(
    number: int, decisions: list[Decision], places: list[int] | None = None
) -> DecidedBatch:
    """A batch of which only the entries at some places have no outcome yet."""
    entries = [d.entry if isinstance(d, ToPublish) else publish("other") for d in decisions]
    left = range(len(decisions)) if places is None else places
    return DecidedBatch(
        Batch("p", number, entries), [DecidedEntry(place, decisions[place]) for place in left]
    )


def encode(view: PartitionView, *batches: DecidedBatch) -> tuple[Settled, int]:
    made = encode_outcomes(view, batches, 7)
    record = decode_record(made.body)
    assert isinstance(record, Settled)
    return record, made.entries


def test_a_record_follows_the_last_that_counted() -> None:
    view = view_with({})
    view.fold(2, settled(0, outcomes("late", 1, [Done()])))
    record, count = encode(view, decided(1, [to_publish("a")]))
    assert (record.after, record.wall_ms, count) == (1, 7, 1)


def test_publications_of_a_channel_build_on_each_other_and_on_the_log() -> None:
    batches = [decided(1, [to_publish("a"), to_publish("b")]), decided(2, [to_publish("a")])]
    record, _ = encode(view_with({"a": 4}), *batches)
    assert [each.outcomes for each in record.batches] == [
        [published("a", 5), published("b", 1)],
        [published("a", 6)],
    ]


def test_a_channel_without_history_has_neither_period_nor_offset() -> None:
    record, _ = encode(view_with({"a": 4}), decided(1, [to_publish("a", has_history=False)]))
    assert record.batches[0].outcomes == [published("a", 0)]


def test_every_kind_of_decision_has_its_outcome() -> None:
    decisions: list[Decision] = [
        ToRefuse(REFUSED, is_kept=False),
        ToCut("e1"),
        to_publish("a", b"1"),
    ]
    record, count = encode(view_with({}), decided(1, decisions))
    assert record.batches[0].outcomes == [REFUSED, Done(), published("a", 1, payload=b"1")]
    assert record.payloads == [b"1"]
    assert count == 3


# ---- keys


def keyed(number: int, *decisions: tuple[Decision, str]) -> DecidedBatch:
    """A batch whose entries have keys, if they are not empty, all in the channel "a"."""
    entries = [replace(publish("a"), key=key) for _, key in decisions]
    sequel = WithPayload(NextEntry(0, "b", NO_SENDER, 2, "main", 0), b"{}")
    decided_entries = [
        DecidedEntry(
            place,
            ToPublish(entry, True) if isinstance(decision, ToPublish) else decision,
            (sequel,),
        )
        for place, (entry, (decision, _)) in enumerate(zip(entries, decisions, strict=True))
    ]
    return DecidedBatch(Batch("p", number, entries), decided_entries)


PUBLISHED = to_publish("a")
NO_PUBLICATION = ToSettle(Done())


def test_of_entries_with_one_key_the_first_alone_is_published_and_has_sequels() -> None:
    view = view_with({"a": 4})
    batches = [
        keyed(1, (PUBLISHED, "k"), (PUBLISHED, "k"), (PUBLISHED, "")),
        keyed(2, (PUBLISHED, "k"), (PUBLISHED, "l"), (PUBLISHED, "")),
    ]
    record, _ = encode(view, *batches)
    first, second, third, fourth = (published("a", offset) for offset in range(5, 9))
    assert [each.outcomes for each in record.batches] == [
        [replace(first, key="k"), Done(), second],
        [Done(), replace(third, key="l"), fourth],
    ]
    assert len(record.sequels) == 4


def test_a_key_that_the_log_knows_is_not_carried_out_again() -> None:
    view = view_with({"a": 4})
    record, _ = encode(view, keyed(1, (PUBLISHED, "k"), (NO_PUBLICATION, "l")))
    view.fold(2, record)
    again, _ = encode(view, keyed(2, (NO_PUBLICATION, "k"), (PUBLISHED, "l"), (PUBLISHED, "m")))
    assert again.batches[0].outcomes == [Done(), Done(), replace(published("a", 6), key="m")]
    assert len(again.sequels) == 1
    assert again.keys == []


def test_what_was_refused_may_be_tried_again_with_its_key() -> None:
    view = view_with({})
    refused = ToRefuse(REFUSED, is_kept=False)
    record, _ = encode(view, keyed(1, (refused, "k"), (PUBLISHED, "k")))
    assert record.batches[0].outcomes == [REFUSED, replace(published("a", 1), key="k")]
    assert record.keys == []


@pytest.mark.parametrize("is_unheard", [False, True])
def test_what_is_refused_of_a_replay_is_a_dead_letter_again_once(is_unheard: bool) -> None:
    refused = ToRefuse(REFUSED, is_kept=False)
    failed = letter_of(publish("a"), Batch("p", 1, []), DeadReason.FAILED, "why", 3)
    batch = Batch("p", 1, [replace(publish("a"), key="k"), publish("a")], is_unheard)
    entries = [DecidedEntry(0, refused), DecidedEntry(1, refused, (failed,))]
    record, _ = encode(view_with({}), DecidedBatch(batch, entries))
    assert record.batches[0].outcomes == [REFUSED, REFUSED]
    reasons = [sequel.reason for sequel in record.sequels if isinstance(sequel, Letter)]
    assert reasons == ["refused", "failed"] if is_unheard else ["failed"]
    again = [decode_batch(payload).entries[0].key for payload in record.sequel_payloads]
    assert again == ["k", ""] if is_unheard else [""]


@settings(deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from([PUBLISHED, NO_PUBLICATION]), st.sampled_from(["", "k", "l"])
            ),
            min_size=1,
            max_size=4,
        ),
        max_size=8,
    ),
    st.data(),
)
def test_each_key_is_carried_out_once_however_entries_fall_into_records(
    made: list[list[tuple[Decision, str]]], data: st.DataObject
) -> None:
    view, position, carried_out = view_with({}), 1, list[str]()
    batches = [keyed(number, *decisions) for number, decisions in enumerate(made)]
    while batches:
        count = data.draw(st.integers(1, len(batches)))
        record, _ = encode(view, *batches[:count])
        batches = batches[count:]
        position += 1
        assert view.fold(position, record).settled is record
        carried_out += [key for _, key in record.keys]
        published_keys = (
            outcome.key
            for each in record.batches
            for outcome in each.outcomes
            if isinstance(outcome, Published)
        )
        carried_out += filter(None, published_keys)
    assert sorted(carried_out) == sorted({key for each in made for _, key in each if key})


def test_what_is_settled_already_leaves_a_gap_between_runs() -> None:
    decisions: list[Decision] = [to_publish("a", b"%d" % place) for place in range(5)]
    record, count = encode(view_with({}), decided(1, decisions, [0, 1, 3]))
    assert [(each.first, len(each.outcomes), each.size) for each in record.batches] == [
        (0, 2, 5),
        (3, 1, 5),
    ]
    assert record.payloads == [b"0", b"1", b"3"]
    assert count == 3


class Plan(NamedTuple):
    channel: str
    kind: str
    is_left: bool


plans = st.builds(
    Plan,
    st.sampled_from("abc"),
    st.sampled_from(["publish", "publish", "publish", "fleeting", "refuse"]),
    st.booleans() | st.just(True),
)


def decision_of(plan: Plan, payload: bytes) -> Decision:
    if plan.kind == "refuse":
        return ToRefuse(REFUSED, is_kept=False)
    return to_publish(plan.channel, payload, has_history=plan.kind == "publish")


@settings(deadline=None)
@given(
    st.lists(st.lists(plans, max_size=8), max_size=5),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 50)),
)
def test_a_record_settles_each_entry_left_once_with_contiguous_offsets(
    batches: list[list[Plan]], tops: dict[str, int]
) -> None:
    view = view_with(tops)
    payloads = [
        [b"%d.%d" % (number, place) for place in range(len(each))]
        for number, each in enumerate(batches)
    ]
    record, count = encode(
        view,
        *(
            decided(
                number,
                [
                    decision_of(plan, payload)
                    for plan, payload in zip(each, payloads[number], strict=True)
                ],
                [place for place, plan in enumerate(each) if plan.is_left],
            )
            for number, each in enumerate(batches)
        ),
    )
    found = [
        (each.number, place, outcome)
        for each in record.batches
        for place, outcome in enumerate(each.outcomes, each.first)
    ]
    left = [
        (number, place)
        for number, each in enumerate(batches)
        for place, plan in enumerate(each)
        if plan.is_left
    ]
    assert [(number, place) for number, place, _ in found] == left
    assert count == len(left)
    assert all(each.outcomes and each.size == len(batches[each.number]) for each in record.batches)
    made = [(n, p, outcome) for n, p, outcome in found if isinstance(outcome, Published)]
    assert record.payloads == [payloads[number][place] for number, place, _ in made]
    for channel in "abc":
        offsets = [o.offset for _, _, o in made if o.channel == channel and o.offset]
        first = tops.get(channel, 0) + 1
        assert offsets == list(range(first, first + len(offsets)))
        view.fold(2, record)
        assert view.top(channel)[1] == tops.get(channel, 0) + len(offsets)
