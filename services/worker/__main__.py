"""Runs a worker: `python -m services.worker`, or `forebay worker`.

Reading down is starting, reading up is stopping.
"""

import argparse
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from broker.rabbitmq import RabbitSettings, open_rabbitmq
from services.config import Config, development_config, load_config
from services.failing import CannotStart, run_to_exit_code
from services.lifecycle import run_loop, stop_requested
from services.logs import configure_logs
from services.metrics import serving_metrics
from services.process import describe_process
from services.worker.app import run_worker
from services.worker.counting import WorkerCounters
from services.worker.handling.command_line import (
    add_app_options,
    changes_to_reload_at,
    with_app_options,
)
from services.worker.handling.crew import open_handling


async def serve(config: Config, changes: AsyncIterator[None] | None = None) -> None:
    """Work until the process is told to stop; the app's processes are replaced at `changes`.

    Raises:
        CannotStart: no broker is configured, or the app does not start, in an exception group.
        TopologyProblem: the broker is not as the settings say; maybe in an exception group.
    """
    if not config.rabbitmq.url:
        raise CannotStart("rabbitmq.url is not set: say where RabbitMQ is")
    settings = RabbitSettings(
        urls=config.rabbitmq.url,
        prefix=config.rabbitmq.prefix,
        heartbeat_seconds=config.rabbitmq.worker_heartbeat_seconds,
        connection_name=describe_process("worker"),
    )
    counters = WorkerCounters()
    async with (
        stop_requested() as stop,
        open_rabbitmq(settings) as broker,
        open_handling(config.app, counters, changes) as handling,
    ):
        with serving_metrics(
            config.worker.internal_host, config.worker.internal_port, counters.all()
        ):
            await run_worker(config, broker, stop, counters, handling)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker; answers the exit code."""
    parser = argparse.ArgumentParser(prog="forebay worker", description="Run a worker.")
    parser.add_argument("--config", type=Path, help="the settings' file, instead of forebay.toml")
    parser.add_argument(
        "--development", action="store_true", help="begin with settings that are open to anybody"
    )
    add_app_options(parser, reloads=False)
    options = parser.parse_args(arguments)

    def run() -> None:
        load = development_config if options.development else load_config
        config = with_app_options(load(options.config), options)
        configure_logs(config.logging.level_number, is_terminal=config.logging.is_for_terminal)
        run_loop(serve(config, changes_to_reload_at(config, options)))

    return run_to_exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
