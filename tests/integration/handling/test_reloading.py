"""`forebay dev --app`: the app's processes are replaced when its code changes, and clients stay."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.client import Client, client_of
from tests.system.development import development_server
from tests.system.process import ROOT

pytestmark = pytest.mark.timeout(60)

SOURCE = """
from forebay import App

app = App()

@app.rpc("version")
def version(call):
    return {}

@app.publish("*")
def look(publication):
    pass
"""
BROKEN = "this is no Python"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """One of a development server whose app is `team.py` in the folder it was started in."""
    (tmp_path / "team.py").write_text(SOURCE.format(1))
    settings = {"FOREBAY_APP__PATH": "team:app", "PYTHONPATH": str(ROOT)}
    async with (
        development_server(tmp_path, settings, cwd=tmp_path) as address,
        client_of(f"ws://{address}/connection/websocket") as client,
    ):
        yield client


async def version(client: Client) -> Any:
    reply = await client.ask(rpc={"method": "version", "data": {}})
    return reply["rpc"]["data"]


async def test_a_connected_client_is_answered_by_the_changed_code(
    client: Client, tmp_path: Path
) -> None:
    await client.subscribe("room")
    assert await version(client) == 1
    (tmp_path / "team.py").write_text(SOURCE.format(22))
    sent = 0
    async with asyncio.timeout(30):
        while await version(client) == 1:
            reply = await client.ask(publish={"channel": "room", "data": sent})
            assert "publish" in reply
            sent += 1
    assert await version(client) == 22
    for number in range(sent):
        assert (await client.until_pushed("room", "pub"))["data"] == number


async def test_what_is_asked_while_the_code_is_broken_waits_until_it_is_mended(
    client: Client, tmp_path: Path
) -> None:
    assert await version(client) == 1
    await client.subscribe("room")
    (tmp_path / "team.py").write_text(BROKEN)
    await until_logged(tmp_path / "dev.log", "app process cannot start")
    publishing = asyncio.ensure_future(client.ask(publish={"channel": "room", "data": "late"}))
    # Commands are read in their order, so the publish is with the server.
    await client.ask(history={"channel": "room", "limit": 1})
    (tmp_path / "team.py").write_text(SOURCE.format(3))
    async with asyncio.timeout(30):
        assert (await client.until_pushed("room", "pub"))["data"] == "late"
    assert await version(client) == 3
    await publishing


async def until_logged(log: Path, words: str) -> None:
    async with asyncio.timeout(30):
        while True:
            if words in await asyncio.to_thread(log.read_text):
                return
            await asyncio.sleep(0.05)
