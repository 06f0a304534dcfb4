"""The whole system in one process: `python -m services.dev`, or `forebay dev`.

The worker and the front are the real ones; only the broker is the embedded one, which keeps the
same promises in memory. Nothing else has to be installed, and nothing is kept.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import structlog

from broker.embedded import EmbeddedBroker
from services.config import Config, describe_openings, development_config
from services.failing import run_to_exit_code
from services.front.listening import open_sockets
from services.front.run import run_front
from services.lifecycle import run_loop, stop_requested
from services.logs import configure_logs
from services.worker.app import run_worker
from services.worker.counting import WorkerCounters
from services.worker.handling.command_line import (
    add_app_options,
    changes_to_reload_at,
    with_app_options,
)
from services.worker.handling.crew import open_handling

_log = structlog.get_logger(__name__)


async def serve(config: Config, changes: AsyncIterator[None] | None = None) -> None:
    """Run a worker and a front until the process is told to stop.

    The app's processes are replaced at `changes`.

    Raises:
        CannotStart: in an exception group: the app does not start.
        PortInUse: another process listens on the front's port.
    """
    sockets = open_sockets(config.front.host, config.front.port)
    node = EmbeddedBroker({name: lane.partitions for name, lane in config.lanes.items()})
    counters = WorkerCounters()
    async with (
        stop_requested() as stop,
        node.open() as for_worker,
        node.open() as for_front,
        open_handling(config.app, counters, changes) as handling,
        asyncio.TaskGroup() as tasks,
    ):
        for sentence in describe_openings(config):
            _log.info("open for development", what=sentence)
        worker_stop = asyncio.Event()
        tasks.create_task(run_worker(config, for_worker, worker_stop, counters, handling))
        try:
            await run_front(config, for_front, sockets, stop)
        finally:
            # The front's last publishes need a worker.
            worker_stop.set()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything in this process; answers the exit code."""
    parser = argparse.ArgumentParser(
        prog="forebay dev", description="Run everything in one process, in memory."
    )
    parser.add_argument("--config", type=Path, help="the settings' file, instead of forebay.toml")
    parser.add_argument("--port", type=int, help="where to listen, instead of front.port")
    parser.add_argument("--quiet", action="store_true", help="log warnings and errors only")
    add_app_options(parser, reloads=True)
    options = parser.parse_args(arguments)

    def run() -> None:
        config = with_app_options(development_config(options.config), options)
        if options.port is not None:
            front = config.front.model_copy(update={"port": options.port})
            config = config.model_copy(update={"front": front})
        level = logging.WARNING if options.quiet else config.logging.level_number
        configure_logs(level, is_terminal=config.logging.is_for_terminal)
        run_loop(serve(config, changes_to_reload_at(config, options)))

    return run_to_exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
