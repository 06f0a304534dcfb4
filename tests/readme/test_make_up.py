"""What `make up` runs, as somebody meets it: it prints where everything is, and all of that works.

In a folder of its own, so that neither a checkout's data nor what runs there is touched. Installing
what is missing is left to `make`.
"""

import base64
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.local.ports import find_free, is_listening
from tests.readme.document import Block, blocks
from tests.system.process import ROOT, ServerProcess

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(120)]

READY_SECONDS = 60.0
# The management API counts connections anew every few seconds.
COUNTED_SECONDS = 20.0


class Up:
    """A running `make up`, and what it has printed."""

    def __init__(self, process: ServerProcess, output: Path, port: int) -> None:
        self.process = process
        self.port = port
        self._output = output

    @property
    def printed(self) -> str:
        return self._output.read_text()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while "forebay: ready" not in self.printed or "Ctrl-C" not in self.printed:
            assert self.process.is_running, self.printed
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.1)

    def manage(self, path: str) -> Any:
        """Ask the management API, at the printed address and with the printed credentials."""
        url = re.search(r"RabbitMQ management +(\S+)", self.printed)
        credentials = re.search(r"user (\S+), password (\S+)", self.printed)
        assert url is not None, self.printed
        assert credentials is not None, self.printed
        request = urllib.request.Request(f"{url[1]}/api/{path}")
        token = base64.b64encode(f"{credentials[1]}:{credentials[2]}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    directory = tmp_path_factory.mktemp("up")
    (port,) = find_free(1)
    settings = {
        "FOREBAY_FRONT__PORT": str(port),
        "FOREBAY_FRONT__DRAIN_SECONDS": "0",
        "PYTHONPATH": str(ROOT),
    }
    process = ServerProcess("up", "services.up", settings, directory, cwd=directory)
    process.start()
    running = Up(process, directory / "up.log", port)
    try:
        running.wait_until_ready()
        yield running
    finally:
        if process.is_running:
            process.terminate()


def _python_block() -> Block:
    readme = blocks(ROOT / "README.md")
    (block,) = [b for b in readme if (b.heading, b.language) == ("From Python", "python")]
    return block


def test_the_readmes_python_program_talks_through_a_real_rabbitmq(up: Up, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(_python_block().code.replace("localhost:8000", f"localhost:{up.port}"))
    ran = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=30, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "1 {'text': 'hello from Python'}" in ran.stdout


def test_the_management_ui_shows_the_queues(up: Up) -> None:
    names = {queue["name"] for queue in up.manage("queues")}
    for number in range(4):
        assert {f"forebay.{role}.main.{number}" for role in ("inbound", "log", "tops")} <= names
    assert {"forebay.dead", "forebay.api"} <= names


def test_the_processes_are_our_users_and_nobody_is_guest(up: Up) -> None:
    deadline = time.monotonic() + COUNTED_SECONDS
    while (users := {each["user"] for each in up.manage("connections")}) != {"front", "worker"}:
        assert time.monotonic() < deadline, users
        time.sleep(0.5)
    assert "guest" not in {user["name"] for user in up.manage("users")}


def test_a_front_may_write_to_the_pool_and_to_no_log(up: Up) -> None:
    granted = {each["user"]: each for each in up.manage("permissions")}
    assert re.search(granted["front"]["write"], "forebay.inbound")
    for name in ("amq.default", "", "forebay.log", "forebay.tops", "forebay.dead"):
        assert not re.search(granted["front"]["write"], name)
    for role in ("front", "worker"):
        assert not re.search(granted[role]["configure"], "forebay.log.main.0")
    assert granted["backend"]["configure"] == granted["backend"]["read"] == "^$"


def test_an_operator_looks_at_dead_letters_as_who_it_says(up: Up) -> None:
    url = re.search(r"operators connect to (\S+)", up.printed)
    assert url is not None, up.printed
    command = [sys.executable, "-m", "forebay", "dead", "list", "--url", url[1]]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "There are no such dead letters.\n"


def test_the_demo_page_is_where_it_says(up: Up) -> None:
    with urllib.request.urlopen(f"http://localhost:{up.port}/", timeout=10) as response:
        assert b"Forebay" in response.read()


def test_being_told_to_stop_it_stops_what_it_started(up: Up) -> None:
    management = re.search(r"RabbitMQ management +http://[\d.]+:(\d+)", up.printed)
    assert management
    assert up.process.terminate() == 0, up.printed
    assert not is_listening(up.port)
    assert not is_listening(int(management[1]))
