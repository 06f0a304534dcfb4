"""A team's project, with packages called as ours are, under its own pytest.

It is `project` beside this file: copied, for a project of a team lies in a folder of its own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.process import ROOT

_HERE = Path(__file__).parent

# Without what this project tests with: a team may have none of it.
_ALONE = ("-p", "no:asyncio", "-p", "no:aiohttp", "-p", "no:timeout", "-p", "no:cacheprovider")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(_HERE / "project", folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run_pytest(folder: Path, *arguments: str, installed: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed or "")}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *_ALONE, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout + ran.stderr


def test_a_team_tests_its_app_from_its_folder(project: Path) -> None:
    assert "4 passed" in run_pytest(project)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_team_tests_its_app_where_forebay_is_installed(project: Path, installed: Path) -> None:
    told = run_pytest(project, "--verbose", installed=installed)
    assert "4 passed" in told
    where = "import forebay, pytest_forebay; print(forebay.__file__, pytest_forebay.__file__)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", where],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == [
        str(installed / "forebay" / "__init__.py"),
        str(installed / "pytest_forebay.py"),
    ]


def test_a_run_that_does_not_use_the_fixtures_imports_nothing_for_them() -> None:
    program = "import sys, pytest_forebay; sys.exit('forebay' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_a_broken_handler_shows_its_own_line(project: Path) -> None:
    path = project / "tests" / "test_broken.py"
    path.write_text(
        "def test_unknown_price(forebay):\n"
        "    assert forebay.client('42').rpc('price', 'gold') == 100\n"
    )
    told = run_pytest(project, str(path))
    assert "KeyError: 'gold'" in told
    assert "return PRICES[call.data]" in told
    assert "forebay.testing.problems.HandlerFailed: rpc 'price'" in told
