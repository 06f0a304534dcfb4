"""One deployment for all of these tests, and its logs in the report of a test that fails."""

import secrets
from collections.abc import AsyncIterator, Generator

import pytest
import pytest_asyncio

from broker.local.node import LocalNode
from tests.apps.site import Site, running_site


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    site = getattr(item, "funcargs", {}).get("site")
    if report.failed and isinstance(site, Site):
        report.sections += site.deployment.log_sections()
    return report


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def site(
    tmp_path_factory: pytest.TempPathFactory, rabbit_node: LocalNode
) -> AsyncIterator[Site]:
    """Two fronts and two workers with an app."""
    prefix = f"apps{secrets.token_hex(3)}."
    directory = tmp_path_factory.mktemp("apps")
    async with running_site(directory, rabbit_node.amqp_url, prefix) as running:
        yield running
