"""`forebay dead`: what could not be handled; look at it, have it done again, or drop it."""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from forebay.cli.ending import run_and_exit
from forebay.cli.options import with_config
from forebay.cli.topology import table

_NONE = "There are no such dead letters."

Command = TypeVar("Command", bound=Callable[..., Any])

with_url = click.option(
    "--url",
    "urls",
    multiple=True,
    help="AMQP URL of the operator's user or an administrator. Left out: rabbitmq.url.",
)
with_yes = click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
_FILTERS = (
    click.argument("ids", nargs=-1),
    click.option("--reason", "reasons", multiple=True, help="undecodable, refused or failed."),
    click.option("--channel", default="", help='A pattern such as "chat:*".'),
    click.option("--older-than", help='Set aside longer ago than "10m".'),
    click.option("--newer-than", help='Set aside less long ago than "10m".'),
    click.option("--limit", type=click.IntRange(1), help="No more than so many, oldest first."),
)


def with_filters(command: Command) -> Command:
    """Arguments and options that say which letters are meant; all must hold."""
    for decorate in reversed(_FILTERS):
        command = decorate(command)
    return command


@dataclass(frozen=True, slots=True)
class _Search:
    """Where the dead letters are, and which of them are meant."""

    config: Any
    urls: tuple[str, ...]
    wanted: Any
    at_most: int | None


@click.group()
def dead() -> None:
    """Look at what could not be handled, have it done again, or drop it.

    Reads the queue `dead`, which front and worker may not: say with --url who you are. The operator
    that `forebay topology apply` makes may do all of this.
    """


@dead.command("list")
@with_filters
@click.option("--json", "as_json", is_flag=True, help="A JSON object a letter.")
@with_url
@with_config
def list_(as_json: bool, urls: tuple[str, ...], config_file: Path | None, **filters: Any) -> None:
    """List dead letters, oldest first: all, those with these IDS, or those that fit."""
    run_and_exit(
        lambda: asyncio.run(_list(_search(urls, config_file, **filters), as_json=as_json)),
        also_expected=_expected(),
    )


async def _list(search: _Search, *, as_json: bool) -> None:
    from services.letters.lines import HEADINGS, to_json, to_row

    now_seconds = time.time()
    rows = []
    async with _reading(search) as (_, letters):
        async for held in _wanted(search, letters):
            if as_json:
                click.echo(to_json(held.letter, with_payload=False))
            else:
                rows.append(to_row(held.letter, now_seconds))
    if rows:
        click.echo(table([HEADINGS, *rows]))
    elif not as_json:
        click.echo(_NONE)


@dead.command()
@click.argument("letter")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@with_url
@with_config
def show(letter: str, as_json: bool, urls: tuple[str, ...], config_file: Path | None) -> None:
    """Show all of the dead letter that is called LETTER, its payload too."""
    run_and_exit(
        lambda: asyncio.run(_show(_search(urls, config_file, (letter,)), as_json=as_json)),
        also_expected=_expected(),
    )


async def _show(search: _Search, *, as_json: bool) -> None:
    from services.failing import CannotStart
    from services.letters.lines import to_json, to_lines

    async with _reading(search) as (_, letters):
        async for held in _wanted(search, letters):
            if as_json:
                click.echo(to_json(held.letter, with_payload=True))
            else:
                click.echo("\n".join(to_lines(held.letter, time.time())))
            return
    raise CannotStart("no dead letter is called so: 'forebay dead list' shows them")


@dead.command()
@with_filters
@with_yes
@with_url
@with_config
def drop(is_sure: bool, urls: tuple[str, ...], config_file: Path | None, **filters: Any) -> None:
    """Drop dead letters for good: all, those with these IDS, or those that fit."""
    run_and_exit(
        lambda: _end(asyncio.run(_drop(_search(urls, config_file, **filters), is_sure=is_sure))),
        also_expected=_expected(),
    )


async def _drop(search: _Search, *, is_sure: bool) -> str | None:
    async with _reading(search) as (_, letters):
        # Their bodies, up to a quarter of a gigabyte, are not needed.
        wanted = [
            held._replace(letter=held.letter._replace(body=b""))
            async for held in _wanted(search, letters)
        ]
        if not wanted:
            return _NONE
        if not (is_sure or await _agrees(f"Drop {_count(wanted)}?")):
            return None
        for held in wanted:
            await letters.drop(held)
    return f"Dropped {_count(wanted)}."


