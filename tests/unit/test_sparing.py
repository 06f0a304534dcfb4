"""A few lines a second, and how many more there were."""

from services.sparing import A_SECOND, Sparing


def test_a_few_a_second_are_told() -> None:
    sparing = Sparing()
    assert [sparing.take(1.5) for _ in range(A_SECOND)] == [0] * A_SECOND
    assert sparing.take(1.9) is None


def test_the_next_that_is_told_says_how_many_were_not() -> None:
    sparing = Sparing()
    for _ in range(A_SECOND + 7):
        sparing.take(1.5)
    assert sparing.take(2.0) == 7
    assert sparing.take(2.0) == 0
