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
- While a client has not taken what was written, small frames gather here until there is enough of
  them for a write. Otherwise one client that asks a little and never reads would hold forty times
  the limit, in what the transport needs for each write.

Not here: what a frame is (`transports`), what becomes of a slow client (`session`).
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

# A client that reads at all has taken half a megabyte within a second; one that has not gets what
# there is room for.
_LOOKS_FOR_ROOM = 50
_LOOK_SECONDS = 0.02

# A write that waits in the transport costs some 850 bytes beside its own, and time when the
# connection is cut off: of so many that is a twentieth, and few are left to be dropped.
_GATHERED_BYTES = 16 * 1024

# A frame of this size goes as it is if nothing is held before it, for its bytes may be everybody's.
_WHOLE_BYTES = 4 * 1024

# How soon the rest leaves once the client has taken all before it. The kernel still holds far more
# than a client takes meanwhile, and 1,000 clients that do not read cost 1 % of a core.
_HELD_SECONDS = 0.05


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

    __slots__ = ("_call_later", "_call_soon", "_due", "_held")

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object] | None = None,
        call_later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        """`call_soon` and `call_later` left out are the running loop's."""
        self._due: list[Outbox] = []
        self._held: set[Outbox] = set()
        self._call_soon = call_soon or asyncio.get_running_loop().call_soon
        self._call_later = call_later or asyncio.get_running_loop().call_later

    def register(self, outbox: "Outbox") -> None:
        """Note that an outbox has something to write."""
        if not self._due:
            self._call_soon(self.flush)
        self._due.append(outbox)

    def hold(self, outbox: "Outbox") -> None:
        """Note that an outbox has something to write once its client has read."""
        if not self._held:
            self._call_later(_HELD_SECONDS, self._look)
        self._held.add(outbox)

    def flush(self) -> None:
        """Write everything there is."""
        due, self._due = self._due, []
        for outbox in due:
            outbox.flush()

    def _look(self) -> None:
        held, self._held = self._held, set()
        for outbox in held:
            outbox.flush()


class Outbox:
    """One client's unsent frames."""

    __slots__ = (
        "_flusher",
        "_is_due",
        "_is_open",
        "_limit_bytes",
        "_pending",
        "_pending_bytes",
        "_wire",
        "_wire_bytes",
    )

    def __init__(self, wire: Wire, flusher: Flusher, limit_bytes: int) -> None:
        self._wire = wire
        self._flusher = flusher
        self._limit_bytes = limit_bytes
        self._is_open = True
        # One frame is the common case and needs no list.
        self._pending: bytes | list[bytes] | None = None
        self._pending_bytes = 0
        # Whether it is written at the end of this turn. What is pending and not due is held.
        self._is_due = False
        # What the transport had unsent at the first offer of this turn.
        self._wire_bytes = 0

    @property
    def room_bytes(self) -> int:
        """How many more bytes it would take now."""
        wire_bytes = self._wire_bytes if self._is_due else self._wire.get_write_buffer_size()
        return max(0, self._limit_bytes - wire_bytes - self._pending_bytes)

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
        if not self._is_due:
            self._wire_bytes = self._wire.get_write_buffer_size()
        pending_bytes = self._pending_bytes + len(frame)
        if self._wire_bytes + pending_bytes > self._limit_bytes:
            return False
        self._pending_bytes = pending_bytes
        pending = self._pending
        if pending is None:
            self._pending = frame
        elif type(pending) is list:
            pending.append(frame)
        else:
            self._pending = [pending, frame]  # type: ignore[list-item]  # it is the one frame
        if not self._is_due:
            self._is_due = True
            self._flusher.register(self)
        return True

    def flush(self) -> None:
        """Write what was offered, or hold it: it is little, and earlier writes still wait."""
        self._is_due = False
        if self._pending is None:
            return
        enough_bytes = _GATHERED_BYTES if type(self._pending) is list else _WHOLE_BYTES
        is_little = self._pending_bytes < enough_bytes
        if is_little and self._wire.get_write_buffer_size() and not self._wire.is_closing():
            self._flusher.hold(self)
            return
        self._write()

    def close(self, last_frame: bytes = b"") -> None:
        """Write what was offered and a last frame; from then on every offer is answered False."""
        if not self._is_open:
            return
        self._is_open = False
        self._write()
        if last_frame and not self._wire.is_closing():
            self._wire.write(last_frame)

    def _write(self) -> None:
        pending, self._pending = self._pending, None
        self._pending_bytes = 0
        # A transport that has been closed meanwhile raises (uvloop) or logs (asyncio).
        if pending is not None and not self._wire.is_closing():
            self._wire.write(b"".join(pending) if type(pending) is list else pending)  # type: ignore[arg-type]
