"""The front under test, and the bystander whom no case may disturb.

Rules: what is here ends with this folder's tests. The bystander lives in a thread, and others
change what time it is.
"""

import secrets
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from tests.conformance.bystander import Bystander
from tests.conformance.tokens import SETTINGS
from tests.system.process import ServerProcess

READY_SECONDS = 30.0
UNDISTURBED_SECONDS = 1.0
"""A publication takes some milliseconds; a decode that held up the loop, or a loop that never ends,
takes this long."""


class Server:
    """A front and a worker in a process of their own, on the embedded broker."""

    def __init__(self, process: ServerProcess, port: int) -> None:
        self.process = process
        self.port = port

    @property
    def resident_bytes(self) -> int:
        """How much memory the process has."""
        resident: int = psutil.Process(self.process.pid).memory_info().rss
        return resident

    def get(self, path: str) -> tuple[int, bytes]:
        """An HTTP answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def serving(directory: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    port = free_port()
    environment = {
        "FOREBAY_CONFIG": str(SETTINGS),
        "FOREBAY_FRONT__HOST": "127.0.0.1",
        "FOREBAY_FRONT__PORT": str(port),
        **settings,
    }
    process = ServerProcess(f"dev-{secrets.token_hex(2)}", "services.dev", environment, directory)
    process.start()
    server = Server(process, port)
    try:
        _wait_until_ready(server)
        yield server
        assert process.is_running, process.tail()
    finally:
        process.kill9()


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        assert server.process.is_running, server.process.tail()
        assert time.monotonic() < deadline, server.process.tail()
        try:
            if server.get("/health/ready")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The front that all cases share."""
    yield from serving(tmp_path_factory.mktemp("conformance"), {})


@pytest.fixture(scope="package")
def second_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A front whose channels nobody has used yet, for the cases once more."""
    yield from serving(tmp_path_factory.mktemp("second"), {})


@pytest.fixture(scope="package")
def hasty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A front that waits for nobody long."""
    settings = {
        "FOREBAY_CLIENT__STALE_CLOSE_DELAY": "1",
        "FOREBAY_CLIENT__PING_INTERVAL": "1",
        "FOREBAY_CLIENT__PONG_TIMEOUT": "0.5",
    }
    yield from serving(tmp_path_factory.mktemp("hasty"), settings)


@pytest.fixture(scope="package")
def bystander(server: Server) -> Iterator[Bystander]:
    """A client connected throughout."""
    bystander = Bystander(server.port)
    bystander.start()
    yield bystander
    bystander.stop()
    assert not bystander.trouble


@pytest.fixture
def undisturbed(bystander: Bystander) -> Iterator[Bystander]:
    """Hold the case to account for what the bystander notices."""
    began = time.monotonic()
    yield bystander
    assert not bystander.trouble
    assert bystander.longest_wait(began) < UNDISTURBED_SECONDS
