"""Order, tries and blame."""

import pytest

from forebay.link import Answer, Answers, Verdict
from services.worker.handling.interface import (
    TRIES_AT_MOST,
    TRYING_SECONDS_AT_MOST,
    Handled,
)
from services.worker.handling.lines import GIVEN_AT_MOST, NoAnswer
from tests.unit.worker.handling.playing import DIED, START_SECONDS, Playing


@pytest.fixture
def playing() -> Playing:
    return Playing()


def passed(*keys: str) -> list[tuple[str, Verdict]]:
    return [(key, Verdict.PASSED) for key in keys]


def test_what_is_asked_is_given_at_once_and_in_order(playing: Playing) -> None:
    for key in ("1", "2", "3"):
        playing.ask(key)
    assert playing.give() == ["1", "2", "3"]
    playing.answer(*passed("1", "2", "3"))
    assert playing.verdicts == passed("1", "2", "3")


def test_a_line_is_heard_in_order_though_one_of_it_was_changed(playing: Playing) -> None:
    for key in ("1", "2", "3"):
        playing.ask(key)
    playing.give()
    playing.answer(("1", Verdict.PASSED), ("2", Verdict.SWALLOWED), ("3", Verdict.PASSED))
    assert [key for key, _ in playing.heard] == ["1", "2", "3"]


def test_a_process_is_given_a_limited_number_and_the_rest_waits(playing: Playing) -> None:
    keys = [str(number) for number in range(GIVEN_AT_MOST + 1)]
    for key in keys:
        playing.ask(key, line=key)
    assert playing.give() == keys[:-1]
    playing.answer(*passed(keys[0]))
    assert playing.give() == keys[-1:]


def test_who_waits_at_once_is_given_before_all_others(playing: Playing) -> None:
    for number in range(GIVEN_AT_MOST + 1):
        playing.ask(str(number), line=str(number))
    playing.give()
    playing.ask_once("hook", line="client")
    assert playing.give() == ["hook"]


def test_who_waits_at_once_does_not_overtake_its_own_line(playing: Playing) -> None:
    playing.ask("1", line="client")
    playing.ask_once("hook", line="client")
    playing.ask_once("other", line="other")
    assert playing.give() == ["other", "1", "hook"]


def test_a_hook_that_fails_is_not_tried_again(playing: Playing) -> None:
    playing.ask_once("hook", line="client")
    playing.give()
    playing.answer(("hook", Verdict.FAILED))
    assert playing.verdicts == [("hook", Verdict.FAILED)]
    playing.wait()
    assert playing.give() == []


def test_what_fails_is_tried_again_before_its_line_goes_on(playing: Playing) -> None:
    for key in ("1", "2"):
        playing.ask(key)
    playing.ask("other", line="b")
    playing.give()
    playing.answer(("1", Verdict.FAILED), ("2", Verdict.UNSTARTED), ("other", Verdict.PASSED))
    playing.ask("3")
    playing.ask("another", line="b")
    assert playing.give() == ["another"]
    playing.wait()
    assert playing.give() == ["1", "2", "3"]
    playing.answer(*passed("1", "2", "3"))
    assert playing.verdicts == passed("other", "1", "2", "3")
    assert [handled.attempts for _, handled in playing.heard] == [1, 2, 1, 1]


def test_a_line_waits_for_what_its_process_may_not_have_left_unstarted_yet(
    playing: Playing,
) -> None:
    for key in ("1", "2"):
        playing.ask(key)
    playing.give()
    playing.answer(("1", Verdict.FAILED))
    playing.wait()
    assert playing.give() == []
    playing.answer(("2", Verdict.UNSTARTED))
    assert playing.give() == ["1", "2"]


def test_later_generations_are_told_from_those_that_failed(playing: Playing) -> None:
    playing.ask("1")
    playing.give()
    failed = playing.task("1").generation
    playing.answer(("1", Verdict.FAILED))
    playing.wait()
    playing.give()
    assert playing.task("1").generation > failed
    playing.answer(*passed("1"))
    # The line is forgotten, but the process may still know of its failure.
    playing.ask("2")
    playing.give()
    assert playing.task("2").generation > failed


def test_after_the_last_try_a_failure_is_heard_with_its_reason(playing: Playing) -> None:
    playing.ask("1")
    playing.ask("2")
    for _ in range(TRIES_AT_MOST):
        playing.wait()
        playing.give()
        playing.answer(("1", Verdict.FAILED), ("2", Verdict.UNSTARTED))
    assert [key for key, _ in playing.heard] == ["1"]
    failure = playing.heard[0][1]
    assert (failure.verdict, failure.attempts) == (Verdict.FAILED, TRIES_AT_MOST)
    assert (failure.text, failure.trace) == ("1 failed", "app.py:1 f")
    assert playing.give() == ["2"]
    playing.answer(*passed("2"))
    assert playing.verdicts[1:] == passed("2")


