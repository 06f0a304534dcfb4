"""The ledger and the tops folded together, as every reader keeps them."""

from msgspec.structs import replace

from broker.record import Done
from services.view.keys import KEPT_SECONDS
from services.view.ledger import Judgement
from services.view.partition import PartitionView
from services.view.snapshot import Snapshot
from tests.unit.view.records import done, fence, outcomes, published, settled

REMEMBER_SECONDS = 60


def view_at_offset(offset: int) -> PartitionView:
    view = PartitionView(REMEMBER_SECONDS)
    view.fold(0, fence("e1", wall_seconds=130, cut=True))
    made = [published("a", number, period=120) for number in range(1, offset + 1)]
    view.fold(1, settled(0, outcomes("p", 1, made)))
    return view


def test_an_unknown_channel_is_at_the_beginning_of_the_current_period() -> None:
    view = PartitionView(REMEMBER_SECONDS)
    view.fold(0, fence(wall_seconds=130))
    assert view.top("a") == (120, 0)


def test_a_record_that_counts_moves_its_channels() -> None:
    view = view_at_offset(3)
    assert view.top("a") == (120, 3)
    assert view.position == 1


def test_a_record_that_does_not_count_moves_no_channel() -> None:
    view = view_at_offset(3)
    change = view.fold(2, settled(0, outcomes("p", 2, [published("a", 4, period=120)])))
    assert change == (Judgement.IGNORED, None, [])
    assert view.top("a") == (120, 3)
    assert view.position == 2


def test_a_publication_without_history_is_no_position() -> None:
    view = view_at_offset(1)
    view.fold(2, settled(1, outcomes("p", 2, [published("b", 0)])))
    assert len(view.tops) == 1


def test_a_missed_record_moves_nothing() -> None:
    view = view_at_offset(1)
    change = view.fold(9, settled(8, outcomes("p", 2, [published("a", 2, period=120)])))
    assert change.judgement is Judgement.MISSED
    assert change.settled is None
    assert view.top("a") == (120, 1)


def test_a_fence_says_which_channels_are_forgotten() -> None:
    view = view_at_offset(1)
    assert view.fold(2, fence(wall_seconds=190)).forgotten == []
    assert view.fold(3, fence(wall_seconds=191)).forgotten == ["a"]
    assert view.top("a") == (180, 0)


def test_a_cut_starts_every_channel_afresh() -> None:
    view = view_at_offset(3)
    change = view.fold(2, fence("e2", wall_seconds=131, cut=True))
    assert change.judgement is Judgement.CUT
    assert view.top("a") == (120, 0)


def test_a_key_is_known_once_a_record_with_it_counts() -> None:
    view = view_at_offset(0)
    keyed = replace(published("a", 1, period=120), key="k")
    made = outcomes("p", 2, [keyed, replace(published("b", 0), key="k"), Done()])
    record = settled(1, made, keys=[("c", "k")])
    assert view.fold(2, settled(0, made, keys=[("c", "k")])).judgement is Judgement.IGNORED
    assert not view.keys.has("a", "k")
    assert view.fold(3, record).judgement is Judgement.COUNTS
    assert [view.keys.has(channel, "k") for channel in "abcd"] == [True, True, True, False]


def test_keys_are_known_over_a_cut_and_forgotten_when_log_time_has_passed() -> None:
    view = view_at_offset(0)
    view.fold(2, settled(1, outcomes("p", 2, [replace(published("b", 0), key="k")])))
    view.fold(3, fence("e2", wall_seconds=131, cut=True))
    assert view.keys.has("b", "k")
    view.fold(4, fence("e2", wall_seconds=131 + KEPT_SECONDS))
    assert not view.keys.has("b", "k")


def test_a_fence_of_who_had_not_read_the_cut_leaves_the_new_epochs_channels() -> None:
    view = view_at_offset(3)
    view.fold(2, fence("e2", wall_seconds=131, cut=True))
    change = view.fold(3, fence("e1", wall_seconds=131))
    assert change.judgement is Judgement.FENCE
    assert view.ledger.epoch == "e2"


def test_a_restored_view_goes_on_as_the_one_it_was_taken_of() -> None:
    view = view_at_offset(3)
    view.keys.add("a", "k", 130)
    restored = PartitionView(REMEMBER_SECONDS)
    restored.restore(
        Snapshot(1, "digest", view.ledger.state(), view.tops.rows(), [], view.keys.rows())
    )
    record = settled(1, outcomes("p", 2, [published("a", 4, period=120)]))
    for each in (view, restored):
        assert each.fold(2, record).judgement is Judgement.COUNTS
        assert each.fold(4, done(1)).judgement is Judgement.IGNORED
    assert restored.top("a") == view.top("a") == (120, 4)
    assert restored.ledger.state() == view.ledger.state()
    assert restored.position == view.position
    assert restored.keys.has("a", "k")
