"""Forebay as it is installed: the files of its wheel in a folder, and nothing of the checkout.

Rules: what it needs besides is found where the tests have it; a folder given by PYTHONPATH comes
before that.
"""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.system.process import ROOT

_OF_A_WHEEL = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "pytest_forebay.py",
    "broker",
    "services",
    "forebay",
)


def install(scratch: Path) -> Path:
    """Build a wheel in an empty folder and unpack it; gives where."""
    source = scratch / "source"
    source.mkdir()
    for name in _OF_A_WHEEL:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--wheel-dir", scratch / "made", source),
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = (scratch / "made").glob("*.whl")
    folder = scratch / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder
