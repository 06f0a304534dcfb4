"""An example as a stranger meets it: its folder copied, its README's own command given.

Rules: the command is taken from the README; only ports and the broker are said by variables, as the
documentation has them. It is ended as Ctrl-C ends it, and has to end by itself then.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from broker.local.ports import find_free
from broker.local.process import ending_with_us
from tests.readme.document import blocks
from tests.system.process import ROOT

EXAMPLES = ROOT / "examples"
READY_SECONDS = 60.0
END_SECONDS = 30.0
POLL_SECONDS = 0.1
# What running it leaves behind in the checkout is nothing that a stranger copies.
_LEFT_BEHIND = shutil.ignore_patterns("__pycache__", "*.db*", ".rabbitmq", ".*_cache")


@dataclass(frozen=True)
class Example:
    """A running example."""

    folder: Path
    port: int
    environment: Mapping[str, str]
    log: Path

    @property
    def page_url(self) -> str:
        """Its page, as a file, told where the server is."""
        return f"{(self.folder / 'index.html').as_uri()}?server=localhost:{self.port}"

    def run(self, command: str) -> str:
        """Give a command in its folder, which has to succeed; gives what it printed."""
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def copy(name: str, directory: Path) -> Path:
    """Copy an example's folder."""
    return shutil.copytree(EXAMPLES / name, directory / name, ignore=_LEFT_BEHIND)


def command_of(folder: Path) -> str:
    """The command for whom has installed Forebay, of the README's second block."""
    shell = [block for block in blocks(folder / "README.md") if block.language == "sh"]
    installing, command = shell[1].code.splitlines()
    assert installing.startswith("pip install forebay")
    return command


@contextmanager
def running(
    name: str, directory: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Example]:
    """Run an example for as long as the block lasts; it is ready when the block begins."""
    folder = copy(name, directory)
    (port,) = find_free(1)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("FOREBAY_")}
    environment = {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "FOREBAY_FRONT__PORT": str(port),
        "FOREBAY_FRONT__DRAIN_SECONDS": "0",
        **(settings or {}),
    }
    example = Example(folder, port, environment, directory / "output.log")
    with example.log.open("wb") as log:
        process = subprocess.Popen(
            ending_with_us(["sh", "-c", command_of(folder)]),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _until_ready(process, example)
        yield example
        os.killpg(process.pid, signal.SIGINT)
        process.wait(END_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _until_ready(process: subprocess.Popen[bytes], example: Example) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _answers(example.port):
        said = example.log.read_text(errors="replace")
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(POLL_SECONDS)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/health/ready", timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False
