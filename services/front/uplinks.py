"""What clients send by requests of their own, while they are told things over another one.

    a request ──▶ any front ──(bus)──▶ the front that holds the session ──▶ its uplink ──▶ receive

Rules
- A session's frames are carried out one after the other, in the order in which they were taken.
  Requests that reach one front in an order are taken in that order, forwarded or not.
- What is taken waits here, bounded in bytes; what there is no room for is refused, and the client
  told so.
- Whoever knows a session's id may send in its name: ids are 144 random bits, and never logged.
- A task for a session only while it has frames to carry out.

Not here: requests (`transports.emulation`, `transports.poll`), the way to another front
(`errands`).
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import structlog

from services.front.bus_messages import UplinkErrand
from services.front.errands import Answer, Errands
from services.front.session import Session
from services.wire.errors import Disconnect

_log = structlog.get_logger(__name__)

# Kept with each frame that waits, so that empty ones are bounded too.
_FRAME_COSTS_BYTES: Final = 200

Receive = Callable[[Session, bytes], Awaitable[None]]


class Uplink:
    """Where the frames of one session come in."""

    __slots__ = (
        "_is_busy",
        "_limit_bytes",
        "_receive",
        "_waiting",
        "_waiting_bytes",
        "id",
        "session",
    )

    def __init__(self, session: Session, receive: Receive, limit_bytes: int) -> None:
        self.id: Final = secrets.token_urlsafe(18)
        self.session: Final = session
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_busy = False

    def offer(self, frame: bytes, tasks: asyncio.TaskGroup) -> bool:
        """Have a frame carried out in its turn, or answer False: too much waits. Never waits."""
        waiting_bytes = self._waiting_bytes + len(frame) + _FRAME_COSTS_BYTES
        if waiting_bytes > self._limit_bytes:
            return False
        self._waiting_bytes = waiting_bytes
        self._waiting.append(frame)
        if not self._is_busy:
            self._is_busy = True
            tasks.create_task(self._carry_out())
        return True

    async def _carry_out(self) -> None:
        """Carry out what waits, and what comes meanwhile.

        Cancelling: the rest is not carried out.
        """
        try:
            while self._waiting and not self.session.is_over:
                await self._carry_out_next()
                await asyncio.sleep(0)
        except Exception:  # noqa: BLE001  (the supervisor of one session: its failure ends it alone)
            _log.exception("a session failed", user=self.session.user, remote=self.session.remote)
            self.session.disconnect(Disconnect.INTERNAL)
        finally:
            self._is_busy = False
            self._waiting.clear()
            self._waiting_bytes = 0

    async def _carry_out_next(self) -> None:
        frame = self._waiting.popleft()
        await self._receive(self.session, frame)
        # Not before: it is as much in the way while it is carried out.
        self._waiting_bytes -= len(frame) + _FRAME_COSTS_BYTES


class Uplinks:
    """The uplinks of a process, and the way to those of others."""

    def __init__(self, errands: Errands, limit_bytes: int) -> None:
        """Let `limit_bytes` wait for each session."""
        self._errands = errands
        self._limit_bytes = limit_bytes
        self._by_id: dict[str, Uplink] = {}
        self._tasks: asyncio.TaskGroup | None = None
        errands.register(UplinkErrand, self._take_errand)

    def __len__(self) -> int:
        return len(self._by_id)

    def open(self, session: Session, receive: Receive) -> Uplink:
        """Let a session have frames brought to it; its client is told the id when it connects."""
        uplink = Uplink(session, receive, self._limit_bytes)
        self._by_id[uplink.id] = uplink
        session.uplink = uplink.id
        return uplink

    def close(self, uplink: Uplink) -> None:
        """Forget a session that has ended."""
        self._by_id.pop(uplink.id, None)

    def take(self, uplink: Uplink, frame: bytes) -> bool:
        """Have a frame carried out in its turn, or answer False: too much waits. Never waits."""
        return self._tasks is not None and uplink.offer(frame, self._tasks)

    async def deliver(self, node_id: str, session_id: str, frame: bytes) -> HTTPStatus:
        """Bring a frame to a session, wherever it is, and say what became of it.

        204: it was taken, or its session has ended; 404: there is no such front; 503: it was not
        taken, or nobody knows.

        Cancelling: it may be carried out.
        """
        if node_id == self._errands.node_id:
            return self._take(session_id, frame)
        errand = UplinkErrand(self._errands.node_id, 0, session_id, frame)
        return (await self._errands.send(node_id, errand)).status

    def _take_errand(self, errand: UplinkErrand) -> None:
        self._errands.answer(errand, Answer(self._take(errand.session, errand.frame)))

    def _take(self, session_id: str, frame: bytes) -> HTTPStatus:
        uplink = self._by_id.get(session_id)
        # An SDK finds out from its stream, which has ended, that the session is no more.
        if uplink is None or uplink.session.is_over or self.take(uplink, frame):
            return HTTPStatus.NO_CONTENT
        return HTTPStatus.SERVICE_UNAVAILABLE

    async def run(self) -> None:
        """Carry out frames until cancelled. Cancelling: what waits is not carried out."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await asyncio.get_running_loop().create_future()
