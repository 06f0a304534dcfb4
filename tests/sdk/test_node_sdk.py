"""The JavaScript SDK, unmodified, in Node: the scenarios are the `*.test.mjs` beside this file."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.deployment import TOKEN_SECRET

HERE = Path(__file__).parent
SCENARIOS = sorted(path.name for path in HERE.glob("*.test.mjs"))

pytestmark = [pytest.mark.sdk, pytest.mark.timeout(90)]


@pytest.fixture
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node.js is not installed")
    if not (HERE / "node_modules").is_dir():
        pytest.fail("the SDK is not installed: run `npm ci` in tests/sdk")
    return found


@pytest.mark.parametrize("scenarios", SCENARIOS)
def test_the_javascript_sdk_finds_what_it_expects(
    scenarios: str, node: str, fronts: list[str]
) -> None:
    done = subprocess.run(
        [node, "--test", "--test-reporter=spec", scenarios],
        cwd=HERE,
        env={**os.environ, "FRONT_URLS": " ".join(fronts), "TOKEN_SECRET": TOKEN_SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout
