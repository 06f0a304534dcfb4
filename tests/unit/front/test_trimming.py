"""Memory is given back after clients that did not read have gone, and at no other time."""

import asyncio
import platform
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from services.front.measures import Measures
from services.front.trimming import find_trim, trim_after_unread

EVERY_SECONDS = 0.01


class Trim:
    """Counts how often memory was given back."""

    def __init__(self) -> None:
        self.count = 0
        self.happened = asyncio.Event()
        self._set = asyncio.get_running_loop().call_soon_threadsafe

    def __call__(self) -> None:
        self.count += 1
        self._set(self.happened.set)


@asynccontextmanager
async def trimming(measures: Measures, trim: Callable[[], object]) -> AsyncIterator[None]:
    task = asyncio.create_task(trim_after_unread(measures, trim, EVERY_SECONDS))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


@pytest.mark.parametrize("code", [3008, 3012])
async def test_once_after_clients_that_did_not_read_have_gone(code: int) -> None:
    measures, trim = Measures(), Trim()
    async with trimming(measures, trim):
        for total in (1, 2):
            measures.disconnects.add(code, 100)
            async with asyncio.timeout(5):
                await trim.happened.wait()
            trim.happened.clear()
            await asyncio.sleep(5 * EVERY_SECONDS)
            assert trim.count == total


async def test_nothing_is_given_back_after_other_ends() -> None:
    measures, trim = Measures(), Trim()
    async with trimming(measures, trim):
        measures.disconnects.add(3001, 100)
        await asyncio.sleep(10 * EVERY_SECONDS)
    assert trim.count == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_glibc_can_be_told_to() -> None:
    trim = find_trim()
    assert trim is not None
    trim()
