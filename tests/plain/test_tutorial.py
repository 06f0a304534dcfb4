"""A WebSocket tutorial's client, unchanged, in Node: the claims are in `tutorial.test.mjs`."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.system.tools import find_node

HERE = Path(__file__).parent

pytestmark = [pytest.mark.sdk, pytest.mark.timeout(90)]


def test_the_page_of_the_tutorial_finds_what_it_expects(server: str) -> None:
    done = subprocess.run(
        [find_node(HERE), "--test", "--test-reporter=spec", "tutorial.test.mjs"],
        cwd=HERE,
        env={**os.environ, "FRONT_URL": f"ws://{server}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout
