"""Whatever dies, freezes, is cut off, comes late or is lost: what was acknowledged is there, once.

FOREBAY_SIMULATION_SEEDS=2000 lives so many lives instead of the few of a usual run.
"""

import os

import pytest

from tests.simulation.seeds import find_violation
from tests.simulation.world import World, live

SEEDS = int(os.environ.get("FOREBAY_SIMULATION_SEEDS", "20"))
"""A life takes 0.3 seconds of a core, two of the long ones a second."""


pytestmark = pytest.mark.timeout(120)  # on a machine that has other things to do


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_promised_holds_whatever_happens(seed: int) -> None:
    assert find_violation(seed) is None


def test_a_seed_lives_the_same_life_again() -> None:
    first, second = live(SAME_SEED), live(SAME_SEED)
    assert _logs(first) == _logs(second)
    assert [each.events for each in first.subscribers] == [
        each.events for each in second.subscribers
    ]
    assert len(_logs(first)) > 100
    assert _logs(first) != _logs(live(SAME_SEED + 1))


SAME_SEED = 3


def _logs(world: World) -> list[tuple[int, bytes]]:
    return [
        (stored.position, stored.body)
        for archive in world.archives.values()
        for generation in archive.generations
        for stored in generation
    ]
