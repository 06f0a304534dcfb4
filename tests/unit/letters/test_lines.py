"""How a dead letter looks."""

import json

import pytest

from broker.interface import DeadLetter, DeadReason
from services.letters.lines import HEADINGS, to_json, to_lines, to_row
from services.letters.wanted import letter_id
from tests.unit.letters.making import letter

NASTY = "first \x1b[31m line\nand the trace\n" + "x" * 200
FAILED = letter("chat:1", "0a.main.0/7/0", b'{"n":1}\x1b', key="k")._replace(
    reason=DeadReason.FAILED, explanation=NASTY, attempts=3
)
BROKEN = DeadLetter(b"\xff\x1bx", DeadReason.UNDECODABLE, "y" * 200)


@pytest.mark.parametrize(
    ("later_seconds", "said"), [(0, "0s"), (59, "59s"), (60, "1m"), (7_300, "2h"), (200_000, "2d")]
)
def test_a_row_says_how_old_it_is(later_seconds: int, said: str) -> None:
    assert to_row(FAILED, 1_000 + later_seconds)[1] == said


def test_a_row_has_what_its_headings_say_and_one_line_of_why() -> None:
    row = to_row(FAILED, 1_000)
    assert len(row) == len(HEADINGS)
    assert row[0] == "0a.main.0/7/0"
    assert row[2:5] == ("failed", "chat:1", "3")
    assert row[5] == "first \\x1b[31m line"


def test_a_row_of_what_is_undecodable_is_short_too() -> None:
    row = to_row(BROKEN, 1_000)
    assert row[:5] == (letter_id(BROKEN), "?", "undecodable", "-", "-")
    assert len(row[5]) < 100
    assert row[5].endswith("…")


@pytest.mark.parametrize("shown", [FAILED, BROKEN])
def test_nothing_that_was_sent_reaches_the_terminal_raw(shown: DeadLetter) -> None:
    text = "\n".join([*to_lines(shown, 1_000), *to_row(shown, 1_000)])
    assert "\x1b" not in text
    assert all(line.isprintable() for line in text.splitlines())


def test_a_letter_is_shown_with_its_payload_and_all_of_the_explanation() -> None:
    text = "\n".join(to_lines(FAILED, 1_000))
    for words in ('{"n":1}', "and the trace", "publish", "0a.main.0/7/0", "1970-01-01T00:16:40Z"):
        assert words in text


def test_json_has_the_payload_only_where_it_is_shown() -> None:
    row = json.loads(to_json(FAILED, with_payload=True))
    assert row["payload"] == '{"n":1}\x1b'
    assert (row["reason"], row["attempts"], row["key"]) == ("failed", 3, "k")
    assert row["explanation"] == NASTY
    assert "payload" not in json.loads(to_json(FAILED, with_payload=False))
    assert json.loads(to_json(BROKEN, with_payload=True))["body"] == "\ufffd\x1bx"
