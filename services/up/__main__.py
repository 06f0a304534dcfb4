"""Runs the whole of Forebay on this machine: `make up`.

Options about the team's app are the worker's, and handed on to it.

Reading down is starting, reading up is stopping: the front first, then the worker, the broker last.
"""

import argparse
import asyncio
import fcntl
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from broker.local.files import ADMIN_USER
from broker.local.install import MayNotInstall
from broker.local.node import NodeFailed
from broker.local.ports import find_owner, is_listening
from services.config import Config, describe_openings, development_config
from services.failing import CannotStart, run_to_exit_code
from services.up.broker import UpBroker, open_broker
from services.up.child import Child, ChildCannotStart, KillSwitch, running
from services.up.control import controlling
from services.up.say import say
from services.worker.handling.command_line import (
    add_app_options,
    app_arguments,
    with_app_options,
)

DIRECTORY = Path(".rabbitmq")
FRONT = ("-m", "services.front", "--development")
WORKER = ("-m", "services.worker", "--development")
# A fresh front reads the log for up to `catch_up_seconds` (30) before it is ready.
FRONT_READY_SECONDS = 60.0
WORKER_STOP_SECONDS = 15.0
# The front is on this machine: a proxy that the environment names is not for it.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# What else than every command's failures a person is told in a sentence.
EXPECTED = (ChildCannotStart, MayNotInstall, NodeFailed)


async def run(config: Config, directory: Path, options: argparse.Namespace) -> None:
    """Bring everything up and keep it up; both processes are given what we were.

    Cancelling: everything that was started is stopped, in order.
    """
    base = _base_url(config.front.host, config.front.port)
    switch = KillSwitch()
    file = ("--config", str(options.config)) if options.config else ()
    of_worker = (*WORKER, *file, *app_arguments(options))
    async with open_broker(config, directory) as broker, controlling(switch) as control:
        worker = Child("worker", of_worker, _environment(broker.worker_urls), WORKER_STOP_SECONDS)
        front_stop_seconds = config.front.drain_seconds + 10
        front_environment = _environment(broker.front_urls)
        front_environment["FOREBAY_PAGE__WORKER_CONTROL"] = str(control)
        front = Child("front", (*FRONT, *file), front_environment, front_stop_seconds)
        async with running(worker, switch), running(front):
            await _wait_until_ready(f"{base}/health/ready")
            _announce(config, broker, base)
            await asyncio.Event().wait()


def _base_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _environment(urls: tuple[str, ...]) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "FOREBAY_AMQP_URL"}
    return {**environment, "FOREBAY_RABBITMQ__URL": ",".join(urls)}


async def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + FRONT_READY_SECONDS
    while not await asyncio.to_thread(_answers, url):
        if time.monotonic() > deadline:
            raise CannotStart(f"the front is not ready after {FRONT_READY_SECONDS:g} s")
        await asyncio.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _announce(config: Config, broker: UpBroker, base: str) -> None:
    say("ready")
    if config.page.enabled:
        say(f"  demo page            {base}/")
    for sentence in describe_openings(config):
        say(f"  open for development: {sentence}")
    say(f"  clients connect to   {base.replace('http', 'ws', 1)}/connection/websocket")
    if config.plain.enabled:
        say(f"  plain WebSockets     {base.replace('http', 'ws', 1)}/ and /ws/CHANNEL")
    say(f"  health               {base}/health")
    if broker.operator_url:
        say(f"  operators connect to {broker.operator_url}")
    if broker.management_url:
        say(f"  RabbitMQ management  {broker.management_url}")
        say(f"                       user {ADMIN_USER}, password {broker.admin_password}")
    say("  Ctrl-C stops it all")


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Hold the folder: two nodes on the same data would destroy it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    with (directory / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStart(f"it is up already, as process {lock.read().strip()}") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _check_front_port(port: int) -> None:
    if port == 0:
        raise CannotStart(
            "front.port is 0, any free port, and then nobody knows where the front is; set"
            " FOREBAY_FRONT__PORT to a port of your choice"
        )
    if is_listening(port):
        owner = find_owner(port) or "another process"
        raise CannotStart(
            f"port {port} is in use by {owner}; stop it, or set FOREBAY_FRONT__PORT to another"
        )


async def _run_until_told(config: Config, directory: Path, options: argparse.Namespace) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP (a closed terminal): each says that it is enough."""
    loop = asyncio.get_running_loop()
    working = asyncio.ensure_future(run(config, directory, options))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # under nohup, which asks to go on without the terminal
        loop.add_signal_handler(number, working.cancel)
    try:
        await working
    except asyncio.CancelledError:
        say("stopped")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `make up`; answers the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m services.up", description="Run a front and a worker on a real RabbitMQ."
    )
    parser.add_argument("--config", type=Path, help="the settings' file, instead of forebay.toml")
    add_app_options(parser, reloads=False)
    options = parser.parse_args(arguments)
    return run_to_exit_code(lambda: _up(options), also_expected=EXPECTED)


def _up(options: argparse.Namespace) -> None:
    config = with_app_options(development_config(options.config), options)
    with _only_one(DIRECTORY):
        _check_front_port(config.front.port)
        asyncio.run(_run_until_told(config, DIRECTORY.resolve(), options))


if __name__ == "__main__":
    sys.exit(main())
