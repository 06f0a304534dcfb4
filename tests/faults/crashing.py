"""An app whose handler fails at random, in every way there is, for the fault suite's workers.

Never at an entry's last try: so nothing is refused because of it, and whatever is acknowledged has
to be received, once and in order.
"""

import asyncio
import ctypes
import os
import random
import signal
import time

from forebay import App, Publication

app = App()

_LONGER_THAN_THE_TIMEOUT_SECONDS = 5.0
_LAST_TRY = 3


class Whim(Exception):
    """The handler did not feel like it."""


def _raise() -> None:
    raise Whim


def _exit() -> None:
    os._exit(7)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _touch_nothing() -> None:
    ctypes.string_at(0)


def _block() -> None:
    time.sleep(_LONGER_THAN_THE_TIMEOUT_SECONDS)


def _close_all() -> None:
    """Close the socket by which the worker speaks, and whatever else there is."""
    os.closerange(3, 1_024)


# A failure that costs the process costs some 300 ms of starting another.
_WAYS = (_exit, _die, _touch_nothing, _block, _close_all)
_ONE_IN_RAISES = 150
_ONE_IN_HANGS = 1_000
_ONE_IN_ENDS_THE_PROCESS = 1_500


@app.publish("*")
async def fail_at_random(publication: Publication) -> object:
    """Pass on what is published, as a rule, now and then after a moment, or changed a little."""
    if publication.attempt < _LAST_TRY:
        if random.randrange(_ONE_IN_RAISES) == 0:
            _raise()
        if random.randrange(_ONE_IN_HANGS) == 0:
            await asyncio.sleep(_LONGER_THAN_THE_TIMEOUT_SECONDS)
        if random.randrange(_ONE_IN_ENDS_THE_PROCESS) == 0:
            random.choice(_WAYS)()
    if random.randrange(20) == 0:
        await asyncio.sleep(random.uniform(0, 0.05))
    if random.randrange(20) == 0:
        return {**publication.data, "seen": True}
    return None
