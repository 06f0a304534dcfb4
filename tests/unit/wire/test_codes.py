"""The tables of codes a client can be told."""

import pytest

from services.wire.errors import (
    CustomDisconnect,
    Disconnect,
    Error,
    ErrorCode,
    ProtocolError,
    Refusal,
    Unsubscribed,
    find_ending,
    find_error,
    find_unsubscribe,
    may_reconnect,
)


def test_the_error_table_is_the_protocols_and_some_of_ours() -> None:
    assert [code.code for code in ErrorCode] == [*range(100, 114), 400, 401]
    temporary = {code.code for code in ErrorCode if code.temporary}
    assert temporary == {100, 111, 113}


def test_an_unknown_outcome_is_not_repeated_by_the_sdk() -> None:
    assert ErrorCode.OUTCOME_UNKNOWN.error == Error(400, "outcome unknown", False)


def test_the_disconnect_table_is_the_protocols() -> None:
    returning = [code.code for code in Disconnect if code.may_reconnect]
    assert returning == [3000, 3001, 3004, 3005, 3006, *range(3008, 3015)]
    assert [code.code for code in Disconnect if not code.may_reconnect] == [*range(3500, 3510)]


def test_every_disconnects_words_fit_a_close_frame() -> None:
    assert all(len(code.text.encode()) <= 123 for code in Disconnect)


def test_custom_codes_follow_the_ranges_the_sdks_know() -> None:
    assert [may_reconnect(code) for code in (3499, 3500, 3999, 4000, 4499, 4500, 4999, 5000)] == [
        True, False, False, True, True, False, False, True,
    ]  # fmt: skip


def test_a_subscription_ended_for_good_stays_so() -> None:
    returning = [code.code for code in Unsubscribed if code.may_resubscribe]
    assert returning == [2500, 2501, 2502]


def test_an_explained_error_keeps_its_code() -> None:
    error = ErrorCode.TOO_MANY_REQUESTS.explained("pool full")
    assert error == Error(111, "too many requests: pool full", True)
    assert str(Refusal(error)) == "111 too many requests: pool full"


def test_a_protocol_error_says_why_in_one_sentence() -> None:
    assert str(ProtocolError(Disconnect.BAD_REQUEST, "empty")) == "3501 bad request: empty"


@pytest.mark.parametrize(
    ("code", "text", "ending"),
    [
        (3503, "force disconnect", Disconnect.FORCED),
        (3503, "", Disconnect.FORCED),
        (3503, "banned", CustomDisconnect(3503, "banned")),
        (4123, "banned", CustomDisconnect(4123, "banned")),
        (3777, "", Disconnect.FORCED),
        (1000, "banned", CustomDisconnect(3503, "banned")),
        (5000, "banned", CustomDisconnect(3503, "banned")),
    ],
)
def test_the_team_ends_sessions_with_codes_that_clients_know(
    code: int, text: str, ending: Disconnect | CustomDisconnect
) -> None:
    assert find_ending(code, text) == ending


def test_a_custom_disconnect_says_whether_to_come_back() -> None:
    assert find_ending(4000, "").may_reconnect
    assert not find_ending(4500, "").may_reconnect


def test_the_teams_words_fit_a_close_frame_in_whole_characters() -> None:
    assert find_ending(4000, "ü" * 100).text == "ü" * 61
    assert find_unsubscribe(2100, "ü" * 100) == (2100, "ü" * 61)


def test_an_unsubscribe_of_a_code_that_no_client_knows_is_the_servers() -> None:
    assert find_unsubscribe(1, "x") == (2000, "x")
    assert find_unsubscribe(3000, "x") == (2000, "x")


def test_an_error_from_elsewhere_is_temporary_if_the_protocol_says_so() -> None:
    assert find_error(100, "x") == Error(100, "x", True)
    assert find_error(1042, "x") == Error(1042, "x", False)
