"""Where the page is served: by `forebay dev`, and by what `make up` runs, on a RabbitMQ node."""

import asyncio
import secrets
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from broker.local.node import LocalNode
from broker.local.ports import find_free
from tests.system.process import ROOT, ServerProcess

READY_SECONDS = 40.0
POLL_SECONDS = 0.1


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def dev_page(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The page on the embedded broker."""
    directory = tmp_path_factory.mktemp("dev")
    async with _serving("services.dev", {}, directory) as url:
        yield url


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def up_page(
    tmp_path_factory: pytest.TempPathFactory, rabbit_node: LocalNode
) -> AsyncIterator[str]:
    """The page on RabbitMQ, with a worker that can be killed."""
    settings = {
        "FOREBAY_RABBITMQ__URL": rabbit_node.amqp_url,
        "FOREBAY_RABBITMQ__PREFIX": f"page{secrets.token_hex(3)}.",
    }
    directory = tmp_path_factory.mktemp("up")
    async with _serving("services.up", settings, directory) as url:
        yield url


@asynccontextmanager
async def _serving(module: str, settings: dict[str, str], directory: Path) -> AsyncIterator[str]:
    (port,) = find_free(1)
    config = directory / "forebay.toml"
    config.touch()  # not one that a person keeps in the checkout
    # `make up` keeps its node and its lock where it is started.
    process = ServerProcess(
        module.rpartition(".")[2],
        module,
        {
            **settings,
            "FOREBAY_CONFIG": str(config),
            "FOREBAY_FRONT__PORT": str(port),
            "FOREBAY_FRONT__DRAIN_SECONDS": "0",
            "PYTHONPATH": str(ROOT),
        },
        directory,
        cwd=directory,
    )
    process.start()
    try:
        base = f"http://localhost:{port}"
        await _until_ready(process, f"{base}/health/ready")
        yield f"{base}/"
    finally:
        await asyncio.to_thread(process.terminate)


async def _until_ready(process: ServerProcess, url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not await asyncio.to_thread(_answers, url):
        assert process.is_running, process.tail()
        assert time.monotonic() < deadline, process.tail()
        await asyncio.sleep(POLL_SECONDS)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False
