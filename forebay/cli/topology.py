"""`forebay topology`: what Forebay has in RabbitMQ, declared by an administrator or only shown."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click

from forebay.cli.ending import run_and_exit
from forebay.cli.options import with_config


@click.group()
def topology() -> None:
    """Declare or show the queues, streams, exchanges and users in RabbitMQ."""


@topology.command()
@click.option(
    "--url",
    "urls",
    multiple=True,
    help="AMQP URL of an administrator; several are the nodes of one cluster."
    " Left out: rabbitmq.url.",
)
@click.option(
    "--management-url",
    help="URL of the management UI with an administrator's credentials, to make the users too:"
    " http://admin:password@host:15672. Left out: FOREBAY_MANAGEMENT_URL.",
)
@with_config
def apply(urls: tuple[str, ...], management_url: str | None, config_file: Path | None) -> None:
    """Declare everything. Can be done again, and has to be after adding a lane.

    With the URL of the management UI it also makes the users front, worker, backend and operator
    (for `forebay dead`), each with the least that it needs, of those whose passwords are set:
    FOREBAY_FRONT_PASSWORD, FOREBAY_WORKER_PASSWORD, FOREBAY_BACKEND_PASSWORD,
    FOREBAY_OPERATOR_PASSWORD.
    """
    run_and_exit(lambda: _apply(urls, management_url, config_file))


def _apply(urls: Sequence[str], management_url: str | None, config_file: Path | None) -> None:
    from broker.rabbitmq import TopologyLimits, apply_topology
    from broker.rabbitmq.users import apply_users
    from services.config import load_config, load_management_url, load_passwords
    from services.logs import configure_logs

    configure_logs(logging.ERROR)
    config = load_config(config_file)
    urls = urls or config.rabbitmq.url
    if not urls:
        raise click.UsageError("Say where RabbitMQ is: --url, or rabbitmq.url in the settings.")
    management_url = management_url or load_management_url()
    passwords = load_passwords()
    if management_url and not passwords:
        raise click.UsageError(
            "Set the passwords of the users to make: FOREBAY_FRONT_PASSWORD,"
            " FOREBAY_WORKER_PASSWORD, FOREBAY_BACKEND_PASSWORD, FOREBAY_OPERATOR_PASSWORD."
        )
    rabbit = config.rabbitmq
    limits = TopologyLimits(**_limits(rabbit))
    lanes = {name: lane.partitions for name, lane in config.lanes.items()}
    asyncio.run(apply_topology(urls, prefix=rabbit.prefix, lanes=lanes, limits=limits))
    partitions = ", ".join(f"{name} with {count}" for name, count in lanes.items())
    click.echo(f"Declared under {rabbit.prefix}* (lanes and partitions: {partitions}).")
    if not management_url:
        click.echo("Users were not made: that needs --management-url.")
        return
    apply_users(management_url, vhost_of(urls[0]), rabbit.prefix, passwords)
    click.echo(f"Made the users {', '.join(passwords)}.")


@topology.command()
@with_config
def show(config_file: Path | None) -> None:
    """Show what `apply` would declare with these settings; RabbitMQ is not asked."""
    run_and_exit(lambda: _show(config_file))


def _show(config_file: Path | None) -> None:
    from broker.rabbitmq.names import Names
    from broker.rabbitmq.topology import EXCHANGES, TopologyLimits, permissions, queues
    from services.config import load_config

    config = load_config(config_file)
    rabbit, names = config.rabbitmq, Names(config.rabbitmq.prefix)
    limits = TopologyLimits(**_limits(rabbit))
    lanes = {name: lane.partitions for name, lane in config.lanes.items()}
    rows = [("NAME", "KIND", "ARGUMENTS")]
    rows += [(names.exchange(role), f"{kind} exchange", "") for role, kind in EXCHANGES.items()]
    rows += [
        (queue.name, _kind(queue.arguments), _arguments(queue.arguments))
        for queue in queues(names, lanes, limits)
    ]
    click.echo(table(rows))
    click.echo()
    may = permissions(rabbit.prefix)
    click.echo(
        table(
            [
                ("USER", "MAY", "NAMES MATCHING"),
                *(
                    (role, verb, pattern)
                    for role, patterns in may.items()
                    for verb, pattern in zip(("configure", "write", "read"), patterns, strict=True)
                ),
            ]
        )
    )


def _limits(rabbit: Any) -> dict[str, int]:
    """What the section `[rabbitmq]` says of `TopologyLimits`."""
    return {
        "inbound_max_bytes": rabbit.inbound_max_bytes,
        "log_max_bytes": rabbit.log_max_bytes,
        "log_max_age_seconds": int(rabbit.log_max_age),
    }


def _kind(arguments: Mapping[str, object]) -> str:
    kind = arguments.get("x-queue-type", "classic")
    return "stream" if kind == "stream" else f"{kind} queue"


def _arguments(arguments: Mapping[str, object]) -> str:
    return " ".join(
        f"{name.removeprefix('x-')}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in arguments.items()
        if name != "x-queue-type"
    )


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Lines with the columns under each other."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def vhost_of(url: str) -> str:
    """The virtual host of an AMQP URL, "/" if it names none."""
    return unquote(urlsplit(url).path.removeprefix("/")) or "/"
