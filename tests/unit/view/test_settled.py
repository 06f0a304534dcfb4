"""Which entries have their outcome: exactly, for all that can still be delivered."""

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.record import Done
from services.view.settled import NUMBERS_KEPT, PRODUCERS_KEPT, SettledNumbers
from tests.unit.view.records import outcomes


def whole(number: int, producer: str = "p") -> tuple[str, int, int, int, int]:
    return producer, number, 1, 0, 1


def mark(
    settled: SettledNumbers, producer: str, number: int, size: int, first: int, count: int
) -> None:
    settled.mark(outcomes(producer, number, [Done()] * count, size=size, first=first))


def marked(*marks: tuple[str, int, int, int, int]) -> SettledNumbers:
    settled = SettledNumbers()
    for each in marks:
        mark(settled, *each)
    return settled


def copy(settled: SettledNumbers) -> SettledNumbers:
    restored = SettledNumbers()
    restored.restore(settled.states())
    return restored


def test_a_batch_of_an_unknown_producer_is_not_settled() -> None:
    settled = SettledNumbers()
    assert not settled.is_whole("p", 1)
    assert not settled.has_any("p", 1)
    assert not settled.has("p", 1, 0)


def test_a_number_that_was_skipped_is_not_settled() -> None:
    settled = marked(whole(1), whole(3))
    assert [settled.is_whole("p", number) for number in (1, 2, 3, 4)] == [True, False, True, False]


def test_a_partial_batch_is_settled_only_where_it_is() -> None:
    settled = marked(("p", 1, 4, 1, 2))
    assert not settled.is_whole("p", 1)
    assert settled.has_any("p", 1)
    assert [settled.has("p", 1, entry) for entry in range(4)] == [False, True, True, False]


def test_a_batch_is_whole_once_its_parts_are_in_whatever_order() -> None:
    settled = marked(("p", 1, 4, 2, 2), ("p", 1, 4, 0, 1))
    assert not settled.is_whole("p", 1)
    mark(settled, "p", 1, 4, 1, 1)
    assert settled.is_whole("p", 1)


def test_a_number_behind_those_kept_counts_as_settled() -> None:
    settled = marked(whole(1000))
    assert settled.is_whole("p", 1000 - NUMBERS_KEPT)
    assert not settled.is_whole("p", 1000 - NUMBERS_KEPT + 1)


def test_an_absurdly_high_number_costs_neither_memory_nor_the_worker() -> None:
    settled = marked(whole(1), whole(2**62))
    assert settled.is_whole("p", 2**62)
    assert not settled.is_whole("p", 2**62 - 1)


def test_the_producers_heard_longest_ago_are_forgotten_beyond_a_count() -> None:
    settled = SettledNumbers()
    for index in range(PRODUCERS_KEPT):
        mark(settled, *whole(1, f"p{index}"))
    mark(settled, *whole(2, "p0"))
    mark(settled, *whole(1, "one more"))
    assert settled.is_whole("p0", 1)
    assert not settled.is_whole("p1", 1)
    assert settled.is_whole("p2", 1)
    assert len(settled.states()) == PRODUCERS_KEPT


def test_producers_are_forgotten_in_the_same_order_after_a_snapshot() -> None:
    settled = SettledNumbers()
    for index in range(PRODUCERS_KEPT):
        mark(settled, *whole(1, f"p{index}"))
    mark(settled, *whole(2, "p0"))
    restored = copy(settled)
    for each in (settled, restored):
        mark(each, *whole(1, "one more"))
    assert restored.states() == settled.states()


def test_restoring_replaces_what_was_known() -> None:
    settled = marked(whole(7))
    settled.restore(marked(whole(1, "q")).states())
    assert not settled.is_whole("p", 7)
    assert settled.is_whole("q", 1)


class Exact:
    """The same, without any thrift."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, int], set[int]] = {}
        self.sizes: dict[tuple[str, int], int] = {}
        self.highest: dict[str, int] = {}

    def mark(self, producer: str, number: int, size: int, first: int, count: int) -> None:
        key = producer, number
        self.sizes[key] = size
        self.entries.setdefault(key, set()).update(range(first, first + count))
        if len(self.entries[key]) == size:
            self.highest[producer] = max(number, self.highest.get(producer, 0))

    def is_behind(self, producer: str, number: int) -> bool:
        return number <= self.highest.get(producer, 0) - NUMBERS_KEPT

    def has(self, producer: str, number: int, entry: int) -> bool:
        return self.is_behind(producer, number) or entry in self.entries.get((producer, number), ())

    def is_whole(self, producer: str, number: int) -> bool:
        settled = self.entries.get((producer, number), set())
        return self.is_behind(producer, number) or len(settled) == self.sizes.get(
            (producer, number)
        )


@st.composite
def marks(draw: st.DrawFn) -> tuple[str, int, int, int, int]:
    number = draw(st.integers(1, 12) | st.integers(1, 700))
    size = 1 + number % 4  # a batch's size never changes
    first = draw(st.integers(0, size - 1))
    count = draw(st.integers(1, size - first) | st.just(size - first))
    return draw(st.sampled_from("pq")), number, size, first, count


@settings(deadline=None)
@given(st.lists(marks(), max_size=60), st.integers(0, 60))
def test_settled_entries_are_known_exactly_whatever_order_they_came_in(
    script: list[tuple[str, int, int, int, int]], snapshot_at: int
) -> None:
    exact, settled = Exact(), SettledNumbers()
    for step, each in enumerate(script):
        if step == snapshot_at:
            settled = copy(settled)
        mark(settled, *each)
        exact.mark(*each)
    for producer in "pq":
        numbers = {number for name, number, *_ in script if name == producer}
        near = {number + delta for number in numbers for delta in (-256, -255, -1, 0, 1, 256)}
        for number in (number for number in near if number > 0):
            size = 1 + number % 4
            assert settled.is_whole(producer, number) is exact.is_whole(producer, number)
            assert [settled.has(producer, number, entry) for entry in range(size)] == [
                exact.has(producer, number, entry) for entry in range(size)
            ]
            assert settled.has_any(producer, number) is any(
                exact.has(producer, number, entry) for entry in range(size)
            )


@settings(deadline=None)
@given(st.lists(marks(), max_size=60))
def test_a_snapshot_of_settled_numbers_holds_all_of_them(
    script: list[tuple[str, int, int, int, int]],
) -> None:
    settled = marked(*script)
    assert copy(settled).states() == settled.states()
