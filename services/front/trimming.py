"""Gives memory back to the system once clients that did not read are gone.

What they held unsent was freed when they were cut off, but glibc keeps what was freed for what is
allocated next, unless it lies at the very end of the heap: a front that once let go of 1,000 such
clients would stay a gigabyte large.

Rules: in a thread, and only after such an end. Giving back 950 MB took 50 ms, in which only large
allocations wait; when there was nothing to give back it took 0.4 ms.
"""

import asyncio
import ctypes
from collections.abc import Callable
from typing import Final

from services.front.measures import Measures
from services.wire.errors import Disconnect

# Longer than any grace in which a connection that was told to end still has its buffers.
EVERY_SECONDS: Final = 3.0

# How clients end that held something unsent.
_UNREAD: Final = (Disconnect.SLOW, Disconnect.NO_PONG)


def find_trim() -> Callable[[], object] | None:
    """Give what makes the allocator return free memory; None where it cannot be told."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    return None if trim is None else lambda: trim(0)


async def trim_after_unread(
    measures: Measures, trim: Callable[[], object] | None, every_seconds: float = EVERY_SECONDS
) -> None:
    """Trim when clients that did not read have gone, until cancelled. Cancelling: loses nothing."""
    if trim is None:
        return
    seen = trimmed = 0
    while True:
        await asyncio.sleep(every_seconds)
        if seen != trimmed:
            await asyncio.to_thread(trim)
            trimmed = seen
        # Those who ended just now are trimmed for the next time, when their buffers are free.
        seen = sum(measures.disconnects.values.get(why.code, 0) for why in _UNREAD)
