"""Sockets: both addresses of localhost, ports in use, ports shared by our own processes only; and
clients that do not ask, or do not take what they asked for.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest
from aiohttp import web

from services.front import listening as listening_module
from services.front.listening import (
    CannotListen,
    PortInUse,
    describe_addresses,
    listening,
    open_sockets,
    probe_port,
)

IDLE_SECONDS = 0.3
SMALL_BYTES = 4096


@contextmanager
def opened(host: str, port: int = 0, *, is_shared: bool = False) -> Iterator[list[socket.socket]]:
    sockets = open_sockets(host, port, is_shared=is_shared)
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


def port_of(sockets: Sequence[socket.socket]) -> int:
    port: int = sockets[0].getsockname()[1]
    return port


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_localhost_is_all_its_addresses_on_one_port() -> None:
    with opened("localhost") as sockets:
        assert sockets[0].getsockname()[0] == "127.0.0.1"
        assert {each.getsockname()[1] for each in sockets} == {port_of(sockets)}


def test_a_port_in_use_is_named() -> None:
    with taken_port() as port, pytest.raises(PortInUse, match=rf"port {port} of 127\.0\.0\.1"):
        open_sockets("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_named_with_the_setting(host: str) -> None:
    with pytest.raises(CannotListen, match=r"front\.host"):
        open_sockets(host, 0)


def test_addresses_are_described_as_urls() -> None:
    with opened("localhost") as sockets:
        urls = [f"http://127.0.0.1:{port_of(sockets)}", f"http://[::1]:{port_of(sockets)}"]
        assert describe_addresses(sockets) == urls[: len(sockets)]


def test_processes_of_ours_share_a_port_that_was_probed() -> None:
    with (
        probe_port("127.0.0.1", 0) as port,
        opened("127.0.0.1", port, is_shared=True) as first,
        opened("127.0.0.1", port, is_shared=True) as second,
    ):
        assert port_of(first) == port_of(second) == port


def test_a_port_others_share_is_in_use_all_the_same() -> None:
    with opened("127.0.0.1", is_shared=True) as others:
        others[0].listen()
        with pytest.raises(PortInUse), probe_port("127.0.0.1", port_of(others)):
            pass


async def answer(_: web.Request) -> web.Response:
    return web.Response(text="hello")


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[int]:
    """Serve an application that does not wait long for its clients; gives the port."""
    sockets = open_sockets("127.0.0.1", 0)
    async with listening(app, sockets, 10, idle_seconds=IDLE_SECONDS):
        yield port_of(sockets)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def application() -> web.Application:
    app = web.Application()
    app.router.add_get("/", answer)
    return app


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
async def test_a_connection_that_does_not_ask_in_time_is_ended(begun: bytes) -> None:
    async with serving(application()) as port, connected(port) as (reader, writer):
        writer.write(begun)
        async with asyncio.timeout(10):
            assert await reader.read() == b""


async def test_a_request_that_comes_a_byte_at_a_time_is_given_up() -> None:
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 1000
    async with serving(application()) as port, connected(port) as (reader, writer):
        ended = asyncio.ensure_future(reader.read())
        sent = 0
        while not ended.done():
            assert sent < len(request)
            writer.write(request[sent : sent + 1])
            sent += 1
            await asyncio.wait((ended,), timeout=IDLE_SECONDS / 20)
        assert ended.exception() or ended.result() == b""


async def test_a_connection_that_asks_again_in_time_stays() -> None:
    async with serving(application()) as port, connected(port) as (reader, writer):
        for _ in range(4):
            await asyncio.sleep(IDLE_SECONDS / 2)
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(10):
                assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux can")
async def test_a_client_that_does_not_take_its_answer_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening_module, "_UNTAKEN_SECONDS", 0.5)
    cut_off = asyncio.Event()

    async def answer_without_end(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(SMALL_BYTES))
        except ConnectionError:
            cut_off.set()
            raise

    app = web.Application()
    app.router.add_get("/", answer_without_end)
    async with serving(app) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(10):
                await cut_off.wait()


def test_the_kernel_keeps_little_for_a_client_that_does_not_read() -> None:
    with opened("127.0.0.1") as sockets, socket.socket() as client:
        sockets[0].setblocking(True)
        sockets[0].listen()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BYTES)
        client.connect(sockets[0].getsockname())
        accepted, _ = sockets[0].accept()
        with accepted:
            accepted.setblocking(False)
            taken_bytes = 0
            with suppress(BlockingIOError):
                while taken_bytes < 16 * listening_module._SEND_BYTES:
                    taken_bytes += accepted.send(bytes(SMALL_BYTES))
        assert taken_bytes <= 2 * listening_module._SEND_BYTES + 2 * SMALL_BYTES
