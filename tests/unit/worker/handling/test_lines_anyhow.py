"""Order, tries and blame, whatever happens."""

from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.link import Verdict
from services.worker.handling.interface import TRIES_AT_MOST
from tests.unit.worker.handling.playing import Step, World

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 3), st.integers(0, 2)),
        st.tuples(st.just("end"), st.integers(0, 3)),
        st.tuples(st.just("hook"), st.integers(0, 3)),
        st.tuples(st.just("forget"), st.integers(0, 3)),
        st.tuples(st.just("abandon"), st.integers(0, 2)),
        st.tuples(st.sampled_from(["give", "begin", "answer", "die", "wait"])),
    ),
    max_size=60,
)


NUMBERS = st.sets(st.integers(0, 15), max_size=2)


@settings(max_examples=400, deadline=None)
@given(STEPS, NUMBERS, NUMBERS, NUMBERS)
def test_whatever_happens_each_is_heard_once_and_in_order(
    steps: list[Step], poison: set[int], deadly: set[int], late: set[int]
) -> None:
    world = World(poison, deadly, late)
    for step in steps:
        world.step(step)
    world.run_out()
    check_order(world)
    for key, handled in world.playing.heard:
        tries_at_most = 1 if key in world.hooks else TRIES_AT_MOST
        assert handled.attempts <= tries_at_most
        if int(key) in poison | deadly | late:
            assert handled.verdict is Verdict.FAILED
            assert handled.attempts == tries_at_most
        elif key not in world.hooks and ("die",) not in steps:
            assert handled.verdict is Verdict.PASSED


def check_order(world: World) -> None:
    """Each was heard once, but for those that were abandoned, and in its line's order."""
    heard = [key for key, _ in world.playing.heard]
    assert sorted(heard) == sorted(world.asked.keys() - world.abandoned)
    for line in set(world.asked.values()):
        in_order = [int(key) for key in heard if world.asked[key] == line]
        assert in_order == sorted(in_order)
