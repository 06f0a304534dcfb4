"""The wheel wakes what is due, never early, whatever is set and cleared meanwhile."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.front.timers import NEVER, TICK_SECONDS, Wheel
from tests.unit.front.stage import FakeClock


class Sleeper:
    """Remembers when it was woken, and may do something then."""

    def __init__(self, then: Callable[[float], None] = lambda _: None) -> None:
        self.due_tick = NEVER
        self.woken: list[float] = []
        self._then = then

    def wake(self, now_seconds: float) -> None:
        self.woken.append(now_seconds)
        self._then(now_seconds)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def wheel(clock: FakeClock) -> Wheel:
    return Wheel(clock)


def pass_time(clock: FakeClock, wheel: Wheel, seconds: float) -> None:
    clock.turn(seconds)
    wheel.turn()


def test_it_wakes_once_and_not_early(clock: FakeClock, wheel: Wheel) -> None:
    sleeper = Sleeper()
    wheel.set(sleeper, clock.now + 10)
    pass_time(clock, wheel, 9.9)
    assert sleeper.woken == []
    pass_time(clock, wheel, 0.1 + TICK_SECONDS)
    assert len(sleeper.woken) == 1
    pass_time(clock, wheel, 100)
    assert (len(sleeper.woken), len(wheel)) == (1, 0)


def test_setting_again_moves_it(clock: FakeClock, wheel: Wheel) -> None:
    sleeper = Sleeper()
    wheel.set(sleeper, clock.now + 10)
    wheel.set(sleeper, clock.now + 20)
    assert len(wheel) == 1
    pass_time(clock, wheel, 15)
    assert sleeper.woken == []
    pass_time(clock, wheel, 6)
    assert len(sleeper.woken) == 1


def test_clearing_forgets_it(clock: FakeClock, wheel: Wheel) -> None:
    sleeper = Sleeper()
    wheel.set(sleeper, clock.now + 1)
    wheel.clear(sleeper)
    wheel.clear(sleeper)
    pass_time(clock, wheel, 5)
    assert (sleeper.woken, len(wheel)) == ([], 0)


def test_what_is_overdue_is_woken_at_the_next_turn(clock: FakeClock, wheel: Wheel) -> None:
    sleeper = Sleeper()
    wheel.set(sleeper, clock.now - 100)
    pass_time(clock, wheel, TICK_SECONDS)
    assert len(sleeper.woken) == 1


def test_who_is_woken_may_set_itself_again(clock: FakeClock, wheel: Wheel) -> None:
    sleeper = Sleeper(lambda now: wheel.set(sleeper, now + 1))
    wheel.set(sleeper, clock.now + 1)
    for _ in range(10):
        pass_time(clock, wheel, 1.25)
    assert (len(sleeper.woken), len(wheel)) == (10, 1)


def test_who_is_woken_may_clear_another_that_is_due(clock: FakeClock, wheel: Wheel) -> None:
    pair: list[Sleeper] = []

    def clear_all(_: float) -> None:
        for each in pair:
            wheel.clear(each)

    pair += [Sleeper(clear_all), Sleeper(clear_all)]
    for sleeper in pair:
        wheel.set(sleeper, clock.now + 1)
    pass_time(clock, wheel, 2)
    assert sum(len(sleeper.woken) for sleeper in pair) == 1
    assert len(wheel) == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.one_of(st.none(), st.floats(0, 20)), st.floats(0, 5)),
        max_size=40,
    )
)
def test_any_setting_and_clearing_leaves_no_residue(
    steps: list[tuple[int, float | None, float]],
) -> None:
    clock = FakeClock()
    wheel = Wheel(clock)
    sleepers = [Sleeper() for _ in range(5)]
    due: dict[int, float] = {}
    for which, delay, passing in steps:
        if delay is None:
            wheel.clear(sleepers[which])
            due.pop(which, None)
        else:
            wheel.set(sleepers[which], clock.now + delay)
            due[which] = clock.now + delay
        assert len(wheel) == len(due)
        pass_time(clock, wheel, passing)
        for number, at in list(due.items()):
            if sleepers[number].woken:
                assert at <= clock.now
                due.pop(number)
                sleepers[number].woken.clear()
            else:
                assert at > clock.now - 2 * TICK_SECONDS
        assert not any(sleeper.woken for sleeper in sleepers)
    pass_time(clock, wheel, 60)
    assert len(wheel) == 0
    assert all(sleeper.due_tick == NEVER for sleeper in sleepers)


async def test_a_process_that_stood_still_reads_before_it_wakes_anybody(
    clock: FakeClock, wheel: Wheel
) -> None:
    sleeper = Sleeper()
    wheel.set(sleeper, clock.now + 10)
    running = asyncio.create_task(wheel.run())
    await asyncio.sleep(0)
    clock.turn(30)
    for _ in range(5):
        await asyncio.sleep(0)
    assert sleeper.woken == []
    clock.turn(TICK_SECONDS)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(sleeper.woken) == 1
    running.cancel()