def test_three_quick_failures_are_heard_within_a_clients_four_seconds(playing: Playing) -> None:
    playing.ask("1")
    while not playing.heard:
        if playing.give():
            playing.answer(("1", Verdict.FAILED))
        elif playing.lines.next_seconds is not None:
            playing.now_seconds = playing.lines.next_seconds
    assert playing.now_seconds - START_SECONDS < 3.0


def test_no_try_begins_later_than_a_minute_after_the_first(playing: Playing) -> None:
    playing.ask("1")
    playing.give()
    playing.wait(TRYING_SECONDS_AT_MOST)
    playing.answer(("1", Verdict.FAILED))
    assert playing.verdicts == [("1", Verdict.FAILED)]
    assert playing.heard[0][1].attempts == 1


def test_a_refusal_is_heard_and_not_tried_again(playing: Playing) -> None:
    playing.ask("1")
    playing.give()
    playing.lines.hear(
        Answers([], [Answer(playing.task("1").number, Verdict.REFUSED, code=500, text="no")]),
        playing.now_seconds,
    )
    assert playing.heard == [("1", Handled(Verdict.REFUSED, code=500, text="no", sides=[]))]
    playing.wait()
    assert playing.give() == []


def test_an_answer_that_cannot_be_meant_fails_its_entry_alone(playing: Playing) -> None:
    for key in ("1", "2"):
        playing.ask(key)
    playing.give()
    playing.answer(("1", Verdict.REPLIED), ("2", Verdict.PASSED))
    assert playing.verdicts == [("1", Verdict.FAILED), ("2", Verdict.PASSED)]
    assert playing.heard[0][1].text == (
        "the handler's answer is of no use: replied is no answer to a publish"
    )


@pytest.mark.parametrize(
    "answers",
    [
        Answers([2], []),
        Answers([1, 1], []),
        Answers([1], [Answer(1, Verdict.SWALLOWED)]),
        Answers([], [Answer(1, Verdict.SWALLOWED), Answer(1, Verdict.SWALLOWED)]),
        Answers([], [Answer(1, Verdict.UNSTARTED)]),
        Answers([], [Answer(99, Verdict.SWALLOWED)]),
    ],
)
def test_what_answers_nothing_is_not_believed(playing: Playing, answers: Answers) -> None:
    playing.ask("1")
    playing.give()
    with pytest.raises(NoAnswer):
        playing.lines.hear(answers, playing.now_seconds)
    playing.die()
    assert len(playing.heard) + len(playing.give()) == 1


def test_an_answer_before_its_turn_is_not_believed(playing: Playing) -> None:
    for key in ("1", "2"):
        playing.ask(key)
    playing.give()
    with pytest.raises(NoAnswer):
        playing.answer(*passed("2"))
    with pytest.raises(NoAnswer):
        playing.answer(("2", Verdict.SWALLOWED))
    assert playing.heard == []


# ---- deaths


def test_what_had_not_begun_when_a_process_died_is_given_again(playing: Playing) -> None:
    for key in ("1", "2", "3"):
        playing.ask(key)
    playing.ask("other", line="b")
    playing.give()
    playing.die()
    assert playing.give() == ["1", "2", "3", "other"]
    assert playing.task("1").attempt == 1


def test_the_only_one_that_had_begun_has_failed_a_try(playing: Playing) -> None:
    for key in ("1", "2"):
        playing.ask(key)
    playing.ask("other", line="b")
    playing.give()
    playing.begin("1")
    playing.die()
    assert playing.give() == ["other"]
    playing.answer(*passed("other"))
    playing.wait()
    assert playing.give() == ["1"], "alone"
    assert playing.task("1").attempt == 2
    playing.answer(*passed("1"))
    assert playing.give() == ["2"]


def test_who_kills_its_process_each_time_fails_alone(playing: Playing) -> None:
    for key in ("1", "2"):
        playing.ask(key)
    for _ in range(TRIES_AT_MOST):
        playing.wait()
        playing.give()
        playing.begin("1")
        playing.die()
    assert playing.verdicts == [("1", Verdict.FAILED)]
    assert playing.heard[0][1].text == DIED
    assert playing.give() == ["2"]


def test_of_several_that_had_begun_nobody_is_blamed_until_it_is_alone(playing: Playing) -> None:
    for key in ("1", "2", "3"):
        playing.ask(key, line=key)
    playing.give()
    playing.begin("1", "2", "3")
    playing.die()
    tried = []
    while given := playing.give():
        assert len(given) == 1, "alone"
        assert playing.task(given[0]).attempt == 1
        tried += given
        playing.answer(*passed(*given))
    assert tried == ["1", "2", "3"]


