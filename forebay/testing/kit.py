"""Servers for tests: each test has one of its own, and the processes under them are shared.

A process takes half a second to start and a server in it some milliseconds, so one that is no
longer needed is kept for the next test.
"""

import pkgutil
import socket
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Final

from forebay.app import App
from forebay.testing.control import Begin
from forebay.testing.hosting import Hosted
from forebay.testing.problems import SettingsProblem
from forebay.testing.process import ServerProcess
from forebay.testing.server import Server

PATIENCE_SECONDS: Final = 30.0
"""In the machine's own time: how long a test waits for its server, and so for a handler."""

Settings = str | PathLike[str] | Mapping[str, Any] | None


class Kit:
    """Gives tests their servers."""

    def __init__(self) -> None:
        self._idle: list[ServerProcess] = []

    @contextmanager
    def run(
        self,
        app: App | str | None = None,
        *,
        config: Settings = None,
        permissive: bool = False,
        raise_failures: bool = True,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> Iterator[Server]:
        """Run a server for as long as the block lasts.

        `app` has the handlers, itself or as "package.module:name"; without one it is the app that
        the settings name (`app.path`), and if they name none there are no handlers.

        `config` is the settings: a file like `forebay.toml`, or its tables as a mapping. What is
        not in it is closed, as it is in a deployment, or with `permissive` open, as it is with
        `forebay dev`. Variables (FOREBAY_…) are not looked at.

        With `raise_failures` a handler that fails, in all its tries, is raised as `HandlerFailed`
        by whatever the test was doing; without it is in `Server.failures` alone.

        Raises:
            SettingsProblem: the settings or the app cannot be used.
            Exception: whatever the app's lifespan raises.
        """
        app = _find(app or _named_in(config))
        process = self._take()
        try:
            server = Server(process, patience_seconds, raises_failures=raise_failures)
            begin = _begin(config, is_open=permissive, has_app=app is not None)
            if app is None:
                server.begin(begin)
            else:
                _begin_with_app(server, begin, app)
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
            process.end()
        return ServerProcess()


@contextmanager
def open_kit() -> Iterator[Kit]:
    """Give a kit whose processes end with the block."""
    with closing(Kit()) as kit:
        yield kit


def _begin_with_app(server: Server, begin: Begin, app: App) -> None:
    ours, its = socket.socketpair()
    hosted = Hosted(app, ours)
    with its:
        hosted.start()
        try:
            server.begin(begin, hosted, its)
        except BaseException:
            its.close()
            hosted.end()
            raise


def _named_in(config: Settings) -> str | None:
    """What the settings call their app; that they can be used at all is for the server to say."""
    if not isinstance(config, Mapping):
        try:
            config = tomllib.loads(Path(config or "").read_text("utf-8"))
        except (OSError, ValueError):
            return None
    app = config.get("app")
    path = app.get("path") if isinstance(app, Mapping) else None
    return path if isinstance(path, str) else None


def _find(app: App | str | None) -> App | None:
    if isinstance(app, str):
        app = pkgutil.resolve_name(app) if app else None
    if app is None or isinstance(app, App):
        return app
    raise SettingsProblem(f"the app is a {type(app).__name__}, and has to be a forebay.App")


def _begin(config: Settings, *, is_open: bool, has_app: bool) -> Begin:
    path, settings = "", {}
    if isinstance(config, Mapping):
        settings = dict(config)
    elif config is not None:
        path = str(config)
    return Begin(str(Path.cwd()), path, settings, is_open, has_app)
