"""What leaves for one client: offered without waiting, written once a turn of the loop.

Many things happen in one turn that concern the same client: answers, publications of several
channels, a ping. All of it leaves in one write, which is what makes fan-out fast: a write costs
some microseconds whatever is in it.

Rules
- An offer never waits. What is offered is complete frames, so that any joining of them is legal and
  the same bytes can be offered to everybody.
- Unsent bytes, ours and the transport's together, have a limit; an offer beyond it is answered
  False, and the client is too slow to be kept.
- One write of several frames, or one frame as it is: bytes are copied once at most.

Not here: what a frame is (`transports`), what becomes of a slow client (`session`).
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

# A client that reads at all has taken half a megabyte within a second; one that has not gets what
# there is room for.
_LOOKS_FOR_ROOM = 50
_LOOK_SECONDS = 0.02


class Wire(Protocol):
    """What an outbox writes to: an asyncio transport."""

    def write(self, data: bytes, /) -> None:
        """Write, or keep what the socket does not take."""

    def get_write_buffer_size(self) -> int:
        """How much the socket has not taken."""

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""


class Flusher:
    """Writes, at the end of a turn of the loop, what the outboxes of a process were offered."""

    __slots__ = ("_call_soon", "_due")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object] | None = None) -> None:
        """`call_soon` left out is the running loop's."""
        self._due: list[Outbox] = []
        self._call_soon = call_soon or asyncio.get_running_loop().call_soon

    def register(self, outbox: "Outbox") -> None:
        """Note that an outbox has something to write."""
        if not self._due:
            self._call_soon(self.flush)
        self._due.append(outbox)

    def flush(self) -> None:
        """Write everything there is."""
        due, self._due = self._due, []
        for outbox in due:
            outbox.flush()


class Outbox:
    """One client's unsent frames."""

    __slots__ = ("_flusher", "_is_open", "_limit_bytes", "_pending", "_unsent_bytes", "_wire")

    def __init__(self, wire: Wire, flusher: Flusher, limit_bytes: int) -> None:
        self._wire = wire
        self._flusher = flusher
        self._limit_bytes = limit_bytes
        self._is_open = True
        # One frame is the common case and needs no list.
        self._pending: bytes | list[bytes] | None = None
        # As of the first offer of this turn, and what was offered since.
        self._unsent_bytes = 0

    @property
    def room_bytes(self) -> int:
        """How many more bytes it would take now."""
        unsent_bytes = (
            self._wire.get_write_buffer_size() if self._pending is None else self._unsent_bytes
        )
        return max(0, self._limit_bytes - unsent_bytes)

    async def make_room(self) -> None:
        """Wait, but not for long, until half the limit is free; at once if it is."""
        if 2 * self.room_bytes >= self._limit_bytes:
            return
        self.flush()
        # A transport tells nobody but its protocol, which is aiohttp's, when it has drained.
        for _ in range(_LOOKS_FOR_ROOM):
            if 2 * self.room_bytes >= self._limit_bytes or not self._is_open:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def offer(self, frame: bytes) -> bool:
        """Take a frame, or answer False: too much is unsent, or the outbox is closed."""
        if not self._is_open:
            return False
        pending = self._pending
        if pending is None:
            unsent_bytes = self._wire.get_write_buffer_size() + len(frame)
            if unsent_bytes > self._limit_bytes:
                return False
            self._unsent_bytes = unsent_bytes
            self._pending = frame
            self._flusher.register(self)
            return True
        unsent_bytes = self._unsent_bytes + len(frame)
        if unsent_bytes > self._limit_bytes:
            return False
        self._unsent_bytes = unsent_bytes
        if type(pending) is list:
            pending.append(frame)
        else:
            self._pending = [pending, frame]  # type: ignore[list-item]  # it is the one frame
        return True

    def flush(self) -> None:
        """Write what was offered."""
        pending = self._pending
        if pending is None:
            return
        self._pending = None
        # A transport that has been closed meanwhile raises (uvloop) or logs (asyncio).
        if not self._wire.is_closing():
            self._wire.write(b"".join(pending) if type(pending) is list else pending)  # type: ignore[arg-type]

    def close(self, last_frame: bytes = b"") -> None:
        """Write what was offered and a last frame; from then on every offer is answered False."""
        if not self._is_open:
            return
        self._is_open = False
        self.flush()
        if last_frame and not self._wire.is_closing():
            self._wire.write(last_frame)
