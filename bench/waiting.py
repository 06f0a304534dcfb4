"""Waits for something that nobody announces, by looking again and again."""

import asyncio
from collections.abc import Callable


async def wait_until(is_so: Callable[[], bool], timeout_seconds: float) -> bool:
    """Look until it is so; answer False if it is not so in time."""
    try:
        async with asyncio.timeout(timeout_seconds):
            while not is_so():  # noqa: ASYNC110  (other processes set no event)
                await asyncio.sleep(0.05)
    except TimeoutError:
        return False
    return True
