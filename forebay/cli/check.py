"""`forebay check`: whether the settings are right, what they open, what in them would surprise."""

from pathlib import Path

import click

from forebay.cli.ending import run_and_exit
from forebay.cli.options import with_config, with_development


@click.command()
@with_config
@with_development
def check(config_file: Path | None, development: bool) -> None:
    """Check the settings.

    Says what they open to people without a token, and what may not be what was meant. Exit code
    2 if something is wrong; all of it is said at once.
    """
    run_and_exit(lambda: _check(config_file, development=development))


def _check(config_file: Path | None, *, development: bool) -> None:
    from services.advice import describe_openings, describe_surprises
    from services.config import development_config, load_config

    config = (development_config if development else load_config)(config_file)
    for sentence in describe_openings(config):
        click.echo(f"open: {sentence}")
    for sentence in describe_surprises(config):
        click.echo(f"warning: {sentence}")
    click.echo("The settings can be used.")
