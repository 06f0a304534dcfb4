"""The last publications of each channel: the newest, without a gap, within their limits."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from services.view.history import Histories, Keeping, Publication

AMPLE_BYTES = 10**9
KEPT = Keeping(size=5, ttl_ms=1000)
ALL = 10**6


def publication(offset: int, *, wall_ms: int = 0, size: int = 10) -> Publication:
    return Publication(offset, b"x" * size, b"null", wall_ms)


def histories(
    limit_bytes: int = AMPLE_BYTES, *, keeping: Keeping = KEPT, subscribed: str = ""
) -> Histories:
    return Histories(lambda _: keeping, lambda channel: channel in subscribed, limit_bytes)


def offsets_after(kept: Histories, channel: str, offset: int = 0, *, now_ms: int = 0) -> list[int]:
    return [each.offset for each in kept.after(channel, offset, now_ms, ALL)]


def add_all(kept: Histories, channel: str, first: int, last: int) -> None:
    for offset in range(first, last + 1):
        kept.add(channel, 0, publication(offset))


def test_a_channel_without_history_owns_no_container() -> None:
    kept = histories(keeping=Keeping(0, 0))
    kept.add("a", 0, publication(0))
    assert len(kept) == 0
    assert kept.bytes == 0


def test_a_channel_keeps_its_newest_publications_up_to_its_size() -> None:
    kept = histories()
    add_all(kept, "a", 1, 8)
    assert offsets_after(kept, "a") == [4, 5, 6, 7, 8]
    assert kept.bytes == sum(publication(offset).size_bytes for offset in range(4, 9))


def test_publications_are_given_from_an_offset_on_oldest_first() -> None:
    kept = histories()
    add_all(kept, "a", 1, 5)
    assert offsets_after(kept, "a", 3) == [4, 5]
    assert offsets_after(kept, "a", 5) == []
    assert offsets_after(kept, "a", 99) == []
    assert [each.offset for each in kept.after("a", 1, 0, 2)] == [2, 3]


def test_the_newest_is_given_of_its_own_period_alone() -> None:
    kept = histories()
    assert kept.newest("a", 0) is None
    add_all(kept, "a", 1, 8)
    newest = kept.newest("a", 0)
    assert newest is not None
    assert newest.offset == 8
    assert kept.newest("a", 1) is None
    assert kept.newest("b", 0) is None


def test_publications_are_given_up_to_an_offset_newest_first() -> None:
    kept = histories()
    add_all(kept, "a", 1, 5)
    assert [each.offset for each in kept.before("a", 4, 0, ALL)] == [3, 2, 1]
    assert [each.offset for each in kept.before("a", 6, 0, 2)] == [5, 4]
    assert [each.offset for each in kept.before("a", 99, 0, 1)] == [5]
    assert kept.before("a", 1, 0, ALL) == []


def test_nothing_is_given_of_an_unknown_channel() -> None:
    assert histories().after("a", 0, 0, ALL) == []
    assert histories().before("a", 9, 0, ALL) == []


def test_a_publication_older_than_its_time_is_not_given() -> None:
    kept = histories()
    kept.add("a", 0, publication(1, wall_ms=0))
    kept.add("a", 0, publication(2, wall_ms=500))
    assert offsets_after(kept, "a", now_ms=1000) == [1, 2]
    assert offsets_after(kept, "a", now_ms=1001) == [2]
    assert kept.before("a", 9, 1501, ALL) == []
    assert kept.bytes == 0


def test_a_gap_ends_what_was_kept_before_it() -> None:
    kept = histories()
    add_all(kept, "a", 1, 3)
    kept.add("a", 0, publication(5))
    assert offsets_after(kept, "a") == [5]
    assert kept.bytes == publication(5).size_bytes


def test_a_new_life_of_a_channel_ends_what_was_kept_of_the_one_before() -> None:
    kept = histories()
    add_all(kept, "a", 1, 1)
    kept.add("a", 60, publication(2))
    assert offsets_after(kept, "a") == [2]


def test_the_channel_published_to_longest_ago_makes_room() -> None:
    kept = histories(4 * publication(1).size_bytes)
    for name in "abcd":
        kept.add(name, 0, publication(1))
    kept.add("a", 0, publication(2))
    assert offsets_after(kept, "b") == []
    assert offsets_after(kept, "a") == [1, 2]


def test_a_channel_that_somebody_here_follows_makes_room_last() -> None:
    kept = histories(4 * publication(1).size_bytes, subscribed="ab")
    for name in "abcde":
        kept.add(name, 0, publication(1))
    assert offsets_after(kept, "a") == offsets_after(kept, "b") == [1]
    assert offsets_after(kept, "c") == []


def test_even_followed_channels_make_room_when_there_are_no_others() -> None:
    kept = histories(2 * publication(1).size_bytes, subscribed="abc")
    for name in "abc":
        kept.add(name, 0, publication(1))
    assert offsets_after(kept, "a") == []
    assert offsets_after(kept, "c") == [1]


def test_a_publication_larger_than_everything_allowed_is_not_kept() -> None:
    kept = histories(1000)
    kept.add("a", 0, publication(1, size=5000))
    assert kept.bytes == 0
    assert len(kept) == 0


def test_expiring_lets_go_of_channels_with_nothing_left() -> None:
    kept = histories()
    for number, name in enumerate("abc"):
        kept.add(name, 0, publication(1, wall_ms=number * 1000))
    assert kept.expire(2500, at_most=ALL) == 2
    assert len(kept) == 1
    assert kept.expire(2500, at_most=ALL) == 0


def test_expiring_looks_at_no_more_channels_than_it_may() -> None:
    kept = histories()
    for name in "abc":
        kept.add(name, 0, publication(1))
    assert kept.expire(5000, at_most=2) == 2
    assert len(kept) == 1


def test_clearing_leaves_nothing() -> None:
    kept = histories()
    add_all(kept, "a", 1, 5)
    kept.clear()
    assert (kept.bytes, len(kept), offsets_after(kept, "a")) == (0, 0, [])


# ---- against a model


@dataclass
class Naive:
    """Every publication of every life of a channel, and what of it should be kept."""

    lists: dict[str, list[tuple[int, Publication]]] = field(default_factory=dict)

    def add(self, channel: str, period: int, made: Publication) -> None:
        kept = self.lists.setdefault(channel, [])
        if kept and (kept[-1][0] != period or kept[-1][1].offset + 1 != made.offset):
            kept.clear()
        kept.append((period, made))

    def kept(self, channel: str, now_ms: int) -> list[Publication]:
        made = [each for _, each in self.lists.get(channel, [])][-KEPT.size :]
        while made and made[0].wall_ms < now_ms - KEPT.ttl_ms:
            del made[0]
        return made


actions = st.tuples(
    st.sampled_from(["add"] * 6 + ["gap", "life", "wait", "after", "before", "forget", "expire"]),
    st.sampled_from("abcd"),
    st.integers(0, 400),
)


@dataclass
class Play:
    """Plays a script on histories and on the naive model alike."""

    kept: Histories
    naive: Naive = field(default_factory=Naive)
    offsets: dict[str, int] = field(default_factory=dict)
    periods: dict[str, int] = field(default_factory=dict)
    now_ms: int = 0

    def play(self, action: str, channel: str, amount: int) -> None:
        if action in ("add", "gap", "life"):
            self.publish(action, channel, amount)
        elif action == "wait":
            self.now_ms += amount
        elif action == "after":
            self.kept.after(channel, amount % 7, self.now_ms, ALL)
        elif action == "before":
            self.kept.before(channel, amount % 7, self.now_ms, ALL)
        elif action == "forget":
            self.kept.forget(channel)
            self.naive.lists.pop(channel, None)
        else:
            self.kept.expire(self.now_ms, 1 + amount % 4)

    def publish(self, action: str, channel: str, amount: int) -> None:
        if action == "life":
            self.periods[channel] = self.periods.get(channel, 0) + 1
            self.offsets[channel] = 0
        skipped = 1 + amount % 3 if action == "gap" else 0
        offset = self.offsets[channel] = self.offsets.get(channel, 0) + 1 + skipped
        made = publication(offset, wall_ms=self.now_ms, size=amount)
        self.kept.add(channel, self.periods.get(channel, 0), made)
        self.naive.add(channel, self.periods.get(channel, 0), made)


@settings(deadline=None)
@given(st.lists(actions, max_size=80), st.integers(0, 12), st.integers(0, 12))
def test_histories_give_what_keeping_everything_would(
    script: list[tuple[str, str, int]], after: int, before: int
) -> None:
    play = Play(histories())
    for step in script:
        play.play(*step)
    kept_bytes = 0
    for channel in "abcd":
        expected = play.naive.kept(channel, play.now_ms)
        assert play.kept.after(channel, 0, play.now_ms, ALL) == expected
        assert (
            play.kept.after(channel, after, play.now_ms, 2)
            == [each for each in expected if each.offset > after][:2]
        )
        assert (
            play.kept.before(channel, before, play.now_ms, 2)
            == [each for each in reversed(expected) if each.offset < before][:2]
        )
        kept_bytes += sum(each.size_bytes for each in expected)
    assert play.kept.bytes == kept_bytes


@settings(deadline=None)
@given(st.lists(actions, max_size=80), st.integers(200, 2500), st.sampled_from(["", "a", "abcd"]))
def test_histories_stay_within_their_bytes_and_keep_the_newest_without_a_gap(
    script: list[tuple[str, str, int]], limit_bytes: int, subscribed: str
) -> None:
    play = Play(histories(limit_bytes, subscribed=subscribed))
    for step in script:
        play.play(*step)
        assert 0 <= play.kept.bytes <= limit_bytes
    for channel in "abcd":
        given_now = play.kept.after(channel, 0, play.now_ms, ALL)
        expected = play.naive.kept(channel, play.now_ms)
        assert given_now == expected[len(expected) - len(given_now) :]
    for channel in "abcd":
        play.kept.forget(channel)
    assert (play.kept.bytes, len(play.kept)) == (0, 0)


@settings(deadline=None)
@given(st.lists(actions, max_size=80))
def test_no_byte_is_counted_once_everything_has_expired(script: list[tuple[str, str, int]]) -> None:
    play = Play(histories())
    for step in script:
        play.play(*step)
    # The turn that is under way may go by names of channels that are gone, four at most.
    for _ in range(2 * len("abcd")):
        play.kept.expire(play.now_ms + KEPT.ttl_ms + 1, ALL)
    assert (play.kept.bytes, len(play.kept)) == (0, 0)
