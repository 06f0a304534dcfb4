"""Deployments to kill parts of, and their logs in the report of a test that fails."""

from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest

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


@pytest.fixture
async def deployment(
    tmp_path: Path, rabbit_node: LocalNode, rabbit_prefix: str
) -> AsyncIterator[Deployment]:
    """Two fronts and two workers on the node that all tests share."""
    access = Access.of_admin(rabbit_node)
    async with deployed(tmp_path, access, prefix=rabbit_prefix) as running:
        yield running