@dead.command()
@with_filters
@with_yes
@with_url
@with_config
def replay(is_sure: bool, urls: tuple[str, ...], config_file: Path | None, **filters: Any) -> None:
    """Have entries done again: all, those of the letters with these IDS, or those that fit.

    They go through validation and handlers like new ones, in the order of the log; those who sent
    them get no answer any more. Each is carried out once, even if this is stopped half-way and done
    again within an hour. Exit code 2 if a letter that was meant is left.
    """
    run_and_exit(
        lambda: _end(asyncio.run(_replay(_search(urls, config_file, **filters), is_sure=is_sure))),
        also_expected=_expected(),
    )


async def _replay(search: _Search, *, is_sure: bool) -> str | None:
    from services.failing import CannotStart
    from services.letters.plan import Plan
    from services.letters.replay import replay

    plan = Plan(search.config)
    async with _reading(search) as (broker, letters):
        async for held in _wanted(search, letters):
            plan.add(held)
        for why, count in plan.staying.items():
            click.echo(f"Cannot be replayed, {count}: {why}.", err=True)
        if not (plan.entries or plan.staying):
            return _NONE
        question = f"Replay {_entries(plan.entries)}?"
        if plan.entries and not (is_sure or await _agrees(question)):
            return None
        done = await replay(broker, letters, plan)
    said = f"Replayed {_entries(done)}."
    if plan.staying:
        raise CannotStart(f"{said} {sum(plan.staying.values())} are left, as said above")
    return said


def _end(said: str | None) -> None:
    if said is None:
        raise click.Abort
    click.echo(said)


def _count(letters: list[Any]) -> str:
    return f"{len(letters)} dead {'letter' if len(letters) == 1 else 'letters'}"


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


def _expected() -> tuple[type[Exception], ...]:
    from broker.errors import DeadLettersInUse
    from services.letters.replay import ReplayStopped

    return (DeadLettersInUse, ReplayStopped)


def _search(
    urls: tuple[str, ...],
    config_file: Path | None,
    ids: tuple[str, ...],
    *,
    reasons: tuple[str, ...] = (),
    channel: str = "",
    older_than: str | None = None,
    newer_than: str | None = None,
    limit: int | None = None,
) -> _Search:
    from services.config import load_config
    from services.letters.wanted import Wanted
    from services.logs import configure_logs

    configure_logs(logging.CRITICAL)
    config = load_config(config_file)
    urls = urls or config.rabbitmq.url
    if not urls:
        raise click.UsageError("Say where RabbitMQ is: --url, or rabbitmq.url in the settings.")
    now_seconds = time.time()
    wanted = Wanted(
        ids,
        [_reason(reason) for reason in reasons],
        channel,
        _moment(older_than, now_seconds, "--older-than"),
        _moment(newer_than, now_seconds, "--newer-than"),
    )
    return _Search(config, urls, wanted, limit)


@asynccontextmanager
async def _reading(search: _Search) -> AsyncIterator[Any]:
    """Read the dead letters; gives the broker too."""
    from broker.rabbitmq import RabbitSettings, open_rabbitmq

    settings = RabbitSettings(
        search.urls,
        search.config.rabbitmq.prefix,
        connection_name="forebay dead",
        is_pulsed=False,
    )
    async with open_rabbitmq(settings) as broker, broker.dead.read() as letters:
        yield broker, letters


async def _wanted(search: _Search, letters: Any) -> AsyncIterator[Any]:
    left = search.at_most
    async for held in letters:
        if search.wanted.is_about(held.letter):
            yield held
            left = None if left is None else left - 1
            if left == 0:
                return


def _reason(text: str) -> Any:
    from broker.interface import DeadReason

    try:
        return DeadReason(text)
    except ValueError:
        known = ", ".join(reason.value for reason in DeadReason)
        raise click.BadParameter(f"there is {known}", param_hint="--reason") from None


def _moment(text: str | None, now_seconds: float, option: str) -> float | None:
    from services.units import read_duration

    if text is None:
        return None
    try:
        return now_seconds - float(str(read_duration(text)))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


async def _agrees(question: str) -> bool:
    """Ask whoever is at the terminal, while the connection to the broker goes on living."""
    click.echo(f"{question} [y/N]: ", nl=False)
    loop = asyncio.get_running_loop()
    answered = asyncio.Event()
    try:
        loop.add_reader(sys.stdin, answered.set)
    except (OSError, ValueError):
        pass  # a file, which never lets one wait
    else:
        try:
            await answered.wait()
        finally:
            loop.remove_reader(sys.stdin)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        click.echo()
    return answer.strip().lower() in ("y", "yes")
