"""Token buckets: what a rate lets through, whenever things come."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.units import Rate
from services.worker import rates
from services.worker.rates import BUCKETS_AT_MOST, Buckets

SECOND = 1_000_000_000


def taken(buckets: Buckets, count: int, now: int, owner: str = "a") -> int:
    return sum(buckets.take(owner, now) for _ in range(count))


@pytest.mark.parametrize("rate", [Rate(1, 1), Rate(20, 1), Rate(7, 60), Rate(999, 3600)])
@pytest.mark.parametrize("start", [0, 1_234_567_890_123_456_789])
def test_so_many_can_come_at_once_and_then_one_after_the_other(rate: Rate, start: int) -> None:
    buckets = Buckets(rate)
    assert taken(buckets, rate.at_most + 5, start) == rate.at_most
    # Rounded up: the first whole nanosecond in which one has come back.
    one = -(-rate.period_seconds * SECOND // rate.at_most)
    assert taken(buckets, 5, start + one - 1) == 0
    assert taken(buckets, 5, start + one) == 1
    assert taken(buckets, 5 * rate.at_most, start + 10 * rate.period_seconds * SECOND) == (
        rate.at_most
    )


def test_owners_have_buckets_of_their_own() -> None:
    buckets = Buckets(Rate(2, 1))
    assert taken(buckets, 5, 0, "a") == taken(buckets, 5, 0, "b") == 2


def test_what_is_refused_takes_nothing() -> None:
    buckets = Buckets(Rate(1, 1))
    assert taken(buckets, 1000, 0) == 1
    assert taken(buckets, 1000, SECOND) == 1


@given(
    st.integers(1, 50),
    st.sampled_from([1, 60, 3600]),
    st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=200),
)
def test_no_time_sees_more_than_the_bucket_and_what_flows_into_it(
    at_most: int, period_seconds: int, pauses: list[int]
) -> None:
    buckets = Buckets(Rate(at_most, period_seconds))
    now, moments = 0, []
    for pause in pauses:
        now += pause
        if buckets.take("a", now):
            moments.append(now)
    period = period_seconds * SECOND
    for first, begin in enumerate(moments):
        for last, end in enumerate(moments[first:], first):
            assert last - first + 1 <= at_most + Fraction((end - begin) * at_most, period)


@given(st.integers(1, 50), st.lists(st.integers(0, SECOND), max_size=200))
def test_who_keeps_to_the_rate_is_never_refused(at_most: int, late: list[int]) -> None:
    buckets = Buckets(Rate(at_most, 1))
    between = -(-SECOND // at_most)
    now = 0
    for extra in late:
        now += between + extra
        assert buckets.take("a", now)


def test_buckets_that_are_full_again_are_forgotten() -> None:
    buckets = Buckets(Rate(10, 1))
    for owner in range(1000):
        assert buckets.take(owner, 0)
    assert len(buckets) == 1000
    for turn in range(600):
        assert buckets.take("late", (turn + 1) * SECOND)
    assert len(buckets) == 1


def test_of_too_many_buckets_the_one_used_longest_ago_is_forgotten_and_begins_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rates, "BUCKETS_AT_MOST", 3)
    buckets = Buckets(Rate(1, 3600))
    assert all(buckets.take(owner, at) for at, owner in enumerate("abc"))
    assert not buckets.take("a", 3)  # used again, so the oldest is b
    assert buckets.take("d", 4)
    assert len(buckets) == 3
    assert not buckets.take("a", 5)
    assert buckets.take("b", 6)


def test_there_are_never_more_buckets_than_are_allowed() -> None:
    buckets = Buckets(Rate(1, 3600))
    for owner in range(BUCKETS_AT_MOST + 100):
        assert buckets.take(owner, owner)
    assert len(buckets) == BUCKETS_AT_MOST
