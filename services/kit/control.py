"""The server's end of the socket by which a test says what is to happen."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from forebay.testing.control import Answer, Request, cut_frame, decode_request, encode

_READ_BYTES: Final = 256 * 1024
_DESCRIPTORS_AT_MOST: Final = 4


class Control:
    """Takes one request at a time, and the sockets that came with them."""

    def __init__(self, control: socket.socket, end: Callable[[], object]) -> None:
        """Call `end` once the test's end is closed."""
        self._socket = control
        self._end = end
        control.setblocking(False)
        self._buffer = bytearray()
        self._sockets: list[socket.socket] = []
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(control, self._read)

    async def next(self) -> Request:
        """Wait for the next request.

        Cancelling: loses nothing.
        """
        while (frame := cut_frame(self._buffer)) is None:
            self._news.clear()
            await self._news.wait()
        return decode_request(frame)

    async def answer(self, answer: Answer) -> None:
        """Answer the last request, if the test's end is still there.

        Cancelling: the rest of the answer is never sent.
        """
        with suppress(ConnectionError):
            await asyncio.get_running_loop().sock_sendall(self._socket, encode(answer))

    def take_socket(self) -> socket.socket:
        """Give the next of the sockets that came; it is the caller's to close.

        Raises:
            IndexError: there is none.
        """
        return self._sockets.pop(0)

    def close(self) -> None:
        """Hear nothing any more."""
        asyncio.get_running_loop().remove_reader(self._socket)
        for each in self._sockets:
            each.close()
        self._socket.close()

    def _read(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self._socket, _READ_BYTES, _DESCRIPTORS_AT_MOST
            )
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        self._sockets += [socket.socket(fileno=descriptor) for descriptor in descriptors]
        self._buffer += data
        self._news.set()
        if not data:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._end()
