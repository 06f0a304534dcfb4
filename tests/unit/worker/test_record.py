"""Decided entries to a record: offsets without a gap, on top of what the log says."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.batch import Batch
from broker.record import Done, Published, Refused, Settled, decode_record
from services.view.partition import PartitionView
from services.worker.deciding import Decision, ToCut, ToPublish, ToRefuse
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
