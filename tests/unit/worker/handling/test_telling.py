"""Which failed tries are told in the log."""

import pytest
import structlog
from structlog.testing import capture_logs

from forebay.link import Answer, Verdict
from services.sparing import A_SECOND
from services.worker.handling.asked import Asked, Line
from services.worker.handling.interface import Kind, Question
from services.worker.handling.telling import Telling

ANSWER = Answer(1, Verdict.FAILED, text="KeyError: 3", trace="team.py:7 look")
ASKED = Asked(
    None,
    Question(Kind.PUBLISH, "room", "room", b"null", b"secret", "k"),
    lambda _: None,
    Line("room", 0),
    1,
)


@pytest.fixture(autouse=True)
def _uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loggers that were used after logs were configured are not captured."""
    structlog.reset_defaults()
    monkeypatch.setattr("services.worker.handling.telling._log", structlog.get_logger())


def test_a_failed_try_is_told_with_its_place_and_without_its_data() -> None:
    with capture_logs() as logs:
        Telling().tell(ASKED, ANSWER, 1.0)
    (line,) = logs
    assert (line["handler"], line["name"], line["attempt"]) == ("publish", "room", 1)
    assert (line["reason"], line["trace"]) == ("KeyError: 3", "team.py:7 look")
    assert "secret" not in str(line)


def test_of_many_a_few_a_second_are_told_and_how_many_more_there_were() -> None:
    telling = Telling()
    with capture_logs() as logs:
        for _ in range(A_SECOND + 100):
            telling.tell(ASKED, ANSWER, 1.5)
        assert len(logs) == A_SECOND
        telling.tell(ASKED, ANSWER, 2.0)
    assert logs[-1]["untold_before"] == 100
