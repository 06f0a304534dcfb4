"""Options that several commands have."""

from pathlib import Path

import click

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
