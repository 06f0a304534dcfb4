"""`forebay log`: what happened to every entry, read from RabbitMQ."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import click

from forebay.cli.ending import run_and_exit
from forebay.cli.options import with_config


@click.group()
def log() -> None:
    """Look into the logs of the partitions."""


@log.command()
@click.option("--lane", default="main", show_default=True)
@click.option("--partition", type=click.IntRange(0), help="Left out: all of the lane.")
@click.option(
    "--from",
    "start",
    default="last",
    show_default=True,
    help='"first", "last", a position, or how far back: "10m" (somewhat more is shown).',
)
@click.option("--follow/--no-follow", default=True, show_default=True, help="Wait for more.")
@click.option("--payloads", is_flag=True, help="Show what was published, not only its size.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a record.")
@with_config
def tail(
    lane: str,
    partition: int | None,
    start: str,
    follow: bool,
    payloads: bool,
    as_json: bool,
    config_file: Path | None,
) -> None:
    """Show the records of a lane: who may write (fence), what became of entries (settled).

    An entry is producer/number/index: who sent its batch, the batch's number, its place in it. A
    front's or worker's user in rabbitmq.url may read the logs.
    """
    from broker.follow import ContinuityLost

    def show() -> None:
        from services.log_lines import to_json, to_lines

        rabbit, partitions = _find(config_file, lane, partition)
        at = _start(start)

        def write(read: Any) -> None:
            if as_json:
                click.echo(to_json(read, with_payloads=payloads))
            else:
                click.echo("\n".join(to_lines(read, with_payloads=payloads)))

        asyncio.run(_tail(rabbit, partitions, at, write, is_endless=follow))

    run_and_exit(show, also_expected=(ContinuityLost,))


def _find(config_file: Path | None, lane: str, number: int | None) -> tuple[Any, list[Any]]:
    """The section `[rabbitmq]` and the partitions that are meant."""
    from broker.partition import Partition
    from services.config import load_config

    config = load_config(config_file)
    if not config.rabbitmq.url:
        raise click.UsageError("Say where RabbitMQ is: rabbitmq.url (FOREBAY_RABBITMQ__URL).")
    if lane not in config.lanes:
        raise click.BadParameter(f"there is {', '.join(config.lanes)}", param_hint="--lane")
    count = config.lanes[lane].partitions
    if number is not None and number >= count:
        raise click.BadParameter(f"there is 0 to {count - 1}", param_hint="--partition")
    numbers = range(count) if number is None else [number]
    return config.rabbitmq, [Partition(lane, each) for each in numbers]


def _start(text: str) -> Any:
    from services.log_tail import read_start

    try:
        return read_start(text, time.time())
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--from") from None


async def _tail(
    rabbit: Any,
    partitions: Sequence[Any],
    start: Any,
    write: Callable[[Any], None],
    *,
    is_endless: bool,
) -> None:
    from broker.rabbitmq import RabbitSettings, open_rabbitmq
    from services.log_tail import tail
    from services.logs import configure_logs

    configure_logs(logging.ERROR)
    settings = RabbitSettings(rabbit.url, rabbit.prefix, connection_name="forebay log")
    async with open_rabbitmq(settings) as broker:

        async def show(partition: Any) -> None:
            log = broker.log(partition)
            async with aclosing(tail(log, partition, start, is_endless=is_endless)) as records:
                async for record in records:
                    write(record)

        if is_endless:
            async with asyncio.TaskGroup() as tasks:
                for partition in partitions:
                    tasks.create_task(show(partition))
        else:
            for partition in partitions:
                await show(partition)
