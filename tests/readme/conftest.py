"""What the README's clients connect to: `forebay dev`, on a port of the test's own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.system.development import development_server


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address that stands in for `localhost:8000`."""
    async with development_server(tmp_path_factory.mktemp("readme")) as address:
        yield address
