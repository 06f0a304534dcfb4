"""Logs: one line an event, whatever a client put into it."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from services.logs import configure_logs


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undo what is set for the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def logged(user: str, *, is_terminal: bool) -> list[str]:
    stream = io.StringIO()
    configure_logs(stream=stream, is_terminal=is_terminal)
    structlog.get_logger("ours").info("session connected", user=user, code=3501)
    structlog.get_logger("ours").debug("not said")
    logging.getLogger("a.library").warning("a library says %s", user)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("user", ["ann", 'ann"}', "ann\n{}", "ann\r\x1b[31mred", "ä\u2028"])
def test_an_event_is_one_line_of_json(user: str) -> None:
    ours, library = (json.loads(line) for line in logged(user, is_terminal=False))
    assert ours["event"] == "session connected"
    assert (ours["level"], ours["code"]) == ("info", 3501)
    assert ours["timestamp"].endswith("Z")
    assert ours["user"].startswith(user[:1] if user.isprintable() else "")
    assert library["event"].startswith("a library says ")


@pytest.mark.parametrize("user", ["ann", "ann\n{}", "ann\r\x1b[2Jcleared"])
def test_an_event_is_one_line_on_a_terminal(user: str) -> None:
    lines = logged(user, is_terminal=True)
    assert len(lines) == 2
    assert "\x1b[2J" not in "".join(lines)


def test_a_failure_keeps_its_trace() -> None:
    stream = io.StringIO()
    configure_logs(stream=stream, is_terminal=False)
    try:
        int("no number")
    except ValueError:
        structlog.get_logger("ours").exception("a session failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]
