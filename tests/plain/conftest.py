"""What plain clients connect to: everything in one process, or a deployment on RabbitMQ."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from broker.local.node import LocalNode
from tests.system.deployment import Access, Deployment, deployed
from tests.system.development import development_server


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a `forebay dev`, with the settings that it has for everybody."""
    async with development_server(tmp_path_factory.mktemp("plain")) as address:
        yield address


@pytest_asyncio.fixture
async def deployment(tmp_path: Path, rabbit_node: LocalNode) -> AsyncIterator[Deployment]:
    """Two fronts and a worker on RabbitMQ."""
    prefix = f"plain{secrets.token_hex(3)}."
    access = Access.of_admin(rabbit_node)
    async with deployed(tmp_path, access, prefix=prefix, workers=1) as running:
        yield running
