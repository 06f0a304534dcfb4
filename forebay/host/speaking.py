"""Frames on the socket to the worker, without waiting.

Rules
- What can be written is written at once, whatever the loop is at: a handler that holds up the loop
  does not hold up what others have been answered.
- What the socket does not take is kept. There is at most the answer of each task under way, and
  nothing is begun while more than `KEPT_BYTES_AT_MOST` are kept.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

import msgspec

from forebay.link import FRAME_BYTES_AT_MOST, LENGTH, Tasks, ToWorker, decode_to_app, encode

_READ_BYTES: Final = 256 * 1024
KEPT_BYTES_AT_MOST: Final = 4 * 1024 * 1024

_log = logging.getLogger("forebay.host")


class Speaking:
    """One end of the socket pair."""

    def __init__(self, end: socket.socket, hear: Callable[[Tasks], None]) -> None:
        self._socket = end
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._heard = bytearray()
        self._kept = bytearray()
        self._room = asyncio.Event()
        self._room.set()
        self.has_ended = asyncio.Event()
        """The worker is gone, or has said something that is no task."""

    def open(self) -> None:
        """Begin to listen."""
        self._loop.add_reader(self._socket, self._read)

    def stop_listening(self) -> None:
        """Hear nothing more; what is said still goes out."""
        self._loop.remove_reader(self._socket)

    def say(self, message: ToWorker) -> None:
        """Write a message, as far as the socket takes it now, and the rest later."""
        if self.has_ended.is_set():
            return
        self._kept += encode(message)
        self._write()

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the worker that nothing is to be begun."""
        return not self._room.is_set()

    async def has_room(self) -> None:
        """Wait until the worker has taken most of what was said.

        Cancelling: loses nothing.
        """
        await self._room.wait()

    async def drain(self) -> None:
        """Wait until the worker has taken all that was said, or is gone.

        Cancelling: what is kept goes out later.
        """
        while self._kept and not self.has_ended.is_set():
            self._room.clear()
            await self._room.wait()

    def give_up(self) -> None:
        """Hear and say nothing more: the worker sees that this end is closed."""
        self._end()

    def close(self) -> None:
        """Let go of the socket."""
        self._end()
        self._socket.close()

    def _read(self) -> None:
        try:
            received = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._end()
            return
        self._heard += received
        try:
            self._take_frames()
        except msgspec.DecodeError as error:
            _log.error("the worker said something that is no task: %s", error)
            self._end()

    def _take_frames(self) -> None:
        position = 0
        while len(self._heard) - position >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._heard, position)
            if length > FRAME_BYTES_AT_MOST:
                raise msgspec.DecodeError(f"a frame of {length} bytes")
            end = position + LENGTH.size + length
            if len(self._heard) < end:
                break
            with memoryview(self._heard) as heard:
                frame = bytes(heard[position + LENGTH.size : end])
            position = end
            self._hear(decode_to_app(frame))
        del self._heard[:position]

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._kept)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end()
            return
        del self._kept[:sent]
        if not self._kept:
            self._loop.remove_writer(self._socket)
            self._room.set()
            return
        self._loop.add_writer(self._socket, self._write)
        if len(self._kept) > KEPT_BYTES_AT_MOST:
            self._room.clear()

    def _end(self) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._kept.clear()
        self._room.set()
        self.has_ended.set()
