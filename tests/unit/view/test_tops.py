"""The position of every channel: remembered, forgotten and restored alike by everybody."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.view.tops import Top, Tops

REMEMBER_SECONDS = 60


def rows(tops: Tops) -> dict[str, tuple[int, int, int]]:
    return {name: (top.period, top.offset, top.last_seconds) for name, top in tops.rows()}


def test_an_unknown_channel_has_no_top() -> None:
    assert Tops(REMEMBER_SECONDS).get("a") is None


def test_a_period_is_log_time_rounded_down_to_how_long_a_channel_is_remembered() -> None:
    tops = Tops(REMEMBER_SECONDS)
    assert [tops.current_period(seconds) for seconds in (0, 59, 60, 119, 120)] == [
        0,
        0,
        60,
        60,
        120,
    ]


def test_a_channel_keeps_the_period_of_its_first_publication() -> None:
    tops = Tops(REMEMBER_SECONDS)
    tops.advance("a", 60, 1, 70)
    tops.advance("a", 60, 2, 125)
    assert rows(tops) == {"a": (60, 2, 125)}


def test_a_channel_is_forgotten_when_it_has_been_idle_for_longer_than_remembered() -> None:
    tops = Tops(REMEMBER_SECONDS)
    tops.advance("a", 0, 1, 10)
    assert tops.forget_idle(10 + REMEMBER_SECONDS) == []
    assert tops.forget_idle(11 + REMEMBER_SECONDS) == ["a"]
    assert tops.get("a") is None
    assert len(tops) == 0


def test_a_channel_published_to_again_is_not_forgotten_with_those_of_its_age() -> None:
    tops = Tops(REMEMBER_SECONDS)
    for name in "abc":
        tops.advance(name, 0, 1, 0)
    tops.advance("b", 0, 2, 30)
    assert tops.forget_idle(REMEMBER_SECONDS + 1) == ["a", "c"]
    assert rows(tops) == {"b": (0, 2, 30)}


def test_clearing_starts_every_channel_afresh() -> None:
    tops = Tops(REMEMBER_SECONDS)
    tops.advance("a", 0, 5, 10)
    tops.clear()
    assert tops.get("a") is None


def test_a_snapshots_rows_do_not_move_with_the_channels() -> None:
    tops = Tops(REMEMBER_SECONDS)
    tops.advance("a", 0, 1, 10)
    taken = tops.rows()
    tops.advance("a", 0, 2, 20)
    assert taken == [("a", Top(0, 1, 10))]


def test_a_snapshot_takes_the_place_of_all_that_was_known() -> None:
    tops = Tops(REMEMBER_SECONDS)
    tops.advance("a", 0, 7, 50)
    tops.restore([("old", Top(0, 3, 5)), ("b", Top(0, 6, 40))])
    assert rows(tops) == {"old": (0, 3, 5), "b": (0, 6, 40)}
    assert tops.forget_idle(5 + REMEMBER_SECONDS + 1) == ["old"]


def test_a_large_snapshot_is_taken_in_steps() -> None:
    tops = Tops(REMEMBER_SECONDS)
    made = [(f"channel {number}", Top(0, number, 5)) for number in range(25_000)]
    assert [len(tops) for _ in tops.restoring(made)] == [10_000, 20_000, 25_000]
    assert tops.rows() == made


class Writer:
    """Publishes as the owner of a log does, into the tops that read it."""

    def __init__(self) -> None:
        self.log_seconds = 0
        self.tops = Tops(REMEMBER_SECONDS)

    def publish(self, channel: str) -> tuple[str, int, int, int]:
        top = self.tops.get(channel)
        period, offset = (
            (self.tops.current_period(self.log_seconds), 1)
            if top is None
            else (top.period, top.offset + 1)
        )
        self.tops.advance(channel, period, offset, self.log_seconds)
        return channel, period, offset, self.log_seconds

    def pass_time(self, seconds: int) -> int:
        self.log_seconds += seconds
        self.tops.forget_idle(self.log_seconds)
        return self.log_seconds


scripts = st.lists(st.sampled_from("abcdefg") | st.sampled_from([1, 7, 30, 61, 200]), max_size=60)


@settings(deadline=None)
@given(scripts, st.integers(0, 60), st.integers(0, 60))
def test_a_snapshot_anywhere_and_the_rest_of_the_log_give_the_whole(
    script: list[str | int], snapshot_at: int, started_before: int
) -> None:
    snapshot_at = min(snapshot_at, len(script))
    writer = Writer()
    later = Tops(REMEMBER_SECONDS)
    started = max(0, snapshot_at - started_before)
    for step, action in enumerate(script):
        if step == snapshot_at:
            later.restore(writer.tops.rows())
        is_reading = step >= started
        if isinstance(action, int):
            seconds = writer.pass_time(action)
            if is_reading:
                later.forget_idle(seconds)
        else:
            published = writer.publish(action)
            if is_reading:
                later.advance(*published)
    if len(script) == snapshot_at:
        later.restore(writer.tops.rows())
    assert rows(later) == rows(writer.tops)
    ages = [top.last_seconds for _, top in later.rows()]
    assert ages == sorted(ages)


@settings(deadline=None)
@given(scripts)
def test_a_channel_that_lives_again_has_a_later_period(script: list[str | int]) -> None:
    writer = Writer()
    lives: dict[str, tuple[int, int]] = {}
    for action in script:
        if isinstance(action, int):
            writer.pass_time(action)
            continue
        channel, period, offset, _ = writer.publish(action)
        if channel in lives and offset == 1:
            assert period > lives[channel][0]
        elif channel in lives:
            assert (period, offset) == (lives[channel][0], lives[channel][1] + 1)
        lives[channel] = period, offset
