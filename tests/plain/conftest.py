"""What plain clients connect to: everything in one process, or a deployment on RabbitMQ."""

import asyncio
import secrets
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from broker.local.node import LocalNode
from broker.local.ports import HOST, find_free
from tests.system.deployment import Access, Deployment, deployed
from tests.system.process import ServerProcess

READY_SECONDS = 20.0


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a `python -m services.dev`, with the settings that it has for everybody."""
    directory = tmp_path_factory.mktemp("plain")
    (directory / "empty.toml").touch()
    (port,) = find_free(1)
    settings = {
        "FOREBAY_FRONT__PORT": str(port),
        "FOREBAY_CONFIG": str(directory / "empty.toml"),
    }
    process = ServerProcess("dev", "services.dev", settings, directory)
    process.start()
    try:
        await _until_ready(process, f"http://{HOST}:{port}/health/ready")
        yield f"{HOST}:{port}"
    finally:
        process.kill9()


@pytest_asyncio.fixture
async def deployment(tmp_path: Path, rabbit_node: LocalNode) -> AsyncIterator[Deployment]:
    """Two fronts and a worker on RabbitMQ."""
    prefix = f"plain{secrets.token_hex(3)}."
    access = Access.of_admin(rabbit_node)
    async with deployed(tmp_path, access, prefix=prefix, workers=1) as running:
        yield running


async def _until_ready(process: ServerProcess, url: str) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while not await asyncio.to_thread(_answers, url):
            assert process.is_running, process.tail()
            await asyncio.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False
