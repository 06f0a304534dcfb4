"""`forebay dev` as a process: everything on the embedded broker, ready in a second.

Rules: it has the development settings and none of a person's own, which may lie in the checkout.
"""

import asyncio
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from broker.local.ports import find_free
from tests.system.process import ROOT, ServerProcess

READY_SECONDS = 20.0
POLL_SECONDS = 0.05


@asynccontextmanager
async def development_server(
    directory: Path, settings: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> AsyncIterator[str]:
    """Run one; gives its address, host and port."""
    (directory / "empty.toml").touch()
    (port,) = find_free(1)
    own = {
        "FOREBAY_FRONT__PORT": str(port),
        "FOREBAY_CONFIG": str(directory / "empty.toml"),
    }
    process = ServerProcess("dev", "services.dev", {**own, **(settings or {})}, directory, cwd)
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
        await asyncio.sleep(POLL_SECONDS)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False
