"""The options by which a command is told which app it is to serve.

Not here: the command that they are options of (`services.worker.__main__`, `services.dev`).
"""

import argparse
from collections.abc import AsyncIterator

from pydantic import ValidationError

from services.settings import AppConfig, Config
from services.worker.handling.changes import folders_of, watch


def add_app_options(parser: argparse.ArgumentParser, *, reloads: bool) -> None:
    """Let a command be told; `reloads` says what holds if it is not told that."""
    parser.add_argument(
        "--app", type=_path, metavar="MODULE:NAME", help="the team's App, instead of app.path"
    )
    parser.add_argument(
        "--app-processes",
        type=_processes,
        metavar="N",
        help="how many processes run it, instead of app.processes",
    )
    parser.add_argument(
        "--reload",
        action=argparse.BooleanOptionalAction,
        default=reloads,
        help="replace the app's processes when Python files change; clients stay connected",
    )


def with_app_options(config: Config, options: argparse.Namespace) -> Config:
    """The settings as the options would have them."""
    asked = {"path": options.app, "processes": options.app_processes}
    update = {name: value for name, value in asked.items() if value is not None}
    return config.model_copy(update={"app": config.app.model_copy(update=update)})


def app_arguments(options: argparse.Namespace) -> list[str]:
    """The options as they were given, for another command that has them."""
    asked = {"--app": options.app, "--app-processes": options.app_processes}
    given = [each for name, value in asked.items() if value for each in (name, str(value))]
    return [*given, "--reload" if options.reload else "--no-reload"]


def changes_to_reload_at(config: Config, options: argparse.Namespace) -> AsyncIterator[None] | None:
    """The moments at which the app's processes are to be replaced, if at all."""
    if not (options.reload and config.app.path):
        return None
    return watch(folders_of(config.app.path))


def _path(text: str) -> str:
    try:
        return AppConfig(path=text).path
    except ValidationError:
        raise argparse.ArgumentTypeError('it is like "package.module:name"') from None


def _processes(text: str) -> int:
    try:
        return AppConfig(processes=int(text)).processes
    except ValueError:  # as pydantic's are
        raise argparse.ArgumentTypeError("it is a number from 1 to 64") from None
