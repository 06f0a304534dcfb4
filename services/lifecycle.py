"""How a process runs and is told to stop: the event loop, SIGTERM and SIGINT.

Rules: the first signal asks, the second insists: it ends the process at once, with whatever is in
flight. Nothing is lost by that which was ever promised.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog

_log = structlog.get_logger(__name__)

Result = TypeVar("Result")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


# A process holds thousands of sessions that live long, and makes and drops many small objects that
# are in no cycle. The collector's own pace (700, 10, 10) looks at all of them again and again for
# nothing: with this one a front needs 10 to 20 % less CPU a publication.
# The second number bounds a pause: after 200,000 objects that stay, as those that a start reads do,
# the middle generation takes some 40 ms, and with (20, 50) it took 180 ms after a million.
COLLECT_AFTER = (50_000, 4, 250)


def run_loop(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine as the process's main one, on uvloop where there is one.

    Raises: whatever the coroutine raises.
    """
    gc.set_threshold(*COLLECT_AFTER)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Any:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


@asynccontextmanager
async def stop_requested() -> AsyncIterator[asyncio.Event]:
    """Give an event that is set when the process is told to stop."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def take(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        _log.info("stopping", signal=number.name)
        stop.set()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, take, number)
    try:
        yield stop
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
