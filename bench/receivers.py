"""A thousand receivers for next to nothing: sockets that are emptied fifty times a second.

Nobody waits for them to become readable, so a delivery neither wakes this process nor costs it a
read of its own: what is measured is the server that sends. They only count bytes; every receiver
of a channel gets the same bytes, so equal counts mean that nobody missed anything.

Not here: the publisher, who is subscribed as well and parses what it gets (fanout.py).
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import orjson

from bench.clients import PONG_FRAME, Endpoint
from bench.websocket import HANDSHAKE_END, FrameReader, text_frame

ANSWER_SECONDS = 20.0
READ_BYTES = 1 << 20
PING_FRAME = b"\x81\x02{}"


class Receivers:
    """Open sockets and how many bytes each has received since it was opened."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self.received_bytes = [0] * len(sockets)
        self._sockets = sockets
        self._buffer = bytearray(READ_BYTES)

    @property
    def total_bytes(self) -> int:
        """What all of them received."""
        return sum(self.received_bytes)

    def sweep(self) -> None:
        """Empty all sockets once.

        Raises:
            ConnectionError: the server closed one of them.
        """
        buffer, received_bytes = self._buffer, self.received_bytes
        for index, receiver in enumerate(self._sockets):
            try:
                count = receiver.recv_into(buffer)
            except BlockingIOError:
                continue
            if not count:
                raise ConnectionError("the server closed a receiver")
            if buffer.find(PING_FRAME, 0, count) >= 0:
                receiver.send(PONG_FRAME)
                count -= len(PING_FRAME)
            received_bytes[index] += count


@contextmanager
def open_receivers(endpoint: Endpoint, count: int, channel: str | None) -> Iterator[Receivers]:
    """Open so many receivers, subscribed to the channel or, without one, to nothing."""
    sockets: list[socket.socket] = []
    try:
        # One by one, so that those already open are closed when a later one fails.
        sockets.extend(open_receiver(endpoint, channel) for _ in range(count))
        yield Receivers(sockets)
    finally:
        for each in sockets:
            each.close()


def open_receiver(
    endpoint: Endpoint, channel: str | None, *, kernel_bytes: int | None = None
) -> socket.socket:
    """Open one, subscribed; `kernel_bytes` is how much waits in the kernel before it is read.

    Raises:
        ConnectionError: the server refused.
    """
    receiver = socket.socket()
    if kernel_bytes is not None:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, kernel_bytes)
    receiver.settimeout(ANSWER_SECONDS)
    receiver.connect((endpoint.host, endpoint.port))
    receiver.sendall(endpoint.request)
    received = b""
    while HANDSHAKE_END not in received:
        received += _read(receiver)
    if channel is not None:
        _subscribe(receiver, channel)
    receiver.setblocking(False)
    return receiver


def _subscribe(receiver: socket.socket, channel: str) -> None:
    commands = [{"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": channel}}]
    receiver.sendall(text_frame(b"\n".join(map(orjson.dumps, commands))))
    frames = FrameReader()
    replies: list[dict[str, object]] = []
    while len(replies) < len(commands):
        for message in frames.feed(_read(receiver)):
            replies += [orjson.loads(line) for line in message.split(b"\n") if line != b"{}"]
    if "connect" not in replies[0] or "subscribe" not in replies[1]:
        raise ConnectionError(f"a receiver was refused: {replies}")


def _read(receiver: socket.socket) -> bytes:
    received = receiver.recv(READ_BYTES)
    if not received:
        raise ConnectionError("the server closed a receiver")
    return received
