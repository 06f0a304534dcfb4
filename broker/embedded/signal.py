"""Waking the coroutines that wait for something to change, without a task or a buffer.

Rules: being woken means "look again", never "it has happened".
"""

import asyncio


class Signal:
    """Wakes all who wait, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], None] = {}

    def wake(self) -> None:
        """Let everybody who waits look again."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self) -> None:
        """Wait for the next `wake`. Cancelling: loses nothing."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = None
        try:
            await future
        finally:
            del self._waiting[future]
