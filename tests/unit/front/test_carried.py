"""Which orders of a log are carried out, however often it is read."""

from services.front.carried import CarriedOut

BEGAN_MS = 1_000_000_000
DAY_MS = 86_400_000


def live(carried: CarriedOut, position: int, epoch: str = "e1", wall_ms: int = BEGAN_MS) -> bool:
    return carried.take(epoch, position, wall_ms, is_caught_up=True)


def anew(carried: CarriedOut, position: int, epoch: str = "e1", wall_ms: int = BEGAN_MS) -> bool:
    return carried.take(epoch, position, wall_ms, is_caught_up=False)


def test_what_was_there_before_a_front_had_caught_up_is_for_nobody() -> None:
    carried = CarriedOut(BEGAN_MS)
    assert not anew(carried, 1)
    assert live(carried, 2)
    assert not anew(carried, 1)


def test_what_is_read_again_is_not_carried_out_again() -> None:
    carried = CarriedOut(BEGAN_MS)
    assert live(carried, 5)
    assert live(carried, 9)
    assert [anew(carried, position) for position in (5, 9)] == [False, False]


def test_what_was_missed_is_carried_out_when_the_log_is_read_anew() -> None:
    carried = CarriedOut(BEGAN_MS)
    assert live(carried, 5)
    assert [anew(carried, position) for position in (5, 8, 9)] == [False, True, True]
    assert live(carried, 12)


def test_the_first_order_may_be_one_that_was_missed() -> None:
    carried = CarriedOut(BEGAN_MS)
    carried.note_caught_up()
    assert not anew(carried, 7, wall_ms=BEGAN_MS - DAY_MS)
    assert anew(carried, 8)


def test_the_positions_of_a_log_made_anew_count_afresh() -> None:
    carried = CarriedOut(BEGAN_MS)
    assert live(carried, 500)
    assert anew(carried, 3, "e2")
    assert live(carried, 4, "e2")
    assert not anew(carried, 3, "e2")


def test_what_an_earlier_epoch_holds_from_before_this_front_is_for_nobody() -> None:
    carried = CarriedOut(BEGAN_MS)
    assert live(carried, 500, "e2")
    assert not anew(carried, 3, "e1", BEGAN_MS - DAY_MS)
    assert not anew(carried, 500, "e2")
    assert anew(carried, 501, "e3")


def test_a_worker_whose_clock_is_behind_is_heard() -> None:
    carried = CarriedOut(BEGAN_MS)
    assert live(carried, 1, wall_ms=BEGAN_MS - DAY_MS)


def test_no_more_epochs_are_remembered_than_there_may_be() -> None:
    carried = CarriedOut(BEGAN_MS)
    assert all(live(carried, 1, f"e{number}") for number in range(100))
    assert not live(carried, 1, "e99")
