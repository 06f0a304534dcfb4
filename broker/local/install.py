"""Installs what the local tools need and this machine lacks: RabbitMQ, venv, Node.js, a browser.

Rules: installs only as root or when FOREBAY_INSTALL=yes says so, otherwise names the command; never
leaves a system service running or enabled that was not before; needs nothing but the standard
library, for it runs before there is a virtual environment.

Not here: finding an installed server (installation.py).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from broker.local.installation import RabbitNotInstalled, find_installation

POLICY = Path("/usr/sbin/policy-rc.d")  # Debian asks it before a package may start a service
SERVICE = "rabbitmq-server"
BROWSERS = ("chromium", "google-chrome", "chromium-browser")
MAC_CHROME = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


class MayNotInstall(Exception):
    """Something is missing and we were not allowed to install it; the text has the command."""


@dataclass(frozen=True)
class Need:
    """Something a machine must have, how to see whether it has, and which packages bring it."""

    what: str
    is_there: Callable[[], bool]
    apt: tuple[str, ...]
    brew: str


def _has_rabbitmq() -> bool:
    try:
        find_installation()
    except RabbitNotInstalled:
        return False
    return True


def _has_venv() -> bool:
    # Debian has the module venv in python3 itself, but what it puts into a new environment
    # (ensurepip) in a package of its own.
    check = [sys.executable, "-c", "import ensurepip, venv"]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


def _has_npm() -> bool:
    return shutil.which("node") is not None and shutil.which("npm") is not None


def _has_browser() -> bool:
    return any(shutil.which(name) is not None for name in BROWSERS) or MAC_CHROME.exists()


NEEDS = {
    "rabbitmq": Need("RabbitMQ 3.10 or newer", _has_rabbitmq, (SERVICE,), "rabbitmq"),
    "venv": Need("Python's venv module", _has_venv, ("python3-venv",), "python"),
    "npm": Need("Node.js with npm", _has_npm, ("nodejs", "npm"), "node"),
    "browser": Need(
        "Chromium", _has_browser, ("chromium", "fonts-noto-cjk"), "--cask google-chrome"
    ),
}


def ensure(name: str) -> None:
    """Have one of NEEDS on this machine, installing it if allowed.

    Raises:
        MayNotInstall: it is missing and must be installed by a person; the text has the command.
    """
    need = NEEDS[name]
    if need.is_there():
        return
    if shutil.which("apt-get") is not None:
        _ensure_by_apt(name, need)
    elif shutil.which("brew") is not None:
        _ensure_by_brew(need)
    else:
        raise MayNotInstall(f"{need.what} is needed; install it by this system's own means")
    if not need.is_there():
        raise MayNotInstall(f"{need.what} is needed; what this system's packages have is older")


def _ensure_by_apt(name: str, need: Need) -> None:
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *need.apt]
    if os.geteuid() != 0:
        if not _is_allowed() or shutil.which("sudo") is None:
            raise _may_not(need, f"sudo {' '.join(command)}")
        subprocess.run(["sudo", sys.executable, "-m", "broker.local.install", name], check=True)
        return
    _say(f"installing {need.what}: {' '.join(command)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "--quiet=2"], env=environment, check=True)
    with _no_service_starts():
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    if SERVICE in need.apt:
        _disable_service()


def _ensure_by_brew(need: Need) -> None:
    command = ["brew", "install", *need.brew.split()]
    if not _is_allowed():
        raise _may_not(need, " ".join(command))
    _say(f"installing {need.what}: {' '.join(command)}")
    subprocess.run(command, check=True)


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Tell Debian's package scripts to start nothing, and afterwards what it was told before."""
    before = POLICY.with_name("policy-rc.d.before-forebay")
    if POLICY.exists():
        POLICY.rename(before)
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
        if before.exists():
            before.rename(POLICY)


def _disable_service() -> None:
    """Take back that the package enabled its service for the next boot."""
    for tool in (["systemctl", "disable", SERVICE], ["update-rc.d", SERVICE, "disable"]):
        if shutil.which(tool[0]) is not None:
            subprocess.run(tool, capture_output=True, check=False)


def _is_allowed() -> bool:
    return os.environ.get("FOREBAY_INSTALL") == "yes"


def _may_not(need: Need, command: str) -> MayNotInstall:
    return MayNotInstall(
        f"{need.what} is needed. Install it with\n\n    {command}\n\n"
        "or set FOREBAY_INSTALL=yes to have that done for you."
    )


def _say(sentence: str) -> None:
    sys.stderr.write(f"forebay: {sentence}\n")


def main(names: list[str]) -> int:
    """Ensure the named needs; answers the exit code."""
    for name in names:
        if name not in NEEDS:
            _say(f"no such need: {name}; there are {', '.join(NEEDS)}")
            return 2
        try:
            ensure(name)
        except MayNotInstall as missing:
            _say(str(missing))
            return 2
        except subprocess.CalledProcessError as error:
            _say(f"that failed: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
