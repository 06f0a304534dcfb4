"""The page on one-way clients: its commands and its script do what it says."""

import asyncio
import json
import os
import shlex
import signal
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from services.config import load_config
from tests.readme.document import Block, blocks
from tests.system.balancer import balancing
from tests.system.process import ROOT
from tests.system.tools import find_browser, find_node

PAGE = ROOT / "docs/unidirectional.md"
BROWSE = Path(__file__).with_name("browse.mjs")
CHANNEL = "news"
PATIENCE_SECONDS = 10.0


def blocks_of(language: str) -> list[Block]:
    return [each for each in blocks(PAGE) if each.language == language]


@asynccontextmanager
async def publisher(server: str) -> AsyncIterator[ClientConnection]:
    """A client of the protocol that is connected."""
    url = f"ws://{server}/connection/websocket"
    async with connect(url, proxy=None, ping_interval=None) as client:
        await ask(client, {"connect": {}})
        yield client


async def ask(client: ClientConnection, command: dict[str, Any]) -> Any:
    await client.send(json.dumps({"id": 1, **command}))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (reply := json.loads(await client.recv())):
            await client.send("{}")  # it was a ping
        return reply


async def publish(client: ClientConnection, data: str) -> None:
    reply = await ask(client, {"publish": {"channel": CHANNEL, "data": data}})
    assert "publish" in reply


async def listeners(client: ClientConnection) -> int:
    reply = await ask(client, {"presence_stats": {"channel": CHANNEL}})
    count: int = reply["presence_stats"]["num_clients"]
    return count


def test_the_page_has_the_blocks_that_are_tested() -> None:
    assert [each.language for each in blocks(PAGE)] == ["sh", "sh", "", "toml", "js"]


@pytest.mark.parametrize("block", blocks_of("sh"), ids=lambda block: block.first_line)
async def test_a_command_tells_what_the_page_shows(block: Block, server: str) -> None:
    command = shlex.split(block.code.replace("localhost:8000", server))
    curl = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "NO_PROXY": "*"},
    )
    try:
        assert curl.stdout is not None
        connected = await _next(curl.stdout)
        async with publisher(server) as client:
            await publish(client, "hello")
        told = await _next(curl.stdout)
    finally:
        curl.kill()
        await curl.wait()
    shown, published, ping = (_keys(line) for line in _shown())
    assert (connected.keys(), connected["connect"].keys()) == shown
    assert (told.keys(), told["pub"].keys() | {"epoch"}) == published
    assert ping == (set(), set())
    assert told["pub"]["data"] == "hello"


async def _next(stream: asyncio.StreamReader) -> Any:
    text = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not text:
            line = await stream.readline()
            assert line, "curl ended"
            text = line.removeprefix(b"data: ").strip()
    return json.loads(text)


def _shown() -> list[Any]:
    (block,) = blocks_of("")
    return [json.loads(line.replace("{…}", "{}")) for line in block.code.splitlines()]


def _keys(push: Any) -> tuple[set[str], set[str]]:
    """A push's names, and those of what is in it."""
    inner = push.get("connect", push.get("pub", {}))
    return set(push), set(inner)


def test_its_settings_are_settings(tmp_path: Path) -> None:
    (block,) = blocks_of("toml")
    path = tmp_path / "forebay.toml"
    path.write_text(block.code, encoding="utf-8")
    config = load_config(path, {})
    assert all(
        each.enabled for each in (config.uni_websocket, config.uni_sse, config.uni_http_stream)
    )


@pytest.mark.sdk
@pytest.mark.timeout(60)
async def test_its_script_comes_back_without_a_gap(server: str, tmp_path: Path) -> None:
    (block,) = blocks_of("js")
    words = [f"word {number}" for number in range(12)]
    async with balancing(f"ws://{server}/") as balancer, publisher(server) as client:
        address = urllib.parse.urlsplit(balancer.url).netloc
        snippet = tmp_path / "listen.js"
        snippet.write_text(block.code.replace("localhost:8000", address), encoding="utf-8")
        before = await listeners(client)
        browsing = asyncio.create_task(_browse(snippet, f"http://{address}/", words))
        await _until_listening(client, before + 1)
        for number, word in enumerate(words):
            if number % 4 == 2:
                balancer.cut()
            await publish(client, word)
            # Not after the last: the browser may be gone then.
            if number % 4 == 3 and word is not words[-1]:
                await _until_listening(client, before + 1)
        logged = await browsing
    # Beside what the script logs, the browser complains of the connections that were cut, and so
    # does the demo page, in which the script runs, of its own.
    complaints = [line for line in logged if line.startswith("complaint: ")]
    expected = ("net::ERR_", "Refused: connection closed")
    assert all(any(words in line for words in expected) for line in complaints), complaints
    assert [line for line in logged if line and line not in complaints] == words


async def _until_listening(client: ClientConnection, count: int) -> None:
    async with asyncio.timeout(30):
        while await listeners(client) != count:  # noqa: ASYNC110  (asked from outside)
            await asyncio.sleep(0.05)


async def _browse(snippet: Path, page: str, expected: list[str]) -> list[str]:
    """Run a script in Chromium until it has logged what is expected; all that it has logged."""
    node = find_node(ROOT / "tests/browser", ROOT / "tests/sdk")
    browser = await asyncio.create_subprocess_exec(
        node,
        str(BROWSE),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            "HOW": "console",
            "SNIPPET": str(snippet),
            "PAGE_URL": page,
            "EXPECTED": json.dumps([f"^{word}$" for word in expected]),
            "CHROMIUM": find_browser(),
        },
    )
    try:
        told, _ = await browser.communicate()
    finally:
        if browser.returncode is None:
            browser.send_signal(signal.SIGKILL)
            await browser.wait()
    return told.decode().splitlines()
