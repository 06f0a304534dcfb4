"""What schedules add up to: every count, every fault with its phases, and what came too rarely."""

from tests.faults.checker import Offence, judge
from tests.faults.journal import Acknowledged, Attempted, Journal, Received, Resumption, Subscribed
from tests.faults.run import Result
from tests.faults.schedule import Cell, Deck, Fault, Phase, Schedule, Strike, draw
from tests.faults.striking.striker import Struck
from tests.faults.tally import WANTED_HITS, Tally, line_of

CELL = Cell(Fault.WORKER_KILLED, Phase.BEFORE_ACK)


def result(*, target: str = "worker-1", is_delivered: bool = True, complaint: str = "") -> Result:
    sender = Journal("sender", [Attempted("c", "a1", 1), Acknowledged("a1")])
    receiver = Journal("receiver", [Subscribed("c", "e", 0, Resumption.FRESH)])
    if is_delivered:
        receiver.note(Received("c", "e", 1, "a1"))
    schedule = Schedule(Deck.PROCESSES, 7, (Strike(CELL, 1.0, "seed"),))
    struck = [Struck(schedule.strikes[0], target)]
    complaints = [complaint] if complaint else []
    return Result(schedule, struck, judge([sender, receiver]), 9.5, 0.5, complaints)


def test_counts_are_added_up() -> None:
    tally = Tally(Deck.PROCESSES, "a run", [result(), result(is_delivered=False)])

    assert tally.total("acknowledged") == 2
    assert tally.total("delivered") == 1
    assert tally.total_of(Offence.LOST) == 1
    assert tally.offences == 1


def test_what_is_wrong_beside_the_journals_is_an_offence_too() -> None:
    found = result(complaint="worker-1 ended by itself")

    assert not found.is_clean
    assert Tally(Deck.PROCESSES, "a run", [found]).offences == 1
    assert "worker-1 ended by itself" in line_of(found)


def test_only_what_was_reached_counts_as_a_hit() -> None:
    tally = Tally(Deck.PROCESSES, "a run", [result(), result(target="")])

    assert tally.hits[CELL] == 1


def test_what_came_too_rarely_is_named() -> None:
    tally = Tally(Deck.PROCESSES, "a run", [result()] * WANTED_HITS)

    assert CELL not in tally.short_of()
    assert set(tally.short_of()) == set(Deck.PROCESSES.cells) - {CELL}


def test_the_page_has_the_counts_the_phases_and_the_schedules() -> None:
    page = Tally(Deck.PROCESSES, "a run", [result()]).markdown()

    assert "## a run" in page
    assert "| **lost** | 0 |" in page
    assert "before ack: 1, after ack: 0" in page
    assert "| 7 | worker killed before ack (worker-1) | 1 | 0 | 10 | 0.5 |" in page


def test_a_line_tells_the_seed_the_strikes_and_the_counts() -> None:
    line = line_of(result(is_delivered=False))

    assert line.startswith("seed 7: worker killed before ack (worker-1) | attempted=1")
    assert "LOST: " in line


def test_a_strike_whose_phase_did_not_come_by_is_told() -> None:
    strike = draw(Deck.PROCESSES, 1).strikes[0]

    assert str(Struck(strike, "")) == f"{strike.cell} (NOT REACHED)"
