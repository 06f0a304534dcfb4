"""One connection a user, where the settings say so: who connects ends the older ones (3504).

    a client connects ──▶ its user's others here end ──bus──▶ those elsewhere end

Rules
- Told once, by the bus, which may lose it: nobody waits for it, and an older connection that heard
  nothing stays until the next. Who connects in one turn of the loop travels in one message.
- Of two that connect at once at two fronts, the bus says which is newer: a client whose own message
  has not come back yet is newer than those whose messages have.
"""

import asyncio
from typing import Final

from broker.clock import Clock
from services.front.bus_messages import NewerConnection, NewerConnections, divide
from services.front.neighbours import Neighbours
from services.front.session import Session
from services.front.sessions import Sessions
from services.wire.errors import Disconnect

# A message takes milliseconds, with a busy broker some hundred. What is not back by then was lost.
BACK_SECONDS: Final = 2.0

# Clients whose message has not come back; beyond it the first of them count as old.
CLIENTS_AT_MOST: Final = 10_000

# What stands around one in a message.
_AROUND_BYTES: Final = 8

_WHY: Final = "its user has a newer one; see single_connection"


class SingleConnections:
    """Ends what its users have connected before."""

    def __init__(
        self, sessions: Sessions, neighbours: Neighbours, *, is_wanted: bool, clock: Clock
    ) -> None:
        self._sessions = sessions
        self._neighbours = neighbours
        self._is_wanted = is_wanted
        self._clock = clock
        self._told_seconds: dict[str, float] = {}
        """Of the clients whose message has not come back, the first that was told first."""
        self._untold: list[NewerConnection] = []
        neighbours.register(NewerConnections, self._hear)

    def claim(self, session: Session) -> None:
        """End what the user of a session that begins has besides it. Never waits."""
        if not self._is_wanted or not session.user:
            return
        for older in self._sessions.find(session.user, ""):
            if older is not session:
                older.disconnect(Disconnect.CONNECTION_LIMIT, _WHY)
        if self._neighbours.is_settled and not self._neighbours.fronts():
            return
        if not self._untold:
            asyncio.get_running_loop().call_soon(self._tell)
        self._untold.append(NewerConnection(session.user, session.id))
        self._told_seconds[session.id] = self._clock.monotonic()
        self._forget_old()

    def _tell(self) -> None:
        untold, self._untold = self._untold, []
        for connections in divide(untold, _size_bytes):
            if not self._neighbours.broadcast(NewerConnections(self._neighbours.id, connections)):
                self._forget(connections)

    def _hear(self, message: NewerConnections) -> None:
        if message.sender == self._neighbours.id:
            self._forget(message.connections)
        elif self._is_wanted:
            self._forget_old()
            for newer in message.connections:
                self._end_older(newer)

    def _end_older(self, newer: NewerConnection) -> None:
        for session in self._sessions.find(newer.user, ""):
            if session.id not in self._told_seconds:
                session.disconnect(Disconnect.CONNECTION_LIMIT, _WHY)

    def _forget(self, connections: list[NewerConnection]) -> None:
        for each in connections:
            self._told_seconds.pop(each.client, None)

    def _forget_old(self) -> None:
        latest = self._clock.monotonic() - BACK_SECONDS
        while self._told_seconds:
            first = next(iter(self._told_seconds))
            is_one_too_many = len(self._told_seconds) > CLIENTS_AT_MOST
            if self._told_seconds[first] > latest and not is_one_too_many:
                return
            del self._told_seconds[first]


def _size_bytes(connection: NewerConnection) -> int:
    return len(connection.user.encode()) + len(connection.client) + _AROUND_BYTES
