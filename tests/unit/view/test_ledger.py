"""Which records count: the same for every reader, wherever it began."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.interface import Position
from broker.record import Fence, Record, Settled
from services.view.ledger import (
    FENCE_EVERY_POSITIONS,
    READ_EARLY_POSITIONS,
    SETTLED_WITHIN_POSITIONS,
    Judgement,
    Ledger,
)
from tests.unit.view.records import done, fence


def judge_all(records: Sequence[tuple[Position, Fence | Settled]]) -> list[Judgement]:
    ledger = Ledger()
    return [ledger.judge(position, record) for position, record in records]


def test_a_reader_knows_nothing_before_the_first_fence() -> None:
    assert judge_all([(5, done(4)), (6, done(5)), (7, fence())]) == [
        Judgement.IGNORED,
        Judgement.IGNORED,
        Judgement.CUT,
    ]


def test_a_record_counts_only_after_the_last_that_counted() -> None:
    assert judge_all([(0, fence()), (1, done(0)), (2, done(0)), (4, done(1)), (5, done(1))]) == [
        Judgement.CUT,
        Judgement.COUNTS,
        Judgement.IGNORED,
        Judgement.COUNTS,
        Judgement.IGNORED,
    ]


def test_a_fence_silences_a_writer_that_has_not_read_it() -> None:
    assert judge_all([(0, fence()), (1, done(0)), (2, fence()), (3, done(1)), (4, done(2))]) == [
        Judgement.CUT,
        Judgement.COUNTS,
        Judgement.FENCE,
        Judgement.IGNORED,
        Judgement.COUNTS,
    ]


def test_an_ignored_record_does_not_become_the_head() -> None:
    ledger = Ledger()
    for position, record in ((0, fence()), (1, done(0)), (2, done(0))):
        ledger.judge(position, record)
    assert ledger.head == 1


def test_a_record_that_follows_one_never_read_is_missed() -> None:
    ledger = Ledger()
    ledger.judge(0, fence())
    assert ledger.judge(3, done(2)) is Judgement.MISSED
    assert ledger.head == 0


@pytest.mark.parametrize(
    ("position", "judgement"),
    [
        (SETTLED_WITHIN_POSITIONS, Judgement.COUNTS),
        (SETTLED_WITHIN_POSITIONS + 1, Judgement.IGNORED),
    ],
)
def test_a_record_too_far_behind_the_last_fence_does_not_count(
    position: Position, judgement: Judgement
) -> None:
    assert judge_all([(0, fence()), (position, done(0))])[-1] is judgement


def test_a_record_counts_only_behind_the_fence_that_its_writer_knew() -> None:
    ledger = Ledger()
    ledger.judge(0, fence(cut=True))
    # A log that lost its tail: the position that the other writer names is another record's now.
    late = Settled(0, 0, [], [], nonce="another's")
    assert ledger.judge(1, late) is Judgement.IGNORED
    assert ledger.judge(2, Settled(0, 0, [], [], nonce="nonce")) is Judgement.COUNTS


def test_a_writer_that_came_too_late_counts_again_after_a_fresh_fence() -> None:
    judgements = judge_all([(0, fence()), (1001, done(0)), (1002, fence()), (1003, done(1002))])
    assert judgements[1:] == [Judgement.IGNORED, Judgement.FENCE, Judgement.COUNTS]


def test_a_fence_is_due_long_before_records_stop_counting() -> None:
    ledger = Ledger()
    ledger.judge(10, fence())
    assert not ledger.is_fence_due(10 + FENCE_EVERY_POSITIONS - 1)
    assert ledger.is_fence_due(10 + FENCE_EVERY_POSITIONS)
    assert FENCE_EVERY_POSITIONS < SETTLED_WITHIN_POSITIONS


def test_log_time_never_goes_back() -> None:
    ledger = Ledger()
    times = []
    for position, wall_seconds in enumerate((100, 3700, 101)):
        ledger.judge(position, fence(wall_seconds=wall_seconds))
        times.append(ledger.log_seconds)
    assert times == [100, 3700, 3700]


# ---- epochs


def test_a_cut_begins_a_new_epoch() -> None:
    ledger = Ledger()
    judgements = [
        ledger.judge(0, fence("e1", cut=True)),
        ledger.judge(1, done(0)),
        ledger.judge(2, fence("e2", cut=True)),
    ]
    assert judgements == [Judgement.CUT, Judgement.COUNTS, Judgement.CUT]
    assert ledger.epoch == "e2"


def test_a_second_copy_of_a_cut_begins_nothing_anew() -> None:
    assert judge_all([(0, fence("e1", cut=True)), (1, fence("e1", cut=True))]) == [
        Judgement.CUT,
        Judgement.FENCE,
    ]


def test_a_fence_that_had_not_read_the_cut_does_not_undo_it() -> None:
    ledger = Ledger()
    ledger.judge(0, fence("e1", cut=True))
    ledger.judge(1, done(0))
    ledger.judge(2, fence("e2", cut=True))
    assert ledger.judge(3, fence("e1")) is Judgement.FENCE
    assert ledger.epoch == "e2"
    assert ledger.head == 3


def test_a_reader_that_began_with_a_stale_fence_is_corrected_by_the_next() -> None:
    ledger = Ledger()
    ledger.judge(3, fence("e1"))
    assert ledger.epoch == "e1"
    assert ledger.judge(4, fence("e2")) is Judgement.CUT
    assert ledger.epoch == "e2"


def test_an_epoch_that_a_record_counted_in_changes_only_with_a_cut() -> None:
    ledger = Ledger()
    ledger.judge(3, fence("e2"))
    ledger.judge(4, done(3))
    assert ledger.judge(5, fence("e1")) is Judgement.FENCE
    assert ledger.epoch == "e2"


def test_a_restored_ledger_judges_as_the_one_it_was_taken_of() -> None:
    ledger = Ledger()
    ledger.judge(0, fence("e1", wall_seconds=50, cut=True))
    ledger.judge(1, done(0))
    restored = Ledger()
    restored.restore(ledger.state())
    for record, position in ((fence("e0", wall_seconds=9), 2), (done(1), 3), (done(2), 4)):
        assert restored.judge(position, record) is ledger.judge(position, record)
        assert restored.state() == ledger.state()


def test_a_ledger_without_a_fence_has_no_state() -> None:
    with pytest.raises(AssertionError):
        Ledger().state()


# ---- readers that begin somewhere


class Step(NamedTuple):
    """What the owner, or somebody who believes to be it, appends, and how far further on."""

    kind: str
    distance: int
    back: int


steps = st.builds(
    Step,
    st.sampled_from(["settled", "settled", "late", "fence", "stale fence", "cut"]),
    st.sampled_from([1, 1, 2, 7, 250, 499, 600, 999, 1000, 1001, 2500]),
    st.integers(1, 6),
)


def write_log(script: Sequence[Step]) -> list[tuple[Position, Record]]:
    """Write a log as workers would: nobody settles on a Fence that names an epoch gone by."""
    ledger = Ledger()
    log: list[tuple[Position, Record]] = []
    heads: list[Position] = []
    epochs = ["e0"]
    position = 0

    def append(record: Record) -> None:
        log.append((position, record))
        ledger.judge(position, record)
        heads.append(ledger.head)

    append(fence("e0", cut=True))
    for kind, distance, back in script:
        position += distance
        if kind == "settled":
            append(done(ledger.head))
        elif kind == "late":
            append(done(heads[-min(back, len(heads))]))
        elif kind == "fence":
            append(fence(ledger.epoch))
        elif kind == "stale fence":
            append(fence(epochs[-min(back, len(epochs))]))
            position += 1
            append(fence(ledger.epoch))
        else:
            epochs.append(f"e{len(epochs)}")
            append(fence(epochs[-1], cut=True))
    return log


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, min_size=1, max_size=40))
def test_readers_that_begin_early_enough_agree_with_the_one_that_read_all(
    script: list[Step],
) -> None:
    log = write_log(script)
    whole = Ledger()
    expected = []
    for position, record in log:
        judgement = whole.judge(position, record)
        expected.append((judgement is Judgement.COUNTS, whole.head, whole.epoch))
    assert Judgement.MISSED not in judge_all(log)
    for first, (start, _) in enumerate(log):
        reader = Ledger()
        for (position, record), (counts, head, epoch) in zip(
            log[first:], expected[first:], strict=True
        ):
            judgement = reader.judge(position, record)
            if position - start < READ_EARLY_POSITIONS or not isinstance(record, Settled):
                continue
            assert (judgement is Judgement.COUNTS) is counts
            if counts:
                assert (reader.head, reader.epoch) == (head, epoch)
