"""Waits for a moment on several proxies, and holds the frame that would make it happen."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.faults.proxy.line import Line
from tests.faults.proxy.moment import Moment, Passage

if TYPE_CHECKING:
    from tests.faults.proxy.proxy import Proxy

HOLD_SECONDS_AT_MOST = 30.0
"""Whoever holds a frame lets it go long before; beyond this it goes by itself."""


@dataclass(eq=False)
class Caught:
    """A frame that is being held."""

    proxy: "Proxy"
    line: Line
    passage: Passage
    _released: asyncio.Future[bytes] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def release(self, content: bytes | None = None) -> None:
        """Let it pass, or something else instead; the first to say so decides."""
        if not self._released.done():
            self._released.set_result(self.passage.content if content is None else content)

    async def wait_for_release(self) -> bytes:
        """Wait until somebody decides what goes on."""
        try:
            async with asyncio.timeout(HOLD_SECONDS_AT_MOST):
                return await asyncio.shield(self._released)
        except TimeoutError:
            return self.passage.content


@dataclass(eq=False)
class Trap:
    """Springs once, where its moment comes first."""

    moment: Moment
    _sprung: asyncio.Future[Caught] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def is_armed(self) -> bool:
        """Whether it has not sprung, nor been given up."""
        return not self._sprung.done()

    def disarm(self) -> None:
        """Give it up."""
        self._sprung.cancel()

    def spring(self, caught: Caught) -> None:
        """Hold this frame."""
        self._sprung.set_result(caught)

    async def until_sprung(self) -> Caught:
        """Wait for the moment.

        Cancelling: the trap is given up.
        """
        return await self._sprung
