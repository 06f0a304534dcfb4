"""The app process: `python -m forebay.host --app module:attribute …`, which a worker starts.

Rules
- Ends with its worker: when the socket ends, what was begun is finished and nothing else.
- SIGTERM: all that was given is finished, within one more timeout. SIGINT, which a terminal sends
  to everybody, is the worker's to interpret.
- Exit code 2: a person has to change something, and the worker has been told what.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib
import mmap
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

from forebay.app import App
from forebay.host.lines import Lines, open_lines
from forebay.host.loading import NoApp, load_app, prefer_the_teams_packages, why_not_started
from forebay.host.speaking import Speaking
from forebay.host.trying import end_forks
from forebay.link import TASKS_AT_MOST, CannotServe, Ready, Tasks, encode

# For lines beyond the last handler's timeout: what the loop still has to do is done by then.
_LEAVING_SECONDS: Final = 1.0


def main() -> None:
    """Serve an App until the worker ends it."""
    options = _read_options()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a handler starts must not keep the worker from seeing that this process has ended.
    os.set_inheritable(options.socket_fd, False)
    os.set_inheritable(options.page_fd, False)
    end = socket.socket(fileno=options.socket_fd)
    with mmap.mmap(options.page_fd, TASKS_AT_MOST) as marks:
        end_forks()
        prefer_the_teams_packages()
        try:
            app = load_app(options.app)
            serving = _serve(app, end, marks, options.timeout)
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(serving)
        except NoApp as error:
            _say_why_not(end, str(error))
            sys.exit(2)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="forebay.host", description="Started by a worker.")
    parser.add_argument("--app", required=True, help="module:attribute")
    parser.add_argument("--socket-fd", type=int, required=True)
    parser.add_argument("--page-fd", type=int, required=True)
    parser.add_argument("--timeout", type=float, required=True, help="seconds, of one try")
    return parser.parse_args()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    with contextlib.suppress(ImportError):
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(
            "uvloop"
        ).new_event_loop
        return factory
    return None


def _say_why_not(end: socket.socket, reason: str) -> None:
    end.setblocking(True)
    with contextlib.suppress(OSError):  # nobody listens
        end.sendall(encode(CannotServe(reason)))


async def _serve(app: App, end: socket.socket, marks: mmap.mmap, timeout_seconds: float) -> None:
    """Start the app, answer until it is time to go, stop the app.

    Raises:
        NoApp: it does not start.

    Cancelling: handlers are cancelled, and the app is stopped.
    """
    async with contextlib.AsyncExitStack() as running:
        try:
            await running.enter_async_context(app.running())
        except BaseException as error:  # noqa: BLE001 - a team's code may raise whatever it likes
            raise NoApp(why_not_started(error)) from None
        # The collector need not look at what was imported again and again.
        gc.collect()
        gc.freeze()
        await _answer(app, end, marks, timeout_seconds)


async def _answer(app: App, end: socket.socket, marks: mmap.mmap, timeout_seconds: float) -> None:
    end.setblocking(False)
    told_to_go = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_go.set)
    lines: Lines

    def hear(message: Tasks) -> None:
        lines.give(message.tasks)

    speaking = Speaking(end, hear)
    with contextlib.closing(speaking):
        async with open_lines(app, marks, speaking, timeout_seconds) as lines:
            speaking.say(Ready(app.specs))
            speaking.open()
            await _either(told_to_go, speaking.has_ended)
            speaking.stop_listening()
            if speaking.has_ended.is_set():
                lines.forget_waiting()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds + _LEAVING_SECONDS):
                    await lines.finish()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVING_SECONDS):
                await speaking.drain()


async def _either(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


if __name__ == "__main__":
    main()
