"""Runs a front: `python -m services.front`, or `forebay front`.

Reading down is starting, reading up is stopping.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from broker.rabbitmq import RabbitSettings, open_rabbitmq
from services.config import Config, development_config, load_config
from services.failing import CannotStart, run_to_exit_code
from services.front.listening import open_sockets, probe_port
from services.front.processes import stopping_with_parent, supervise
from services.front.run import run_front
from services.lifecycle import run_loop, stop_requested
from services.logs import configure_logs
from services.process import describe_process


async def serve(config: Config, port: int, *, is_child: bool = False) -> None:
    """Serve clients until the process is told to stop.

    Raises:
        CannotListen: clients could not connect.
        CannotStart: no broker is configured.
        TopologyProblem: in an exception group: the broker is not as the settings say.
    """
    if not config.rabbitmq.url:
        raise CannotStart("rabbitmq.url is not set: say where RabbitMQ is")
    settings = RabbitSettings(
        urls=config.rabbitmq.url,
        prefix=config.rabbitmq.prefix,
        heartbeat_seconds=config.rabbitmq.front_heartbeat_seconds,
        connection_name=describe_process("front"),
    )
    sockets = open_sockets(config.front.host, port, is_shared=is_child)
    async with stop_requested() as stop, AsyncExitStack() as stack:
        if is_child:
            await stack.enter_async_context(stopping_with_parent(stop))
        broker = await stack.enter_async_context(open_rabbitmq(settings))
        await run_front(config, broker, sockets, stop)


async def serve_with_processes(config: Config, arguments: Sequence[str], count: int) -> int:
    """Keep several processes serving until this one is told to stop; give the exit code.

    Raises:
        CannotListen: clients could not connect.
    """
    with probe_port(config.front.host, config.front.port) as port:
        command = ["-m", "services.front", *arguments, "--child-port", str(port), "--child-number"]
        async with stop_requested() as stop:
            return await supervise(command, count, stop, config.front.drain_seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a front; answers the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="forebay front", description="Run a front.")
    parser.add_argument("--config", type=Path, help="the settings' file, instead of forebay.toml")
    parser.add_argument(
        "--development", action="store_true", help="begin with settings that are open to anybody"
    )
    parser.add_argument("--processes", type=int, help="processes on the port; see front.processes")
    parser.add_argument("--child-port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--child-number", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(given)

    def run() -> None:
        load = development_config if options.development else load_config
        config = load(options.config)
        configure_logs(config.logging.level_number, is_terminal=config.logging.is_for_terminal)
        count = options.processes or config.front.processes
        if options.child_port is not None:
            config = _of_child(config, options.child_number)
            run_loop(serve(config, options.child_port, is_child=True))
        elif count > 1:
            sys.exit(run_loop(serve_with_processes(config, given, count)))
        else:
            run_loop(serve(config, config.front.port))

    return run_to_exit_code(run)


def _of_child(config: Config, number: int) -> Config:
    """Each process tells its own numbers, so each needs a port of its own for that."""
    port = config.front.internal_port
    internal_port = port + number if port else 0
    front = config.front.model_copy(update={"internal_port": internal_port})
    return config.model_copy(update={"front": front})


if __name__ == "__main__":
    sys.exit(main())
