"""The examples, by the commands of their READMEs, and their own tests.

What their pages show is in the `*.test.mjs` here, seen in headless Chromium.
"""

import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest

from broker.local.node import LocalNode
from tests.browser.test_page import HERE as BROWSER
from tests.examples.stranger import EXAMPLES, POLL_SECONDS, Example, copy, running
from tests.readme.document import blocks
from tests.readme.test_links import lost_links
from tests.system.process import ROOT
from tests.system.tools import find_browser, find_node

HERE = Path(__file__).parent
NAMES = ("device_ingestion", "live_dashboard", "moderated_chat")
TARGETS = ("example-devices", "example-dashboard", "example-chat")
PATIENCE_SECONDS = 30.0

# Without what this project tests with: a stranger may have none of it.
_ALONE = ("-p", "no:asyncio", "-p", "no:aiohttp", "-p", "no:timeout", "-p", "no:cacheprovider")

Seen = TypeVar("Seen")

each_example = pytest.mark.parametrize("name", NAMES)


def test_these_are_all_examples() -> None:
    assert tuple(sorted(path.parent.name for path in EXAMPLES.glob("*/README.md"))) == NAMES


@each_example
@pytest.mark.timeout(60)
def test_an_examples_own_tests_pass_in_its_folder(name: str, tmp_path: Path) -> None:
    folder = copy(name, tmp_path)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *_ALONE],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(("name", "target"), list(zip(NAMES, TARGETS, strict=True)))
def test_an_examples_readme_names_its_target(name: str, target: str) -> None:
    first = next(b for b in blocks(EXAMPLES / name / "README.md") if b.language == "sh")
    assert first.code.startswith(f"make {target} ")
    assert f"\n{target}: " in (ROOT / "Makefile").read_text()


@each_example
def test_an_examples_readme_leads_somewhere(name: str) -> None:
    assert not lost_links(EXAMPLES / name / "README.md")


def see(example: Example, scenarios: str) -> None:
    """Look at an example's page with a browser."""
    done = subprocess.run(
        [find_node(BROWSER), "--test", "--test-reporter=spec", scenarios],
        cwd=HERE,
        env={**os.environ, "CHROMIUM": find_browser(), "PAGE_URL": example.page_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + example.log.read_text(errors="replace")


@pytest.mark.browser
@pytest.mark.timeout(150)
def test_the_chat_is_moderated(tmp_path: Path) -> None:
    with running("moderated_chat", tmp_path) as example:
        see(example, "chat.test.mjs")


@pytest.mark.browser
@pytest.mark.timeout(150)
def test_the_dashboard_draws_what_is_fed(tmp_path: Path) -> None:
    with running("live_dashboard", tmp_path) as example:
        see(example, "dashboard.test.mjs")


def until(example: Example, look: Callable[[], Seen | None]) -> Seen:
    """Wait until there is something to see, and give it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (seen := look()) is None:
        assert time.monotonic() < deadline, example.log.read_text(errors="replace")
        time.sleep(POLL_SECONDS)
    return seen


@pytest.mark.timeout(150)
def test_readings_that_could_not_be_handled_are_replayed_once_they_can(
    tmp_path: Path, rabbit_node: LocalNode, rabbit_prefix: str
) -> None:
    settings = {"FOREBAY_AMQP_URL": rabbit_node.amqp_url, "FOREBAY_RABBITMQ__PREFIX": rabbit_prefix}
    with running("device_ingestion", tmp_path, settings) as example:
        listed = until(example, lambda: _if(r"device-07 .*KeyError: 'K'", example.run(_LIST)))
        letter = re.search(r"^(\S+) .*device:device-07", listed, re.MULTILINE)
        assert letter is not None, listed
        shown = example.run(f"forebay dead show '{letter[1]}'")
        assert '"unit": "K"' in shown
        at = re.search(r'"at": ([\d.]+)', shown)
        assert at is not None, shown
        reading = "device = 'device-07' AND at = CAST(? AS REAL)"
        assert _written(example, reading, at[1]) == 0
        assert _written(example, "device = 'device-13' AND celsius > 70") > 0

        alarm = first_told(example, '"alarms:heat","pub"')
        assert '"device":"device-13"' in alarm

        app = example.folder / "app.py"
        app.write_text(app.read_text().replace('    # "K": ', '    "K": '))
        until(example, lambda: _if("app reloaded", example.log.read_text(errors="replace")))
        replayed = example.run("forebay dead replay --reason failed --yes")
        assert re.match(r"Replayed [1-9]\d* entr", replayed)
        until(example, lambda: _written(example, reading, at[1]) or None)
        assert _written(example, reading, at[1]) == 1
        assert "no such dead letters" in example.run(_LIST)


_LIST = "forebay dead list"


def first_told(example: Example, words: str) -> str:
    """What the README's `curl` is told first that has such words in it."""
    (command,) = [
        block.code.replace("localhost:8000", f"localhost:{example.port}")
        for block in blocks(example.folder / "README.md")
        if block.code.startswith("curl ")
    ]
    with subprocess.Popen(
        ["sh", "-c", f"exec {command}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as curl:
        assert curl.stdout is not None
        try:
            return next(line for line in curl.stdout if words in line)
        finally:
            curl.terminate()


def _if(pattern: str, text: str) -> str | None:
    return text if re.search(pattern, text) else None


def _written(example: Example, where: str, *values: str) -> int:
    """How many readings of a kind are in the example's database."""
    with closing(sqlite3.connect(example.folder / "devices.db")) as database:
        query = f"SELECT count(*) FROM readings WHERE {where}"
        count: int = database.execute(query, values).fetchone()[0]
    return count
