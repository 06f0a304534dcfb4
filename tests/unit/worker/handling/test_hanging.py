"""When a process does not go on."""

import pytest

from forebay.link import TASKS_AT_MOST, Mark
from services.worker.handling.asked import Asked, Line
from services.worker.handling.hanging import GRACE_SECONDS, Hanging
from services.worker.handling.interface import Kind, Question

TIMEOUT_SECONDS = 10.0
SOON_SECONDS = TIMEOUT_SECONDS + GRACE_SECONDS
LATE_SECONDS = SOON_SECONDS + 1.0


class Seen:
    """A process that is looked at."""

    def __init__(self) -> None:
        self.under_way: dict[int, Asked] = {}
        self.marks = bytearray(TASKS_AT_MOST)
        self.hanging = Hanging(TIMEOUT_SECONDS)

    def give(self, number: int, mark: Mark) -> None:
        question = Question(Kind.PUBLISH, "a", "a", b"null", b"{}", "")
        asked = Asked(None, question, lambda _: None, Line("a", 0), number)
        asked.place = number
        self.under_way[number] = asked
        self.marks[number] = mark

    def hangs(self, at_seconds: float) -> bool:
        return self.hanging.look(self.under_way, self.marks, at_seconds)


@pytest.fixture
def seen() -> Seen:
    return Seen()


def test_one_with_nothing_to_do_does_not_hang(seen: Seen) -> None:
    assert not seen.hangs(0.0)
    assert not seen.hangs(3_600.0)
    seen.give(1, Mark.BEGUN)
    assert not seen.hangs(3_601.0)


def test_a_handler_that_is_not_ended_in_time_hangs_though_others_end(seen: Seen) -> None:
    seen.give(0, Mark.BEGUN)
    for number in range(1, 20):
        seen.give(number, Mark.BEGUN)
        hangs = seen.hangs(float(number))
        del seen.under_way[number]
        assert hangs == (number - 1 > SOON_SECONDS)


def test_one_in_which_nothing_begins_hangs(seen: Seen) -> None:
    seen.give(1, Mark.WAITING)
    assert not seen.hangs(0.0)
    assert not seen.hangs(SOON_SECONDS)
    assert seen.hangs(LATE_SECONDS)


def test_who_waits_for_long_behind_others_does_not_hang(seen: Seen) -> None:
    for number in range(8):
        seen.give(number, Mark.WAITING)
    for number in range(8):
        seen.marks[number] = Mark.BEGUN
        assert not seen.hangs(number * 9.0)
        assert not seen.hangs(number * 9.0 + 8.0)
        del seen.under_way[number]
