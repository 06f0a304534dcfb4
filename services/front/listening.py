"""The sockets of a front, and serving an application on them.

Rules
- "localhost" is both of its addresses: browsers and Node resolve it to ::1 first.
- Sockets are opened before anything else is started, so that a port in use is found at once.
"""

import errno
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Final

from aiohttp import web

from services.failing import CannotStart

# A client that has opened a connection and not asked anything in whole, or nothing more since. It
# bounds a request that comes a byte at a time, too: aiohttp looks at whether it is complete.
IDLE_SECONDS: Final = 15.0
_HEADER_BYTES_AT_MOST: Final = 8190
_HEADERS_AT_MOST: Final = 64
# Sessions are ended before; what is left are requests that are answered in milliseconds.
_LEAVE_SECONDS: Final = 1.0

# What the kernel takes of one client before we read it. Left to itself that is up to 6 MiB, which
# a loop reads and parses in one turn: a flood of tiny frames then holds up all others for a second.
# A client that sends so much is slowed down at 64 KiB a round trip.
_RECEIVE_BYTES: Final = 64 * 1024

# What the kernel keeps for one client that does not take it; Linux doubles it, and has room for
# some 190 KiB. Left to itself that is up to 4 MiB, and all connections of a machine share what the
# kernel has for this. To a client 100 ms away it is 2 MB a second.
_SEND_BYTES: Final = 128 * 1024

# A client that takes nothing of what waits for it; the kernel ends its connection. Sessions are
# ended before, by what is unsent or a missing pong. This is for answers to HTTP requests, and for
# connections that are being closed, which would be over when the client has taken everything.
_UNTAKEN_SECONDS: Final = 60.0

_LOCALHOST: Final = ("127.0.0.1", "::1")
_PORT_TRIES: Final = 10


class CannotListen(CannotStart):
    """Clients cannot connect there."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"cannot listen on port {port} of {host}: {reason}; see front.host and front.port"
        )
        self.host = host
        self.port = port


class PortInUse(CannotListen):
    """Another process listens there."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port, "another process does")


def open_sockets(host: str, port: int, *, is_shared: bool = False) -> list[socket.socket]:
    """Bind the addresses of a host; port 0 is one that is free on all of them.

    `is_shared` lets several processes bind the same, and the system spread connections over them.

    Raises:
        PortInUse: another process listens there.
        CannotListen: there is no such address here, or it is not ours to take.
    """
    hosts = _LOCALHOST if host == "localhost" else (host,)
    for _ in range(_PORT_TRIES):
        sockets: list[socket.socket] = []
        try:
            for each in hosts:
                # Where the system chooses, it chooses once.
                chosen = sockets[0].getsockname()[1] if sockets else port
                with suppress(_NoSuchFamily):
                    sockets.append(_bind(each, chosen, is_shared=is_shared))
        except PortInUse:
            _close(sockets)
            if port:
                raise
        else:
            return sockets
    raise PortInUse(host, port)


@contextmanager
def probe_port(host: str, port: int) -> Iterator[int]:
    """Make sure that nobody listens there and, for as long as the context lasts, that nobody takes
    the port but processes of ours; give it, for port 0 may be any.

    Raises:
        PortInUse: another process listens there.
        CannotListen: there is no such address here, or it is not ours to take.
    """
    # Sharing must be refused once, or two deployments would silently share the port.
    free = open_sockets(host, port)
    chosen: int = free[0].getsockname()[1]
    _close(free)
    # Bound and not listening: the port is kept, and no connection comes here.
    kept = open_sockets(host, chosen, is_shared=True)
    try:
        yield chosen
    finally:
        _close(kept)


def _close(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        each.close()


class _NoSuchFamily(Exception):
    pass


def _bind(host: str, port: int, *, is_shared: bool) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise CannotListen(host, port, str(error)) from error
    try:
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _NoSuchFamily from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _bound_what_waits(bound)
        bound.setblocking(False)
        bound.bind(address)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port) from error
        if host == _LOCALHOST[1]:
            raise _NoSuchFamily from error
        raise CannotListen(host, port, str(error)) from error
    return bound


def _bound_what_waits(listener: socket.socket) -> None:
    """Limit what the kernel keeps for a client, and how long; connections inherit it."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # RFC 5482; Linux has it
        untaken_ms = round(_UNTAKEN_SECONDS * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, untaken_ms)


def describe_addresses(sockets: Sequence[socket.socket]) -> list[str]:
    """URLs of what the sockets are bound to."""
    return [
        f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        for host, port in (each.getsockname()[:2] for each in sockets)
    ]


@asynccontextmanager
async def listening(
    app: web.Application,
    sockets: Sequence[socket.socket],
    backlog: int,
    idle_seconds: float = IDLE_SECONDS,
) -> AsyncIterator[AsyncExitStack]:
    """Serve an application on sockets; closing the given stack stops accepting connections.

    Leaving ends what is still connected.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=_LEAVE_SECONDS,
        keepalive_timeout=idle_seconds,
        max_line_size=_HEADER_BYTES_AT_MOST,
        max_field_size=_HEADER_BYTES_AT_MOST,
        max_headers=_HEADERS_AT_MOST,
    )
    await runner.setup()
    try:
        async with AsyncExitStack() as accepting:
            for each in sockets:
                site = web.SockSite(runner, each, backlog=backlog)
                await site.start()
                accepting.push_async_callback(site.stop)
            yield accepting
    finally:
        await runner.cleanup()
