"""Which answers of an app process can be meant."""

import pytest

from forebay.link import ANSWER_BYTES_AT_MOST, SIDES_AT_MOST, Answer, Side, SideKind
from services.worker.handling.answers import find_nonsense
from services.worker.handling.interface import Kind, Verdict

SIDE = Side(SideKind.PUBLISH, "room", b"{}")


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (Kind.PUBLISH, Answer(1, Verdict.PASSED, sides=[SIDE])),
        (Kind.PUBLISH, Answer(1, Verdict.CHANGED, b"{}")),
        (Kind.PUBLISH, Answer(1, Verdict.SWALLOWED)),
        (Kind.RPC, Answer(1, Verdict.REPLIED, b"null")),
        (Kind.SEND, Answer(1, Verdict.PASSED)),
        (Kind.DISCONNECT, Answer(1, Verdict.PASSED)),
        (Kind.CONNECT, Answer(1, Verdict.REPLIED, b"{}")),
        (Kind.SUBSCRIBE, Answer(1, Verdict.PASSED)),
        *(
            (Kind.PUBLISH, Answer(1, Verdict.REFUSED, code=code))
            for code in (100, 113, 401, 402, 500, 1_999)
        ),
        *((Kind.CONNECT, Answer(1, Verdict.REFUSED, code=code)) for code in (103, 3_000, 4_999)),
    ],
)
def test_what_fits_what_was_asked_can_be_meant(kind: Kind, answer: Answer) -> None:
    assert find_nonsense(kind, answer) == ""


@pytest.mark.parametrize(
    ("kind", "answer", "words"),
    [
        (Kind.PUBLISH, Answer(1, Verdict.REPLIED, b"{}"), "replied is no answer to a publish"),
        (Kind.RPC, Answer(1, Verdict.PASSED), "passed is no answer to a rpc"),
        (Kind.CONNECT, Answer(1, Verdict.SWALLOWED), "swallowed is no answer to a connect"),
        (Kind.RPC, Answer(1, Verdict.REPLIED, b""), "its reply is no JSON"),
        (Kind.RPC, Answer(1, Verdict.REPLIED, b"{} {}"), "its reply is no JSON"),
        *(
            (Kind.PUBLISH, Answer(1, Verdict.REFUSED, code=code), f"{code} is no code")
            for code in (-1, 0, 99, 114, 400, 403, 499, 2_000, 3_000, 4_500)
        ),
        *(
            (Kind.SUBSCRIBE, Answer(1, Verdict.REFUSED, code=code), f"{code} is no code")
            for code in (2_500, 2_999, 5_000)
        ),
        (Kind.PUBLISH, Answer(1, Verdict.PASSED, sides=[SIDE] * (SIDES_AT_MOST + 1)), "besides"),
        (Kind.PUBLISH, Answer(1, Verdict.CHANGED, b"x" * (ANSWER_BYTES_AT_MOST + 1)), "bytes"),
    ],
)
def test_what_does_not_fit_is_nonsense(kind: Kind, answer: Answer, words: str) -> None:
    assert words in find_nonsense(kind, answer)
