"""Runs the SDK tests with the latest SDKs instead of the pinned ones: `make sdk-latest`.

All is in a scratch folder, made anew each time: nothing that is pinned changes. Of the Python SDK
only the package itself is another: if it needs more than what is pinned, the run fails and says so.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.sdk.scenarios import FOLDER_VARIABLE

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCRATCH = ROOT / ".make" / "sdk-latest"


def prepare_scenarios() -> Path:
    """Copy the scenarios, install what they import, and give their folder.

    Raises:
        subprocess.CalledProcessError: npm failed; it has said why.
    """
    folder = SCRATCH / "npm"
    folder.mkdir(parents=True)
    for scenarios in HERE.glob("*.mjs"):
        shutil.copy(scenarios, folder)
    package = json.loads((HERE / "package.json").read_bytes())
    package["devDependencies"]["centrifuge"] = "latest"
    (folder / "package.json").write_text(json.dumps(package))
    npm = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(npm, cwd=folder, check=True)
    installed = json.loads((folder / "node_modules" / "centrifuge" / "package.json").read_bytes())
    sys.stdout.write(f"forebay: npm centrifuge {installed['version']}\n")
    return folder


def prepare_python() -> Path:
    """Install the Python SDK, and give the folder to import it from.

    Raises:
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    folder = SCRATCH / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    package = ["--no-deps", "--target", str(folder), "centrifuge-python"]
    subprocess.run([*pip, *package], check=True)
    (described,) = folder.glob("centrifuge_python-*.dist-info")
    version = described.name.removesuffix(".dist-info").rpartition("-")[2]
    sys.stdout.write(f"forebay: PyPI centrifuge-python {version}\n")
    return folder


def main(arguments: list[str]) -> int:
    """Run the tests, or those that the arguments choose; answers the exit code."""
    shutil.rmtree(SCRATCH, ignore_errors=True)
    environment = {
        **os.environ,
        FOLDER_VARIABLE: str(prepare_scenarios()),
        "PYTHONPATH": str(prepare_python()),
    }
    sys.stdout.flush()
    command = [sys.executable, "-m", "pytest", "tests/sdk", "-m", "not long", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
