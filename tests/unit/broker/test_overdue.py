"""Entries that were given up count until the log tells of them, and no longer."""

from broker.overdue import BATCHES_AT_MOST, PATIENT_AT_MOST, REMEMBERED_BATCHES, Overdue


def test_what_was_given_up_counts_until_it_is_settled() -> None:
    overdue = Overdue[str]()
    overdue.add(1, 3, 100.0)
    overdue.add(2, 5, 101.0)

    assert overdue.entries == 8
    assert overdue.oldest_seconds == 100.0
    assert overdue.settle(1, 2) == (2, 100.0)
    assert overdue.settle(1, 1) == (1, 100.0)
    assert overdue.entries == 5
    assert overdue.oldest_seconds == 101.0


def test_a_log_that_is_read_anew_settles_nothing_twice() -> None:
    overdue = Overdue[str]()
    overdue.add(1, 3, 100.0)
    overdue.settle(1, 3)

    assert overdue.settle(1, 3) is None
    assert overdue.entries == 0


def test_a_batch_wholly_settled_when_it_is_given_up_does_not_count() -> None:
    overdue = Overdue[str]()
    overdue.add(1, 0, 100.0)
    assert overdue.oldest_seconds is None


def test_what_lies_far_behind_a_settled_batch_is_forgotten() -> None:
    overdue = Overdue[str]()
    for number in (1, 2, 3):
        overdue.add(number, 1, 100.0)

    overdue.forget_before(REMEMBERED_BATCHES + 2)

    assert overdue.settle(2, 1) is None
    assert overdue.settle(3, 1) == (1, 100.0)


def test_only_so_many_batches_are_counted() -> None:
    overdue = Overdue[str]()
    for number in range(BATCHES_AT_MOST + 10):
        overdue.add(number, 1, 100.0)
    assert overdue.entries == BATCHES_AT_MOST


def test_who_is_patient_is_given_once() -> None:
    overdue = Overdue[str]()
    overdue.add(1, 3, 100.0, {1: "a"})

    assert [overdue.take(1, place) for place in (0, 1, 1)] == [None, "a", None]
    assert overdue.take(2, 0) is None


def test_no_more_who_are_patient_are_kept_than_may_be() -> None:
    overdue = Overdue[str]()
    overdue.add(1, PATIENT_AT_MOST, 100.0, dict.fromkeys(range(PATIENT_AT_MOST), "a"))
    overdue.add(2, 1, 100.0, {0: "b"})
    assert overdue.take(2, 0) is None
    overdue.settle(1, PATIENT_AT_MOST)
    overdue.add(3, 1, 100.0, {0: "c"})

    assert overdue.take(3, 0) == "c"
