from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.pattern import Pattern


@pytest.mark.parametrize(
    ("pattern", "name", "is_match"),
    [
        ("chat:*", "chat:1", True),
        ("chat:*", "chat:", True),
        ("chat:*", "chats:1", False),
        ("*", "", True),
        ("*", "anything\nat all", True),
        ("chat:1", "chat:1", True),
        ("chat:1", "chat:11", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*:room:*", "big:room:7", True),
        ("*:room:*", "big:hall:7", False),
        ("a*b*c", "a-c-b", False),
        ("a.c", "abc", False),
        ("", "", True),
    ],
)
def test_a_star_stands_for_any_characters(pattern: str, name: str, is_match: bool) -> None:
    assert Pattern(pattern).is_match(name) is is_match


def matches_slowly(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(matches_slowly(pattern[1:], name[cut:]) for cut in range(len(name) + 1))
    return name[:1] == pattern[0] and matches_slowly(pattern[1:], name[1:])


@given(st.text("ab*", max_size=7), st.text("ab", max_size=7))
def test_matching_agrees_with_trying_every_way(pattern: str, name: str) -> None:
    assert Pattern(pattern).is_match(name) is matches_slowly(pattern, name)


@given(st.text("ab*", max_size=6), st.text("ab*", max_size=6), st.text("ab", max_size=6))
def test_two_that_match_a_name_are_ambiguous_or_one_is_more_specific(
    one: str, other: str, name: str
) -> None:
    left, right = Pattern(one), Pattern(other)
    if left.is_match(name) and right.is_match(name):
        assert left.rank != right.rank or left.is_ambiguous_with(right)


def test_patterns_without_a_name_in_common_are_not_ambiguous() -> None:
    assert not Pattern("chat:*").is_ambiguous_with(Pattern("news:*"))
    assert not Pattern("a*b").is_ambiguous_with(Pattern("a*c"))
    assert Pattern("chat:*").is_ambiguous_with(Pattern("*:room"))


def test_an_exact_name_is_more_specific_than_any_longer_pattern() -> None:
    assert Pattern("chat:1").rank > Pattern("*chat:1*").rank > Pattern("chat:*").rank


def test_a_hostile_name_takes_no_longer_than_its_length() -> None:
    pattern = Pattern("*a" * 100 + "b")
    before = perf_counter()
    assert not pattern.is_match("a" * 100_000)
    # Trying every way would take longer than the universe has; this is no measurement.
    assert perf_counter() - before < 5
