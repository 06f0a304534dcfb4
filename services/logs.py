"""What processes log and how: JSON lines on stderr, or readable lines on a terminal.

Rules
- One line an event, in UTC. What a client chose may be in it (a user's name), and cannot make
  another line of it: control characters are escaped.
- Never payloads, tokens or whole frames. Loggers are `structlog.get_logger(__name__)`; what a
  library logs in the standard way comes out the same.
"""

import logging
import sys
from typing import Any, Final, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# Libraries that say more than an operator needs: a line for each connection with an odd header, a
# trace for each lost one. What matters of it is logged by the modules that use them.
_QUIET: Final = {
    "aiohttp.access": logging.CRITICAL,
    "aiohttp.websocket": logging.ERROR,
    "aio_pika": logging.ERROR,
    "aiormq": logging.CRITICAL,
}


def configure_logs(
    level: int = logging.INFO, *, stream: TextIO | None = None, is_terminal: bool | None = None
) -> None:
    """Set up the process's logging; `is_terminal` left out is asked of the stream."""
    stream = stream or sys.stderr
    is_terminal = stream.isatty() if is_terminal is None else is_terminal
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _escape_controls,
    ]
    rendering = _rendering(is_terminal)
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, quiet_level in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, quiet_level))


def _rendering(is_terminal: bool) -> list[Processor]:
    if is_terminal:
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_to_json),
    ]


def _to_json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _escape_controls(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = value.encode("unicode_escape").decode()
    return event
