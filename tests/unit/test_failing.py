"""How commands end."""

import pytest

from broker.errors import BrokerUnavailable, StreamEmpty, TopologyProblem
from services.config import ConfigError
from services.failing import CannotStart, run_to_exit_code


def failing(error: BaseException) -> int:
    def main() -> None:
        raise error

    return run_to_exit_code(main, also_expected=(KeyError,))


def test_a_command_that_did_its_work_ends_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_to_exit_code(lambda: None) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BrokerUnavailable("TimeoutError: "), "cannot be reached: TimeoutError. Check"),
        (StreamEmpty("stream x gives no record"), "no record. Run 'forebay topology apply'"),
        (TopologyProblem("No queue", "Make one"), "forebay: No queue. Make one\n"),
        (CannotStart("port 1 is taken"), "forebay: port 1 is taken\n"),
        (ConfigError(["a: b", "c: d"]), "forebay: a: b\nforebay: c: d\n"),
        (KeyError("k"), "'k'"),
    ],
)
def test_what_is_expected_is_said_alone_and_in_groups(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(error) == 2
    assert said in (alone := capsys.readouterr().err)
    assert failing(ExceptionGroup("", [error, ExceptionGroup("", [error])])) == 2
    assert capsys.readouterr().err == alone


def test_what_is_not_expected_is_raised_also_beside_what_is() -> None:
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError())
    with pytest.raises(ExceptionGroup):
        failing(ExceptionGroup("", [CannotStart("x"), ZeroDivisionError()]))


def test_an_interrupted_command_ends_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "")
