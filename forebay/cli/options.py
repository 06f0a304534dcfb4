"""Options that several commands have, and the settings that they lead to."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

with_config = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="The settings' file, instead of forebay.toml.",
)
with_development = click.option(
    "--development",
    is_flag=True,
    help="Begin with the settings of `forebay dev`, which are open to anybody.",
)
