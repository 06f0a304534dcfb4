"""A tutorial's client, word for word, in Node: the claims are in `tutorial.test.mjs`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = [pytest.mark.sdk, pytest.mark.timeout(90)]


def test_the_page_of_the_tutorial_finds_what_it_expects(server: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    if not (HERE / "node_modules").is_dir():
        pytest.fail("ws is not installed: run `npm ci` in tests/plain")
    done = subprocess.run(
        [node, "--test", "--test-reporter=spec", "tutorial.test.mjs"],
        cwd=HERE,
        env={**os.environ, "FRONT_URL": f"ws://{server}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout
