"""One process's end of a socket pair: frames out, frames in, nothing awaited.

Rules
- What does not fit into the socket waits here, and nobody adds to it: `has_room` is False.
- A frame that is longer than may be, or is no message, ends the conversation.

Not here: what the messages mean (`slot`).
"""

import asyncio
import socket
from collections.abc import Callable

import msgspec

from forebay.link import FRAME_BYTES_AT_MOST, LENGTH, ToWorker, decode_to_worker

_READ_BYTES = 256 * 1024
_READS_AT_ONCE = 4
"""After which the loop turns: what an app process says must not keep a worker from all else."""
_READS_AT_LAST = 256
"""Of what a process said before it ended; a socket holds far less, but its children may write."""


CLOSED = "it closed its socket"


class Conversation:
    """The worker's end."""

    def __init__(
        self,
        end: socket.socket,
        hear: Callable[[ToWorker], None],
        over: Callable[[str], None],
        has_room: Callable[[], None],
    ) -> None:
        """Call `hear` with each message, `over` once no more can come, with the reason, and
        `has_room` when there is room again.
        """
        self._socket = end
        self._hear = hear
        self._over = over
        self._has_room = has_room
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._unsent = bytearray()
        self._is_reading = True
        end.setblocking(False)
        self._loop.add_reader(end, self.read)

    @property
    def has_room(self) -> bool:
        """Whether all that was said so far has gone into the socket."""
        return not self._unsent

    def say(self, frame: bytes) -> None:
        """Send a frame, now or as soon as the process reads."""
        if self._unsent:
            self._unsent += frame
            return
        sent = self._send(frame)
        if sent < len(frame):
            self._unsent += memoryview(frame)[sent:]
            self._loop.add_writer(self._socket, self._go_on)

    def read(self) -> None:
        """Take what has come."""
        self._read(_READS_AT_ONCE)

    def read_last(self) -> None:
        """Take all that a process said which has ended."""
        self._read(_READS_AT_LAST)

    def close(self) -> None:
        """Hear and say nothing more."""
        self.stop_reading()
        if self._unsent:
            self._loop.remove_writer(self._socket)
            self._unsent.clear()
        self._socket.close()

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            # It is gone, which reading tells too; what is under way will be given to another.
            return len(data)

    def _go_on(self) -> None:
        del self._unsent[: self._send(self._unsent)]
        if not self._unsent:
            self._loop.remove_writer(self._socket)
            self._has_room()

    def _read(self, reads_at_most: int) -> None:
        for _ in range(reads_at_most):
            if not self._is_reading:
                return
            try:
                data = self._socket.recv(_READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._end(f"its socket failed: {error.strerror}")
                return
            if not data:
                self._end(CLOSED)
                return
            self._received += data
            self._take_frames()

    def _take_frames(self) -> None:
        received = self._received
        begin = 0
        while self._is_reading and len(received) - begin >= LENGTH.size:
            (size,) = LENGTH.unpack_from(received, begin)
            if size > FRAME_BYTES_AT_MOST:
                self._end("what it said is no message")
                return
            end = begin + LENGTH.size + size
            if end > len(received):
                break
            frame = bytes(memoryview(received)[begin + LENGTH.size : end])
            begin = end
            try:
                message = decode_to_worker(frame)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._end("what it said is no message")
                return
            self._hear(message)
        del received[:begin]

    def _end(self, reason: str) -> None:
        self.stop_reading()
        self._over(reason)

    def stop_reading(self) -> None:
        """Hear nothing more."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._socket)
