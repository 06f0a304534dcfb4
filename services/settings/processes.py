"""`[front]`, `[worker]`, `[app]`, `[page]`, `[logging]`: what runs, and where operators look."""

from __future__ import annotations

import logging
from typing import Literal

from pydantic import Field

from services.settings.section import MIB, Section, StringList
from services.units import Bytes, Seconds


class FrontConfig(Section):
    """`[front]`: where clients connect."""

    host: str = Field(
        "localhost", min_length=1, description="address to listen on; 0.0.0.0 for every one"
    )
    port: int = Field(8000, ge=0, le=65535, description="TCP port; 0 lets the system choose")
    processes: int = Field(1, ge=1, le=64, description="front processes on this port")
    backlog: int = Field(1024, ge=16, le=65535, description="connections not yet accepted")
    drain_seconds: Seconds = Field(
        10.0, ge=0, le=3600, description="seconds over which a shutdown spreads its disconnects"
    )
    internal_host: str = Field("localhost", min_length=1, description="address of internal_port")
    internal_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="TCP port for metrics, and those after it of further processes",
    )


class WorkerConfig(Section):
    """`[worker]`: what operators ask of a worker; nothing else connects to it."""

    internal_host: str = Field("localhost", min_length=1, description="address of internal_port")
    internal_port: int = Field(0, ge=0, le=65535, description="TCP port for metrics; 0: none")


class AppConfig(Section):
    """`[app]`: the team's own handlers, in processes of their own that a worker starts."""

    path: str = Field(
        "",
        pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_][\w.]*)?$",
        description='the App, as "package.module:name"; empty: there are no handlers',
    )
    processes: int = Field(1, ge=1, le=64, description="app processes of each worker")
    start_timeout: Seconds = Field(
        30.0, ge=1, le=600, description="seconds an app process may take to start"
    )
    timeout: Seconds = Field(
        10.0, ge=0.1, le=15, description="seconds a handler may take; beyond it has failed"
    )
    memory_limit: Bytes = Field(
        1024 * MIB, ge=64 * MIB, description="bytes of an app process; beyond it is replaced"
    )
    lane: str = Field("main", description="the lane of calls, sends and orders")
    connect_handler: bool = Field(
        False, description="nobody is let in before the app's connect handler has said so"
    )
    connect_headers: StringList = Field(
        (), description="headers of a client's request that the connect handler is told"
    )
    disconnect_handler: bool = Field(False, description="tell the app of each client that is gone")
    hook_timeout: Seconds = Field(
        3.0, ge=0.1, le=30, description="seconds for the answer to a connect or a subscribe"
    )
    hook_unanswered: Literal["deny", "allow"] = Field(
        "deny", description="what holds if none came: error 100, or as if there were no handler"
    )


class PageConfig(Section):
    """`[page]`: the demo page, for looking at a development setup."""

    enabled: bool = Field(False, description="answer / with the demo page, open to anybody")
    worker_control: str = Field(
        "", max_length=100, description="socket by which its button kills the worker of `make up`"
    )


class LoggingConfig(Section):
    """`[logging]`: what the processes write to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least important lines written"
    )
    format: Literal["auto", "json", "text"] = Field(
        "auto", description="auto: text on a terminal, else JSON"
    )

    @property
    def level_number(self) -> int:
        """The level as `logging` counts it."""
        return logging.getLevelNamesMapping()[self.level.upper()]

    @property
    def is_for_terminal(self) -> bool | None:
        """Whether lines are for people; None: if standard error is a terminal."""
        return None if self.format == "auto" else self.format == "text"
