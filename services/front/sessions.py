"""The sessions of this process: how many there are, whose they are, and ending them all.

Rules
- A session is here from its first moment to its last; nothing else keeps it alive but its
  connection.
- By user and by client only once it is connected. Most users have one session, which then costs
  no set.
"""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from services.wire.errors import Disconnect

if TYPE_CHECKING:
    from services.front.session import Session

# Often enough that a drain is spread, rarely enough that its loop costs nothing.
_STEP_SECONDS: Final = 0.05


class Sessions:
    """All sessions of a process."""

    def __init__(self, at_most: int) -> None:
        """Admit `at_most` at a time; 0 for any number."""
        self._sessions: set[Session] = set()
        self._by_user: dict[str, Session | set[Session]] = {}
        # An anonymous client can be meant by its id alone, and an order is for one of many.
        self._by_client: dict[str, Session] = {}
        self._at_most = at_most
        self.is_draining = False
        """Whether new sessions are turned away because this process is about to leave."""

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator["Session"]:
        return iter(self._sessions)

    @property
    def is_full(self) -> bool:
        """Whether another session would be one too many."""
        return 0 < self._at_most <= len(self._sessions)

    def add(self, session: "Session") -> None:
        """Note a session that begins."""
        self._sessions.add(session)

    def name(self, session: "Session") -> None:
        """Note whose session it is, now that it is known."""
        self._by_client[session.id] = session
        user = session.user
        if not user:
            return
        known = self._by_user.get(user)
        if known is None:
            self._by_user[user] = session
        elif isinstance(known, set):
            known.add(session)
        else:
            self._by_user[user] = {known, session}

    def remove(self, session: "Session") -> None:
        """Note that a session has ended."""
        self._sessions.discard(session)
        self._by_client.pop(session.id, None)
        known = self._by_user.get(session.user)
        if known is session:
            del self._by_user[session.user]
        elif isinstance(known, set):
            known.discard(session)
            if not known:
                del self._by_user[session.user]

    def find(self, user: str, client: str) -> list["Session"]:
        """Give the connected sessions of a user, or the one of them with this id; "": anybody's."""
        if client:
            session = self._by_client.get(client)
            return [session] if session is not None and user in ("", session.user) else []
        known = self._by_user.get(user)
        if known is None:
            return []
        return list(known) if isinstance(known, set) else [known]

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
