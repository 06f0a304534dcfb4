"""Fixtures of the front's tests."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.unit.front.stage import Stage, staging


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    """A front open to everybody, with a worker; its timers are turned by hand."""
    async with staging() as stage:
        yield stage
