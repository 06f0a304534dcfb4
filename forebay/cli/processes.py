"""`forebay dev`, `front` and `worker`: the same as `python -m services.front` and so on.

Rules: their options are their own; all that is given is handed on.
"""

import sys
from collections.abc import Callable, Sequence

import click

Main = Callable[[Sequence[str]], int]


def _handing_on(name: str, summary: str, find: Callable[[], Main]) -> click.Command:
    """A command that leaves its arguments, --help among them, to the process's own parser."""

    def run(arguments: tuple[str, ...]) -> None:
        sys.exit(find()(arguments))

    return click.Command(
        name,
        callback=run,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
        help=summary,
    )


def _dev() -> Main:
    from services.dev import main

    return main


def _front() -> Main:
    from services.front.__main__ import main

    return main


def _worker() -> Main:
    from services.worker.__main__ import main

    return main


dev = _handing_on("dev", "Run everything in one process, in memory, open to anybody.", _dev)
front = _handing_on("front", "Run a front: clients connect to it.", _front)
worker = _handing_on("worker", "Run a worker: it checks and orders what clients publish.", _worker)
