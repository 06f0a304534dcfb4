"""Fixtures that every kind of test may use: a RabbitMQ node of the run's own.

It is the installed one, or with FOREBAY_TEST_RABBITMQ=4 one from another system's folder.

Rules: a test that asks for one of the fixtures here is marked `rabbitmq` by that alone; every test
names what it declares with a prefix of its own, so that one node serves them all; what it declared
is deleted when it ends.
"""

import asyncio
import base64
import json
import os
import secrets
import signal
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
import pytest_asyncio

from broker.local.files import VHOST
from broker.local.installation import Installation, find_installation
from broker.local.node import LocalNode
from tests.system.installed import install
from tests.system.rabbit4 import find_rabbit4

NODE_FIXTURES = {"rabbit_node", "rabbit_prefix", "private_rabbit_node"}


def pytest_configure() -> None:
    """Let what tests start be ended by SIGINT, as in a terminal.

    A shell that runs the tests in the background has them ignore it, and so all that they start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if NODE_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.rabbitmq)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Forebay is installed, as from a wheel; what it needs is found elsewhere."""
    return install(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="session")
def rabbit_directory() -> Iterator[Path]:
    # Not pytest's own temporary folder, which keeps those of the last three runs.
    with tempfile.TemporaryDirectory(prefix="forebay-test-") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def rabbit_installation() -> Installation:
    """The server that the nodes of this run are of."""
    wanted = os.environ.get("FOREBAY_TEST_RABBITMQ", "installed")
    if wanted not in ("installed", "4"):
        pytest.exit(f"FOREBAY_TEST_RABBITMQ is 'installed' or '4', not {wanted!r}", returncode=2)
    return find_rabbit4() if wanted == "4" else find_installation()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rabbit_node(
    rabbit_directory: Path, rabbit_installation: Installation
) -> AsyncIterator[LocalNode]:
    """The node that all tests of a run share: leave it running and its vhost in place."""
    node = LocalNode(rabbit_directory / "shared", installation=rabbit_installation)
    await node.start()
    yield node
    await node.kill()  # its data goes with its folder; an orderly stop takes six seconds


@pytest_asyncio.fixture
async def private_rabbit_node(
    tmp_path: Path, rabbit_installation: Installation
) -> AsyncIterator[LocalNode]:
    """A started node for one test that kills, freezes or fills it."""
    node = LocalNode(tmp_path / "rabbitmq", installation=rabbit_installation)
    await node.start()
    yield node
    await node.kill()


@pytest_asyncio.fixture
async def rabbit_prefix(rabbit_node: LocalNode) -> AsyncIterator[str]:
    """A prefix for the names of one test, such as `t1a2b.`; what bears it is deleted afterwards."""
    prefix = f"t{secrets.token_hex(3)}."
    yield prefix
    if rabbit_node.is_running:
        await asyncio.to_thread(_delete_all, rabbit_node, prefix)


def _delete_all(node: LocalNode, prefix: str) -> None:
    for kind in ("queues", "exchanges"):
        for each in json.loads(_manage(node, "GET", f"{kind}/{VHOST}?columns=name")):
            if each["name"].startswith(prefix):
                _delete(node, f"{kind}/{VHOST}/{urllib.parse.quote(each['name'], '')}")
    for user in json.loads(_manage(node, "GET", "users?columns=name")):
        if user["name"].startswith(prefix):
            _delete(node, f"users/{urllib.parse.quote(user['name'], '')}")


def _delete(node: LocalNode, path: str) -> None:
    try:
        _manage(node, "DELETE", path)
    except urllib.error.HTTPError as error:
        # A process's own queue goes with its connection, between the list and here.
        if error.code != HTTPStatus.NOT_FOUND:
            raise


def _manage(node: LocalNode, method: str, path: str) -> bytes:
    credentials = f"{node.admin_user}:{node.admin_password}".encode()
    request = urllib.request.Request(f"{node.management_url}/api/{path}", method=method)
    request.add_header("Authorization", "Basic " + base64.b64encode(credentials).decode())
    with urllib.request.urlopen(request, timeout=10) as response:
        body: bytes = response.read()
        return body
