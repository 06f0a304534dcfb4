"""The sessions of this process: how many there are, and ending them all.

Rules: a session is here from its first moment to its last; nothing else keeps it alive but its
connection.
"""

import asyncio
from collections.abc import Iterator
from typing import Final, Protocol

from services.wire.errors import Disconnect

# Often enough that a drain is spread, rarely enough that its loop costs nothing.
_STEP_SECONDS: Final = 0.05


class Endable(Protocol):
    """A session, as far as this module knows it."""

    def disconnect(self, why: Disconnect, explanation: str = "") -> None:
        """End it and tell the client."""


class Sessions:
    """All sessions of a process."""

    def __init__(self, at_most: int) -> None:
        """Admit `at_most` at a time; 0 for any number."""
        self._sessions: set[Endable] = set()
        self._at_most = at_most
        self.is_draining = False
        """Whether new sessions are turned away because this process is about to leave."""

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Endable]:
        return iter(self._sessions)

    @property
    def is_full(self) -> bool:
        """Whether another session would be one too many."""
        return 0 < self._at_most <= len(self._sessions)

    def add(self, session: Endable) -> None:
        """Note a session that begins."""
        self._sessions.add(session)

    def remove(self, session: Endable) -> None:
        """Note that a session has ended."""
        self._sessions.discard(session)

    async def disconnect_all(self, why: Disconnect, spread_seconds: float) -> None:
        """End all sessions, evenly over a time, so that they do not all come back at once.

        Cancelling: the rest is not ended.
        """
        remaining = list(self._sessions)
        steps = max(1, round(spread_seconds / _STEP_SECONDS))
        a_step = -(-len(remaining) // steps)
        while remaining:
            for session in remaining[-a_step:]:
                session.disconnect(why)
            del remaining[-a_step:]
            if remaining:
                await asyncio.sleep(spread_seconds / steps)
