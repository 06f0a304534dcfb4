"""What tests run beside Python: Node.js with a folder's npm packages, and Chromium.

Rules: `make test` installs them, so that a test without them fails and is not passed over.
"""

import shutil
from pathlib import Path

import pytest

from broker.local.install import BROWSERS, MAC_CHROME


def find_node(*folders: Path) -> str:
    """Give the path of Node.js, having seen that the packages of these folders are installed."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("Node.js is not installed: `make test` says how")
    for folder in folders:
        if not (folder / "node_modules").is_dir():
            pytest.fail(f"its npm packages are not installed: run `npm ci` in {folder}")
    return node


def find_browser() -> str:
    """Give the path of a Chromium."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None and MAC_CHROME.exists():
        browser = str(MAC_CHROME)
    if browser is None:
        pytest.fail("no Chromium is installed: `make test` says how")
    return browser
