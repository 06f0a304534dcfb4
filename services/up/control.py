"""A socket on which the demo page's front asks for the worker to be killed.

Rules
- In a folder that only this user may enter, and gone when we are.
- One line asks, `kill 5`; one line answers: `killed`, `busy` when it is away already, or `what`.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.up.child import KillSwitch

_ASK_SECONDS = 5.0


@asynccontextmanager
async def controlling(switch: KillSwitch) -> AsyncIterator[Path]:
    """Listen for as long as the block lasts; give the socket's path."""
    # Not below the checkout: its path may be longer than a socket's may be.
    with tempfile.TemporaryDirectory(prefix="forebay-") as directory:
        path = Path(directory) / "control"

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                async with asyncio.timeout(_ASK_SECONDS):
                    writer.write(_obey(switch, await reader.readline()))
                    await writer.drain()
            except (OSError, ValueError):
                return  # who asked is gone, or never did
            finally:
                writer.close()

        server = await asyncio.start_unix_server(answer, path)
        try:
            yield path
        finally:
            server.close()


def _obey(switch: KillSwitch, line: bytes) -> bytes:
    asked = re.fullmatch(rb"kill (\d{1,2})\n", line)
    if asked is None:
        return b"what\n"
    return b"killed\n" if switch.pull(float(asked[1])) else b"busy\n"
