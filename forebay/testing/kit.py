"""Servers for tests: each test has one of its own, and the processes under them are shared.

A process takes half a second to start and a server in it some milliseconds, so one that is no
longer needed is kept for the next test.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Final

from forebay.testing.control import Begin
from forebay.testing.process import ServerProcess
from forebay.testing.server import Server

PATIENCE_SECONDS: Final = 30.0
"""In the machine's own time: how long a test waits for its server, and so for a handler."""


class Kit:
    """Gives tests their servers."""

    def __init__(self) -> None:
        self._idle: list[ServerProcess] = []

    @contextmanager
    def run(
        self,
        *,
        config: str | PathLike[str] | Mapping[str, Any] | None = None,
        permissive: bool = False,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> Iterator[Server]:
        """Run a server for as long as the block lasts.

        `config` is the settings: a file like `forebay.toml`, or its tables as a mapping. What is
        not in it is closed, as it is in a deployment, or with `permissive` open, as it is with
        `forebay dev`. Variables (FOREBAY_…) are not looked at.

        Raises:
            SettingsProblem: the settings cannot be used.
        """
        process = self._take()
        try:
            server = Server(process, patience_seconds)
            server.begin(_begin(config, permissive))
            try:
                yield server
            finally:
                server.end()
        finally:
            if process.is_well:
                self._idle.append(process)

    def close(self) -> None:
        """End all processes that no test uses."""
        while self._idle:
            self._idle.pop().end()

    def _take(self) -> ServerProcess:
        while self._idle:
            process = self._idle.pop()
            if process.is_well:
                return process
        return ServerProcess()


@contextmanager
def open_kit() -> Iterator[Kit]:
    """Give a kit whose processes end with the block."""
    kit = Kit()
    try:
        yield kit
    finally:
        kit.close()


def _begin(config: str | PathLike[str] | Mapping[str, Any] | None, is_open: bool) -> Begin:
    path, settings = "", {}
    if isinstance(config, Mapping):
        settings = dict(config)
    elif config is not None:
        path = str(config)
    return Begin(str(Path.cwd()), path, settings, is_open, has_app=False)
