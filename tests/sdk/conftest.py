"""One deployment for all SDK tests, and its logs in the report of a test that fails."""

import secrets
from collections.abc import AsyncIterator, Generator

import pytest
import pytest_asyncio

from broker.local.node import LocalNode
from tests.system.deployment import Access, Deployment, deployed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    deployment = getattr(item, "funcargs", {}).get("deployment")
    if report.failed and isinstance(deployment, Deployment):
        report.sections += deployment.log_sections()
    return report


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def deployment(
    tmp_path_factory: pytest.TempPathFactory, rabbit_node: LocalNode
) -> AsyncIterator[Deployment]:
    """Two fronts and a worker."""
    directory = tmp_path_factory.mktemp("sdk")
    prefix = f"sdk{secrets.token_hex(3)}."
    access = Access.of_admin(rabbit_node)
    async with deployed(directory, access, prefix=prefix, workers=1) as running:
        yield running


@pytest.fixture
def fronts(deployment: Deployment) -> list[str]:
    """Where clients connect."""
    return deployment.front_urls
