"""How our commands end: expected failures as sentences, all others with their trace.

Rules
- A sentence is for the person who started the command, so it says what to do next.
- Task groups wrap a failure once for each task that was running; only what is inside is told.

Not here: the failures themselves (each beside what raises it), exit codes of a killed process.
"""

import sys
from collections.abc import Callable, Iterator

from broker.errors import BrokerUnavailable, StreamEmpty, TopologyProblem
from services.config import ConfigError

CANNOT_START = 2
"""By convention of all our commands: a person must change something first; trying again is vain."""

INTERRUPTED = 130  # what a shell reports for a process that ended by SIGINT


class CannotStart(Exception):
    """Something outside of us must change first; the text says what, and what to do."""


# Said in a sentence by every command. Anything else is our fault, and shows its trace.
EXPECTED: tuple[type[Exception], ...] = (
    BrokerUnavailable,
    CannotStart,
    ConfigError,
    TopologyProblem,
)


def run_to_exit_code(
    main: Callable[[], None], *, also_expected: tuple[type[Exception], ...] = ()
) -> int:
    """Run a command, and answer its exit code: 0, or 2 once the reasons are on standard error.

    What is not expected, alone or in an exception group, is raised as it is.
    """
    expected: tuple[type[BaseException], ...] = (*EXPECTED, *also_expected)
    try:
        main()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (Exception, BaseExceptionGroup) as failure:
        causes = list(_causes(failure))
        if not all(isinstance(cause, expected) for cause in causes):
            raise
        for line in dict.fromkeys(line for cause in causes for line in _lines(cause)):
            sys.stderr.write(f"forebay: {line}\n")
        return CANNOT_START
    return 0


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """What really went wrong, without the groups around it."""
    if isinstance(failure, BaseExceptionGroup):
        for each in failure.exceptions:
            yield from _causes(each)
    else:
        yield failure


def _lines(cause: BaseException) -> list[str]:
    if isinstance(cause, ConfigError):
        return list(cause.problems)
    if isinstance(cause, StreamEmpty):
        return [f"{cause}. Run 'forebay topology apply' as an administrator"]
    if isinstance(cause, BrokerUnavailable):
        reason = str(cause).rstrip(": ")
        return [
            f"RabbitMQ cannot be reached: {reason}. Check that it is running, and rabbitmq.url"
            " (FOREBAY_RABBITMQ__URL)"
        ]
    return [str(cause)]
