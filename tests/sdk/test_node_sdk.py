"""The JavaScript SDK, unmodified, in Node: the scenarios are the `*.test.mjs` beside this file."""

import os
import subprocess

import pytest

from tests.sdk.scenarios import FOLDER
from tests.system.deployment import TOKEN_SECRET
from tests.system.tools import find_node

SCENARIOS = sorted(path.name for path in FOLDER.glob("*.test.mjs"))
# Says itself which of its clients speaks what.
OF_BOTH_ENCODINGS = "encodings.test.mjs"
SPOKEN = [
    ("websocket", "json"),
    ("websocket", "protobuf"),
    ("http_stream", "json"),
    ("http_stream", "protobuf"),
    ("sse", "json"),
]
RUNS = [
    (scenarios, *spoken)
    for scenarios in SCENARIOS
    for spoken in (SPOKEN[:1] if scenarios == OF_BOTH_ENCODINGS else SPOKEN)
]

pytestmark = [pytest.mark.sdk, pytest.mark.timeout(90)]


@pytest.fixture
def node() -> str:
    return find_node(FOLDER)


@pytest.mark.parametrize(("scenarios", "transport", "encoding"), RUNS)
def test_the_javascript_sdk_finds_what_it_expects(
    scenarios: str, transport: str, encoding: str, node: str, fronts: list[str]
) -> None:
    run_scenarios(node, scenarios, transport, encoding, fronts)


def run_scenarios(
    node: str, scenarios: str, transport: str, encoding: str, fronts: list[str]
) -> None:
    """Run a file of scenarios over one transport, in one encoding."""
    done = subprocess.run(
        [node, "--test", "--test-reporter=spec", scenarios],
        cwd=FOLDER,
        env={
            **os.environ,
            "FRONT_URLS": " ".join(fronts),
            "TOKEN_SECRET": TOKEN_SECRET,
            "TRANSPORT": transport,
            "ENCODING": encoding,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout
