"""Which letters a command is about."""

import pytest

from broker.interface import DeadLetter, DeadReason
from services.letters.wanted import Wanted, letter_id
from tests.unit.letters.making import letter

BROKEN = DeadLetter(b"\xff", DeadReason.UNDECODABLE, "no batch", set_aside_seconds=1_000)
REFUSED = letter("chat:1", "0a.main.0/7/0", seconds=2_000)


def test_a_letter_is_called_by_its_place_in_the_log() -> None:
    assert letter_id(REFUSED) == "0a.main.0/7/0"


def test_a_letter_without_a_place_is_called_by_its_body() -> None:
    assert letter_id(BROKEN) == letter_id(BROKEN._replace(set_aside_seconds=9))
    assert letter_id(BROKEN) != letter_id(BROKEN._replace(body=b"\xfe"))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), [True, True]),
        (Wanted(ids=["0a.main.0/7/0", "another"]), [False, True]),
        (Wanted(ids=[letter_id(BROKEN)]), [True, False]),
        (Wanted(reasons=[DeadReason.REFUSED, DeadReason.FAILED]), [False, True]),
        (Wanted(channel="chat:*"), [False, True]),
        (Wanted(channel="CHAT:*"), [False, False]),
        (Wanted(set_aside_before=1_500), [True, False]),
        (Wanted(set_aside_after=1_500), [False, True]),
        (Wanted(channel="chat:*", set_aside_before=1_500), [False, False]),
    ],
)
def test_all_that_is_said_must_hold(wanted: Wanted, expected: list[bool]) -> None:
    assert [wanted.is_about(each) for each in (BROKEN, REFUSED)] == expected
