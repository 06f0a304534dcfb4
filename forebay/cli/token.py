"""`forebay token`: tokens as a backend makes them, for trying things out."""

import json
import time
from pathlib import Path

import click

from forebay.cli.ending import run_and_exit
from forebay.cli.options import with_config


@click.command()
@click.argument("user")
@click.option("--ttl", default="1h", show_default=True, help='Valid for so long; "0": for ever.')
@click.option("--channel", default="", help="Make a subscription token for this channel.")
@click.option("--info", help="JSON that other clients see beside the user, in presence and joins.")
@with_config
def token(user: str, ttl: str, channel: str, info: str | None, config_file: Path | None) -> None:
    """Print a token for USER, signed with the configured key.

    USER may be empty (''), which is an anonymous client.
    """
    run_and_exit(lambda: _print_token(user, ttl, channel, info, config_file))


def _print_token(
    user: str, ttl: str, channel: str, info: str | None, config_file: Path | None
) -> None:
    from services.auth import TokenInvalid, make_token
    from services.config import load_config

    ttl_seconds = _seconds(ttl)
    about = None if info is None else _json(info)
    client = load_config(config_file).client
    try:
        made = make_token(
            client.token_of_subscriptions if channel else client.token,
            user,
            expire_at=time.time() + ttl_seconds if ttl_seconds else None,
            channel=channel,
            info=about,
        )
    except TokenInvalid as error:
        raise click.UsageError(error.why) from None
    click.echo(made)


def _seconds(ttl: str) -> float:
    from services.units import read_duration

    try:
        return float(str(read_duration(ttl)))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--ttl") from None


def _json(text: str) -> object:
    try:
        parsed: object = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--info") from None
    return parsed
