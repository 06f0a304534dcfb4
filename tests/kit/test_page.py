"""The page about testing: its example is a project whose tests pass, and are typed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.test_project import run_pytest
from tests.readme.document import blocks

_ROOT = Path(__file__).parent.parent.parent
_PAGE = _ROOT / "docs" / "testing.md"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    for number, block in enumerate(blocks(_PAGE)):
        name = block.first_line.removeprefix("# ")
        if block.language == "json":
            name = "schemas/line.json"
        elif not block.first_line.startswith("# "):
            name = f"tests/test_block_{number}.py"
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.code)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    return tmp_path


def test_the_pages_tests_pass(example: Path) -> None:
    assert "7 passed" in run_pytest(example)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_mypy_finds_nothing_in_them(example: Path) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, "."],
        cwd=example,
        env={**os.environ, "MYPYPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Success" in checked.stdout, checked.stdout
