"""Sockets: both addresses of localhost, ports in use, ports shared by our own processes only."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from services.front.listening import (
    CannotListen,
    PortInUse,
    describe_addresses,
    open_sockets,
    probe_port,
)


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
