"""WebSocket frames as a client needs them: bytes in, values out.

Rules: pure. The masking key is four zero bytes, so masking changes nothing and costs nothing; RFC
6455 §5.3 wants keys that nobody can predict, to protect proxies from browsers' scripts, and there
is neither here. A server cannot tell.

Not here: sockets (clients.py, receivers.py).
"""

HANDSHAKE_END = b"\r\n\r\n"

_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_FINAL, _MASKED = 0x80, 0x80
_ZERO_KEY = bytes(4)


class ServerClosed(Exception):
    """The server ended the connection; the text is its code and reason."""


def upgrade_request(host: str, path: str) -> bytes:
    """The HTTP request that opens a WebSocket; the key may be the same each time."""
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: Zm9yZWJheSBsb2FkIGdlbg==",
        "Sec-WebSocket-Version: 13",
        "",
        "",
    )
    return "\r\n".join(lines).encode()


def text_frame(text: bytes) -> bytes:
    """One whole text message from client to server."""
    return _client_frame(_TEXT, text)


def pong_frame(application_data: bytes) -> bytes:
    """The answer to a native ping (RFC 6455 §5.5.3)."""
    return _client_frame(_PONG, application_data)


def _client_frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes((_FINAL | opcode, _MASKED | size))
    elif size < 65536:
        head = bytes((_FINAL | opcode, _MASKED | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FINAL | opcode, _MASKED | 127)) + size.to_bytes(8, "big")
    return head + _ZERO_KEY + payload


class FrameReader:
    """Collects what a server sent and gives back whole messages."""

    def __init__(self) -> None:
        self.native_pings: list[bytes] = []
        self._unread = b""
        self._fragments: list[bytes] = []

    @property
    def is_between_messages(self) -> bool:
        """Whether nothing is left that waits for more bytes."""
        return not self._unread and not self._fragments

    def feed(self, received: bytes) -> list[bytes]:
        """Take bytes; answer the messages they complete.

        Raises:
            ServerClosed: a close frame is among them.
        """
        unread, start = self._unread + received, 0
        messages: list[bytes] = []
        while (frame := _next_frame(unread, start)) is not None:
            first, payload, start = frame
            self._take(first, payload, messages)
        self._unread = unread[start:]
        return messages

    def _take(self, first: int, payload: bytes, messages: list[bytes]) -> None:
        opcode = first & 0x0F
        if opcode == _CLOSE:
            code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode()
            raise ServerClosed(f"{code} {reason}")
        if opcode == _PING:
            self.native_pings.append(payload)
        elif opcode != _PONG:
            self._fragments.append(payload)
            if first & _FINAL:
                messages.append(b"".join(self._fragments))
                self._fragments.clear()


def _next_frame(unread: bytes, start: int) -> tuple[int, bytes, int] | None:
    """The frame's first byte, its payload and where the next one starts; None if incomplete."""
    if len(unread) < start + 2:
        return None
    size, head = unread[start + 1], start + 2  # servers do not mask
    if size >= 126:
        wide = 2 if size == 126 else 8
        if len(unread) < head + wide:
            return None
        size, head = int.from_bytes(unread[head : head + wide], "big"), head + wide
    end = head + size
    return None if len(unread) < end else (unread[start], unread[head:end], end)
