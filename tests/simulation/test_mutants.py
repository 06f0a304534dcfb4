"""A rule of the product that is broken shows, or the simulation would prove nothing.

Each mutant is looked for in the seeds that stand with it in `mutants`, and only in the kind of
world in which it matters; the product as it is passes all of these.
"""

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.seeds import find_violation

pytestmark = pytest.mark.timeout(120)  # on a machine that has other things to do


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_noticed(name: str) -> None:
    mutant = MUTANTS[name]
    with mutant.broken():
        assert any(find_violation(seed, mutant.traits) for seed in mutant.seeds)
    assert find_violation(mutant.seeds[0], mutant.traits) is None
