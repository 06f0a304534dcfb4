"""`forebay log`: what happened to every entry, read from RabbitMQ."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

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
    help='"first", "last", a position, or how far back: "10m". Times are those of the segments\''
    " chunks, so somewhat more may be shown.",
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
        asyncio.run(_tail(config_file, lane, partition, start, follow, payloads, as_json))

    run_and_exit(show, also_expected=(ContinuityLost,))


async def _tail(
    config_file: Path | None,
    lane: str,
    partition: int | None,
    start: str,
    is_endless: bool,
    with_payloads: bool,
    as_json: bool,
) -> None:
    import logging

    from broker.partition import Partition
    from broker.rabbitmq import RabbitSettings, open_rabbitmq
    from services.config import load_config
    from services.log_lines import to_json, to_lines
    from services.log_tail import read_start, tail
    from services.logs import configure_logs

    config = load_config(config_file)
    configure_logs(logging.ERROR)
    if lane not in config.lanes:
        raise click.BadParameter(f"there is {', '.join(config.lanes)}", param_hint="--lane")
    numbers = _numbers(partition, config.lanes[lane].partitions)
    if not config.rabbitmq.url:
        raise click.UsageError("Say where RabbitMQ is: rabbitmq.url (FOREBAY_RABBITMQ__URL).")
    try:
        at = read_start(start, time.time())
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--from") from None
    settings = RabbitSettings(
        config.rabbitmq.url, config.rabbitmq.prefix, connection_name="forebay log"
    )
    async with open_rabbitmq(settings) as broker:

        async def show(number: int) -> None:
            one = Partition(lane, number)
            async for read in tail(broker.log(one), one, at, is_endless=is_endless):
                if as_json:
                    click.echo(to_json(read, with_payloads=with_payloads))
                else:
                    click.echo("\n".join(to_lines(read, with_payloads=with_payloads)))

        if is_endless:
            async with asyncio.TaskGroup() as tasks:
                for number in numbers:
                    tasks.create_task(show(number))
        else:
            for number in numbers:
                await show(number)


def _numbers(asked: int | None, partitions: int) -> Sequence[int]:
    if asked is None:
        return range(partitions)
    if asked >= partitions:
        raise click.BadParameter(f"the lane has 0 to {partitions - 1}", param_hint="--partition")
    return [asked]
