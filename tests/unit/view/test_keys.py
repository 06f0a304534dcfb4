"""Keys that are known: exactly, until they are old or too many."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.view import keys as keys_module
from services.view.keys import KEPT_SECONDS, KnownKeys

CHANNELS = ("a", "a:b", "")
KEYS = ("k", "b\nk", "1", "ü")


def known(*added: tuple[str, str, int]) -> KnownKeys:
    keys = KnownKeys()
    for each in added:
        keys.add(*each)
    return keys


def restored(keys: KnownKeys) -> KnownKeys:
    copy = known(("what was", "known before", 0))
    for _ in copy.restoring(keys.rows()):
        pass
    return copy


def test_a_key_is_known_in_its_own_channel_alone() -> None:
    keys = known(("a", "k", 5))
    assert keys.has("a", "k")
    assert not keys.has("b", "k")
    assert not keys.has("a", "l")
    assert not KnownKeys().has("a", "k")


def test_a_key_is_forgotten_when_it_is_older_than_is_kept() -> None:
    keys = known(("a", "old", 5), ("a", "young", 6))
    keys.forget_old(5 + KEPT_SECONDS)
    assert keys.has("a", "old")
    keys.forget_old(6 + KEPT_SECONDS)
    assert not keys.has("a", "old")
    assert keys.has("a", "young")


def test_of_too_many_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "KEYS_AT_MOST", 3)
    keys = known(*(("a", str(number), 5) for number in range(3)))
    keys.add("a", "0", 6)
    keys.add("a", "3", 6)
    assert [number for number in range(4) if keys.has("a", str(number))] == [0, 2, 3]
    assert len(keys) == 3


def test_a_key_that_is_used_again_is_as_young_as_its_last_use() -> None:
    keys = known(("a", "again", 5), ("a", "once", 6), ("a", "again", 7))
    keys.forget_old(7 + KEPT_SECONDS)
    assert keys.has("a", "again")
    assert not keys.has("a", "once")


steps = st.lists(
    st.tuples(st.sampled_from(CHANNELS), st.sampled_from(KEYS), st.integers(0, KEPT_SECONDS)),
    max_size=30,
)


Use = tuple[str, str, int]


def fold(keys: KnownKeys, expected: dict[tuple[str, str], int], made: Sequence[Use]) -> int:
    """Fold uses of keys, log time moving on by so much at each, and the same into a plain dict."""
    now_seconds = 0
    for channel, key, later_seconds in made:
        now_seconds += later_seconds
        keys.forget_old(now_seconds)
        keys.add(channel, key, now_seconds)
        expected[channel, key] = now_seconds
    return now_seconds


@settings(deadline=None)
@given(steps, steps)
def test_what_is_known_is_what_was_used_within_the_time(
    made: list[tuple[str, str, int]], more: list[tuple[str, str, int]]
) -> None:
    keys, expected = KnownKeys(), dict[tuple[str, str], int]()
    now_seconds = fold(keys, expected, made)
    for each in (keys, restored(keys)):
        for channel in CHANNELS:
            for key in KEYS:
                used = expected.get((channel, key))
                is_young = used is not None and now_seconds - used <= KEPT_SECONDS
                assert each.has(channel, key) is is_young
    copy = restored(keys)
    fold(keys, {}, more)
    fold(copy, {}, more)
    assert copy.rows() == keys.rows()
