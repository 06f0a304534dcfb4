"""A team's project with packages called as ours are: `forebay dev` and `forebay worker` serve it.

It is tests/kit/project, copied: its `broker` and `services` are its own. Forebay is installed, and
the command is given in the project's folder; or it is run from a checkout, in either folder.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker.local.node import LocalNode
from broker.local.ports import HOST, find_free
from broker.rabbitmq import apply_topology
from tests.system.client import Client, client_of
from tests.system.connection import ConnectionLost
from tests.system.process import ROOT, ServerProcess

pytestmark = pytest.mark.timeout(60)

PROJECT = ROOT / "tests" / "kit" / "project"
WAIT_SECONDS = 30.0
POLL_SECONDS = 0.05

WHERE_IT_IS = """

@app.rpc("where")
def where(call: Call) -> list[str]:
    import forebay
    import services
    import sys

    return [forebay.__file__, services.__file__, str("services.worker" in sys.modules)]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The team's folder; its app also tells what it has imported."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    with (folder / "shop.py").open("a") as app:
        app.write(WHERE_IT_IS)
    return folder


class Command:
    """How `forebay` is run: in which folder, and where Python finds it and the team's modules."""

    def __init__(self, cwd: Path, forebay: Path, *teams: Path) -> None:
        self.cwd = cwd
        self.forebay = forebay
        self.variables = {"PYTHONPATH": ":".join(map(str, (forebay, *teams)))}


@pytest.fixture(params=["installed", "in-the-checkout"])
def command(request: pytest.FixtureRequest, project: Path) -> Command:
    match request.param:
        case "installed":
            return Command(project, request.getfixturevalue("installed"))
        case "in-the-checkout":
            return Command(ROOT, ROOT, project)
        case _:
            raise AssertionError(request.param)


@asynccontextmanager
async def running(
    name: str,
    command: Command,
    settings: Mapping[str, str],
    directory: Path,
) -> AsyncIterator[ServerProcess]:
    process = ServerProcess(
        name,
        "forebay",
        {**command.variables, **settings},
        directory,
        command.cwd,
        [name, *(() if name == "front" else ("--app", "shop:app"))],
    )
    process.start()
    try:
        yield process
    finally:
        process.kill9()


async def first_price(url: str, *processes: ServerProcess) -> object:
    """Ask until somebody answers."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found: object = None
        try:
            async with client_of(url) as client:
                found = await price(client)
        except* ConnectionLost:
            pass
        if found is not None:
            return found
        logs = "\n".join(process.tail() for process in processes)
        assert all(process.is_running for process in processes), logs
        assert time.monotonic() < deadline, logs
        await asyncio.sleep(POLL_SECONDS)


async def price(client: Client) -> object:
    """What its handler says; None if there is none yet."""
    reply = await client.ask(rpc={"method": "price", "data": "tea"})
    return reply.get("rpc", {}).get("data")


async def assert_the_teams(client: Client, command: Command, project: Path) -> None:
    """Its own packages are what it has imported, and Forebay is the one that was started."""
    reply = await client.ask(rpc={"method": "where", "data": None})
    assert reply["rpc"]["data"] == [
        str(command.forebay / "forebay" / "__init__.py"),
        str(project / "services" / "__init__.py"),
        "False",
    ]


async def assert_spam_is_refused(client: Client) -> None:
    await client.subscribe("chat:1")
    for text, key in (("hello", "publish"), ("spam", "error")):
        reply = await client.ask(publish={"channel": "chat:1", "data": {"text": text}})
        assert key in reply, reply


async def test_forebay_dev_serves_it(command: Command, project: Path, tmp_path: Path) -> None:
    (port,) = find_free(1)
    settings = {
        "FOREBAY_FRONT__PORT": str(port),
        "FOREBAY_CONFIG": str(project / "forebay.toml"),
        "FOREBAY_CLIENT__INSECURE": "true",
    }
    url = f"ws://{HOST}:{port}/connection/websocket"
    async with running("dev", command, settings, tmp_path) as dev:
        assert await first_price(url, dev) == 3
        async with client_of(url) as client:
            await assert_the_teams(client, command, project)
            await assert_spam_is_refused(client)


async def test_forebay_dev_reloads_its_packages_while_clients_stay(
    project: Path, tmp_path: Path
) -> None:
    command = Command(project, ROOT)
    (port,) = find_free(1)
    prices = project / "broker" / "prices.py"
    url = f"ws://{HOST}:{port}/connection/websocket"
    async with running("dev", command, {"FOREBAY_FRONT__PORT": str(port)}, tmp_path) as dev:
        await first_price(url, dev)
        async with client_of(url) as client:
            await assert_the_teams(client, command, project)
            prices.write_text('PRICES = {"tea": 4}')
            await until_price(client, 4)
            prices.write_text('PRICES = {"tea": 5')
            said = await until_logged(dev, "app process cannot start")
            prices.write_text('PRICES = {"tea": 55}')
            await until_price(client, 55)

            assert "prices.py" in said
            assert "SyntaxError" in said


async def until_price(client: Client, wanted: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            if await price(client) == wanted:
                return
            await asyncio.sleep(POLL_SECONDS)


async def until_logged(process: ServerProcess, event: str) -> str:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            if lines := process.events(event):
                return str(lines[0]["reason"])
            await asyncio.sleep(POLL_SECONDS)


async def test_forebay_worker_serves_it(
    command: Command, project: Path, tmp_path: Path, rabbit_node: LocalNode, rabbit_prefix: str
) -> None:
    await apply_topology([rabbit_node.amqp_url], prefix=rabbit_prefix, lanes={"main": 1})
    (port,) = find_free(1)
    settings = {
        "FOREBAY_CONFIG": str(project / "forebay.toml"),
        "FOREBAY_RABBITMQ__URL": rabbit_node.amqp_url,
        "FOREBAY_RABBITMQ__PREFIX": rabbit_prefix,
        "FOREBAY_LANES__MAIN__PARTITIONS": "1",
        "FOREBAY_FRONT__HOST": HOST,
        "FOREBAY_FRONT__PORT": str(port),
        "FOREBAY_CLIENT__INSECURE": "true",
    }
    url = f"ws://{HOST}:{port}/connection/websocket"
    async with (
        running("worker", command, settings, tmp_path) as worker,
        running("front", command, settings, tmp_path) as front,
    ):
        assert await first_price(url, worker, front) == 3
        async with client_of(url) as client:
            await assert_the_teams(client, command, project)
            await assert_spam_is_refused(client)
