"""Which worker is to have which partition."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from broker.partition import Partition
from services.worker.assignment import assign

names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=12, unique=True)
counts = st.integers(min_value=1, max_value=40)


def partitions(count: int) -> list[Partition]:
    return [Partition("main", number) for number in range(count)]


@given(counts, names)
def test_no_worker_has_two_partitions_more_than_another(count: int, workers: list[str]) -> None:
    owned = Counter(assign(partitions(count), workers).values())
    assert sum(owned.values()) == count
    assert max(owned[each] for each in workers) - min(owned[each] for each in workers) <= 1


@given(counts, names, st.randoms(use_true_random=False))
def test_whoever_knows_the_same_workers_gives_the_same_owners(
    count: int, workers: list[str], random: st.DrawFn
) -> None:
    shuffled = list(workers)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # it is a random.Random
    assert assign(partitions(count), workers) == assign(partitions(count), shuffled)


def test_without_workers_nobody_owns_anything() -> None:
    assert assign(partitions(3), []) == {}


def test_a_worker_more_or_less_leaves_about_half_of_the_partitions_where_they_are() -> None:
    """Moving a partition costs a claim; hashing alone would keep more, and be uneven."""
    workers = [f"worker-{number}" for number in range(6)]
    before, after = assign(partitions(60), workers), assign(partitions(60), workers[1:])
    stayed = sum(after[each] == owner for each, owner in before.items() if owner != workers[0])
    assert stayed >= 25


def test_lanes_do_not_all_favour_the_same_worker() -> None:
    workers = ["one", "two", "three"]
    owners = {
        assign([Partition(f"lane-{number}", 0)], workers)[Partition(f"lane-{number}", 0)]
        for number in range(20)
    }
    assert owners == set(workers)
