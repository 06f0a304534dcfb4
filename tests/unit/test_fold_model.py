"""Whatever dies, freezes, comes late or comes twice: each entry is settled once, all agree.

The same simulation with one rule broken must fail, or it would prove nothing.
"""

from dataclasses import replace

import pytest

from tests.unit.fold_model import Rules, Violation, World

STEPS = 10_000
"""Some 350 records with 15 cuts or fewer; a worker is struck 400 times."""
SEEDS = range(8)

MUTANT_STEPS = 8_000
MUTANT_SEEDS = range(80)
"""All mutants but one are caught by the first or the second; to undo a cut takes a rare moment, and
seed 16."""


@pytest.mark.parametrize("seed", SEEDS)
def test_every_entry_is_settled_once_and_in_order_and_all_readers_agree(seed: int) -> None:
    World(seed, Rules()).run(STEPS)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_queue_that_changes_the_order_loses_and_repeats_nothing(seed: int) -> None:
    World(seed, Rules(order_is_kept=False)).run(STEPS)


@pytest.mark.parametrize(
    ("rule", "rules"),
    [
        ("settled_is_skipped", Rules()),
        ("fences_move_the_head", Rules()),
        ("after_is_the_head", Rules()),
        ("numbers_are_exact", Rules(order_is_kept=False)),
        ("resent_before_others", Rules()),
        ("readers_wait_for_a_fence", Rules()),
        ("cuts_are_final", Rules()),
    ],
)
def test_a_broken_rule_is_noticed(rule: str, rules: Rules) -> None:
    mutant = replace(rules, **{rule: False})
    assert any(is_noticed(seed, mutant) for seed in MUTANT_SEEDS)


def is_noticed(seed: int, rules: Rules) -> bool:
    try:
        World(seed, rules).run(MUTANT_STEPS)
    except Violation:
        return True
    return False
