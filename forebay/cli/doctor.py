"""`forebay doctor`: whether RabbitMQ is as front and worker need it."""

import asyncio
import logging
from pathlib import Path

import click

from forebay.cli.ending import run_and_exit
from forebay.cli.options import with_config


@click.command()
@with_config
def doctor(config_file: Path | None) -> None:
    """Look at RabbitMQ with the settings: is it there, new enough, complete, and are we let in?

    Changes nothing. Exit code 2 if something is wrong, with what to do about it.
    """
    run_and_exit(lambda: _look(config_file))


def _look(config_file: Path | None) -> None:
    from services.config import load_config
    from services.logs import configure_logs

    configure_logs(logging.CRITICAL)
    config = load_config(config_file)
    rabbit = config.rabbitmq
    if not rabbit.url:
        raise click.UsageError("Say where RabbitMQ is: rabbitmq.url (FOREBAY_RABBITMQ__URL).")
    lanes = {name: lane.partitions for name, lane in config.lanes.items()}
    asyncio.run(_tell(rabbit.url, rabbit.prefix, lanes))
    click.echo("Front and worker can start.")


async def _tell(urls: tuple[str, ...], prefix: str, lanes: dict[str, int]) -> None:
    from broker.rabbitmq.diagnosis import diagnose

    async for sentence in diagnose(urls, prefix=prefix, lanes=lanes):
        click.echo(sentence)
