"""Pages in headless Chromium, the demo page above all: the scenarios are the `*.test.mjs` here.

With FOREBAY_PICTURES naming a folder, the pictures of the README are put there.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.system.tools import find_browser, find_node

HERE = Path(__file__).parent
SDK = HERE.parent / "sdk"

pytestmark = [pytest.mark.browser, pytest.mark.timeout(150)]


@pytest.fixture
def browser() -> str:
    return find_browser()


@pytest.fixture
def node() -> str:
    return find_node(HERE)


def run_scenarios(node: str, browser: str, scenarios: str, url: str) -> None:
    pictures = os.environ.get("FOREBAY_PICTURES", "")
    done = subprocess.run(
        # One at a time: they share a chat and a pool.
        [node, "--test", "--test-concurrency=1", "--test-reporter=spec", scenarios],
        cwd=HERE,
        env={**os.environ, "CHROMIUM": browser, "PAGE_URL": url, "PICTURES": pictures},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=140,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("scenarios", ["chat.test.mjs", "looks.test.mjs"])
def test_the_page_is_as_a_visitor_expects(
    scenarios: str, node: str, browser: str, dev_page: str
) -> None:
    run_scenarios(node, browser, scenarios, dev_page)


@pytest.mark.parametrize("scenarios", ["transports.test.mjs", "polling.test.mjs"])
def test_a_page_without_websockets_misses_nothing(
    scenarios: str, node: str, browser: str, dev_page: str
) -> None:
    find_node(SDK)
    run_scenarios(node, browser, scenarios, dev_page)


@pytest.mark.parametrize("scenarios", ["fallbacks.test.mjs", "choice.test.mjs"])
def test_the_page_uses_what_gets_through(
    scenarios: str, node: str, browser: str, dev_page: str
) -> None:
    run_scenarios(node, browser, scenarios, dev_page)


def test_the_path_shows_what_happens_and_nothing_is_lost(
    node: str, browser: str, up_page: str
) -> None:
    run_scenarios(node, browser, "path.test.mjs", up_page)
