"""Clients that do everything they should not, without end: run beside what is measured.

    python -m bench.hostile HOST PORT CHANNEL

A process of its own, so that its work does not make the measuring one late. It ends with whoever
started it: its standard input is a pipe that nobody writes to.
"""

import argparse
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator

from bench.clients import Endpoint
from bench.receivers import open_receiver
from bench.websocket import text_frame

EACH = 5
HALF_HANDSHAKES = 50
STEP_SECONDS = 0.01
TRICKLE_SECONDS = 1.0
KERNEL_BYTES = 4096
MASK = b"\x00\x00\x00\x00"
# Thousands a second each. Of pings and of commands the answers are not read, so that they pile up.
PINGS = (b"\x89\xfd" + MASK + b"x" * 125) * 20
BYTES = (b"\x00\x81" + MASK + b"x") * 100
QUESTIONS = text_frame(b'{"id":2,"rpc":{}}') * 20
SILENT_PART_BYTES = 40


class Hostile:
    """One client; it comes back when it is thrown out."""

    def __init__(
        self, open_one: Callable[[], socket.socket], frames: bytes, every_seconds: float
    ) -> None:
        """Send these frames each time and never read or, without any, read one byte each time."""
        self._open = open_one
        self._frames = frames
        self._every_seconds = every_seconds
        self._next_at = 0.0
        self._unsent = b""
        self._client: socket.socket | None = None

    def act(self, now: float) -> None:
        """Do the next wrong thing, if it is time."""
        if now < self._next_at:
            return
        self._next_at = now + self._every_seconds
        try:
            self._act()
        except BlockingIOError:
            pass
        except OSError:
            self._forget()

    def _act(self) -> None:
        if self._client is None:
            self._client = self._open()
            self._client.setblocking(False)
        if self._frames:
            self._unsent = self._unsent or self._frames
            self._unsent = self._unsent[self._client.send(self._unsent) :]
        elif not self._client.recv(1):
            self._forget()

    def _forget(self) -> None:
        self._unsent = b""
        if self._client is not None:
            self._client.close()
            self._client = None


def open_all(endpoint: Endpoint, channel: str) -> Iterator[Hostile]:
    """Make some of each kind."""

    def subscriber() -> socket.socket:
        return open_receiver(endpoint, channel, kernel_bytes=KERNEL_BYTES)

    def half() -> socket.socket:
        client = socket.create_connection((endpoint.host, endpoint.port))
        client.sendall(endpoint.request[:SILENT_PART_BYTES])
        return client

    def fragmenter() -> socket.socket:
        client = open_receiver(endpoint, channel)
        client.sendall(b"\x01\x80" + MASK)
        return client

    for _ in range(EACH):
        yield Hostile(subscriber, b"", TRICKLE_SECONDS)
        yield Hostile(subscriber, PINGS, STEP_SECONDS)
        yield Hostile(fragmenter, BYTES, STEP_SECONDS)
        yield Hostile(subscriber, QUESTIONS, STEP_SECONDS)
    for _ in range(HALF_HANDSHAKES):
        yield Hostile(half, b"", TRICKLE_SECONDS)


def has_parent() -> bool:
    """Whether the standard input is still open."""
    readable, _, _ = select.select([sys.stdin], [], [], 0)
    return not readable or bool(os.read(sys.stdin.fileno(), 1))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile", description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("channel")
    asked = parser.parse_args()
    clients = list(open_all(Endpoint(asked.host, asked.port), asked.channel))
    while has_parent():
        now = time.monotonic()
        for client in clients:
            client.act(now)
        time.sleep(STEP_SECONDS)


if __name__ == "__main__":
    main()
