"""A seed says everything about its schedule, and consecutive seeds reach every fault and phase."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.schedule import LAST_SECONDS, Deck, Fault, Phase, Schedule, draw
from tests.faults.striking.deeds import DEEDS

decks = st.sampled_from(Deck)
seeds = st.integers(1, 300)


@given(decks, seeds)
def test_a_seed_gives_the_same_schedule_again(deck: Deck, seed: int) -> None:
    assert draw(deck, seed) == draw(deck, seed)


@given(decks, seeds)
def test_a_schedule_has_one_to_three_strikes_during_its_load(deck: Deck, seed: int) -> None:
    schedule = draw(deck, seed)

    assert 1 <= len(schedule.strikes) <= 3
    assert all(0 < strike.at_seconds <= LAST_SECONDS for strike in schedule.strikes)
    assert all(strike.cell.fault.part in deck.parts for strike in schedule.strikes)
    assert all(strike.cell.phase in strike.cell.fault.phases for strike in schedule.strikes)


def test_no_two_seeds_differ_in_nothing() -> None:
    drawn = [draw(Deck.PROCESSES, seed).strikes for seed in range(1, 101)]

    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize(
    ("deck", "most"), [(Deck.PROCESSES, 150), (Deck.BROKER, 40), (Deck.CLUSTER, 20)]
)
def test_the_seeds_of_a_report_draw_each_fault_at_each_phase_three_times(
    deck: Deck, most: int
) -> None:
    drawn = Counter(
        strike.cell for seed in range(1, most + 1) for strike in draw(deck, seed).strikes
    )

    assert {cell: drawn[cell] for cell in deck.cells if drawn[cell] < 3} == {}


def test_every_fault_has_a_deed_and_a_phase() -> None:
    assert set(DEEDS) == set(Fault)
    assert all(fault.phases for fault in Fault)


def test_every_phase_is_some_faults() -> None:
    assert {phase for fault in Fault for phase in fault.phases} == set(Phase)


def test_seeds_count_from_one() -> None:
    with pytest.raises(ValueError, match="count from 1"):
        draw(Deck.ALL, 0)


def test_the_strikes_of_a_schedule_are_in_the_order_of_their_times() -> None:
    drawn: list[Schedule] = [draw(Deck.ALL, seed) for seed in range(1, 50)]

    assert all(
        list(each.strikes) == sorted(each.strikes, key=lambda strike: strike.at_seconds)
        for each in drawn
    )