def test_many_suspects_are_tried_in_groups(playing: Playing) -> None:
    keys = [str(number) for number in range(64)]
    for key in keys:
        playing.ask(key, line=key)
    playing.give()
    playing.begin(*keys)
    playing.die()
    group = playing.give()
    assert group == keys[:8]
    playing.begin(*group)
    playing.die()
    # The seven other groups do not wait for the members of the first, one after the other.
    groups = []
    while group := playing.give():
        groups.append(group)
        playing.answer(*passed(*group))
    assert sorted(len(group) for group in groups) == [1] * 8 + [8] * 7
    assert sorted(key for key, _ in playing.heard) == sorted(keys)


def test_others_wait_while_a_suspect_is_tried(playing: Playing) -> None:
    playing.ask("1", line="1")
    playing.give()
    playing.begin("1")
    playing.die()
    playing.ask("2", line="2")
    assert playing.give() == ["2"]
    playing.wait()
    assert playing.give() == [], "what is under way ends first"
    playing.ask("3", line="3")
    assert playing.give() == []
    playing.answer(*passed("2"))
    assert playing.give() == ["1"]
    assert playing.give() == []
    playing.answer(*passed("1"))
    assert playing.give() == ["3"]


def test_if_nobody_had_begun_one_that_had_ended_is_to_blame(playing: Playing) -> None:
    playing.ask("1", line="1")
    playing.ask("2", line="2")
    playing.give()
    playing.end("1")
    playing.die()
    assert playing.give() == ["2"]
    playing.answer(*passed("2"))
    playing.wait()
    playing.give()
    assert playing.task("1").attempt == 2


def test_who_had_ended_in_two_processes_that_died_is_tried_alone(playing: Playing) -> None:
    playing.ask("1", line="1")
    for neighbour in ("2", "3"):
        playing.ask(neighbour, line=neighbour)
        assert "1" in playing.give()
        playing.end("1")
        playing.begin(neighbour)
        playing.die()
    playing.ask("4", line="4")
    assert playing.give() == ["4"]
    playing.answer(*passed("4"))
    assert playing.give() == ["1"]
    assert playing.task("1").attempt == 1
    playing.end("1")
    playing.die()
    playing.wait()
    while (given := playing.give()) != ["1"]:
        playing.answer(*passed(*given))
    assert playing.task("1").attempt == 2


def test_a_hook_that_had_begun_with_others_fails(playing: Playing) -> None:
    playing.ask_once("hook", line="client")
    playing.ask("1")
    playing.give()
    playing.begin("hook", "1")
    playing.die()
    assert playing.verdicts == [("hook", Verdict.FAILED)]
    assert playing.give() == ["1"]


def test_a_failure_is_not_heard_before_what_stands_before_it(playing: Playing) -> None:
    playing.ask("1", line="client")
    playing.ask_once("hook", line="client")
    playing.give()
    playing.end("1")
    playing.begin("hook")
    playing.die()
    assert playing.heard == []
    assert playing.give() == ["1"]
    playing.answer(*passed("1"))
    playing.give()
    assert playing.verdicts == [("1", Verdict.PASSED), ("hook", Verdict.FAILED)]


# ---- abandoning


def test_what_is_abandoned_is_not_given(playing: Playing) -> None:
    playing.ask("1", owner="mine")
    playing.ask("2", owner="other")
    playing.lines.abandon("mine")
    assert playing.give() == ["2"]


def test_what_is_asked_next_comes_after_what_was_begun(playing: Playing) -> None:
    playing.ask("1", owner="mine")
    playing.give()
    playing.lines.abandon("mine")
    playing.ask("2", owner="other")
    playing.give()
    with pytest.raises(NoAnswer):
        playing.answer(*passed("2"))
    playing.answer(*passed("1", "2"))
    assert playing.verdicts == passed("2")


def test_what_is_abandoned_is_not_tried_again(playing: Playing) -> None:
    playing.ask("1", owner="mine")
    playing.ask("2", owner="other")
    playing.give()
    playing.lines.abandon("mine")
    playing.answer(("1", Verdict.FAILED), ("2", Verdict.UNSTARTED))
    assert playing.give() == ["2"]
    playing.answer(*passed("2"))
    assert playing.verdicts == passed("2")


def test_a_line_goes_on_when_what_it_waits_for_is_abandoned(playing: Playing) -> None:
    playing.ask("1", owner="mine")
    playing.ask("2", owner="other")
    playing.give()
    playing.answer(("1", Verdict.FAILED), ("2", Verdict.UNSTARTED))
    assert playing.give() == []
    playing.lines.abandon("mine")
    playing.wait()
    assert playing.give() == ["2"]
