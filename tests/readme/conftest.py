"""What the README's clients connect to: `forebay dev`, on a port of the test's own."""

import asyncio
import time
import urllib.request
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from broker.local.ports import find_free
from tests.system.process import ServerProcess

READY_SECONDS = 20.0


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address that stands in for `localhost:8000`."""
    directory = tmp_path_factory.mktemp("readme")
    (directory / "empty.toml").touch()  # not one that a person keeps in the checkout
    (port,) = find_free(1)
    settings = {
        "FOREBAY_FRONT__PORT": str(port),
        "FOREBAY_CONFIG": str(directory / "empty.toml"),
    }
    process = ServerProcess("dev", "services.dev", settings, directory)
    process.start()
    try:
        await _until_ready(process, f"http://localhost:{port}/health/ready")
        yield f"localhost:{port}"
    finally:
        process.kill9()


async def _until_ready(process: ServerProcess, url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not await asyncio.to_thread(_answers, url):
        assert process.is_running, process.tail()
        assert time.monotonic() < deadline, process.tail()
        await asyncio.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False
