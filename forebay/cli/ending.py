"""How a command ends: a sentence and exit code 2 for what is expected to fail."""

import os
import sys
from collections.abc import Callable

# What a shell reports for a process that wrote to a pipe nobody reads, such as `| head`.
_PIPE_CLOSED = 141


def run_and_exit(
    main: Callable[[], None], *, also_expected: tuple[type[Exception], ...] = ()
) -> None:
    """Do what the command is for, then end the process unless all went well."""
    from services.failing import run_to_exit_code

    code = 0
    try:
        code = run_to_exit_code(main, also_expected=also_expected)
    except* BrokenPipeError:
        code = _PIPE_CLOSED
        # Else Python would try to flush what is left, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if code:
        sys.exit(code)
