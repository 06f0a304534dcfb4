"""RabbitMQ 4 beside the installed one: Debian 13 in a folder, of which only the broker is used.

    node = LocalNode(folder, installation=find_rabbit4())

The node, or the nodes of a `LocalCluster`, are then started, killed, paused and asked as any other;
`make rabbitmq4` makes the folder and runs the broker's promises on such nodes. With
FOREBAY_TEST_RABBITMQ=4 any test of `pytest` runs on them.

Rules: needs root (debootstrap, mounts that nobody else sees) and, once, Debian's packages from the
network: 300 MB and a minute. The folder is made under another name and renamed when it is whole.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from broker.local.installation import Installation, read_version

SUITE = "trixie"  # has RabbitMQ 4.0
FOLDER_VARIABLE = "FOREBAY_RABBITMQ4"
SCRIPTS = Path("/usr/lib/rabbitmq/bin")
PLUGINS = Path("usr/lib/rabbitmq/lib")


class CannotMakeRabbit4(Exception):
    """The folder is not there and cannot be made by us; the text says why."""


def folder() -> Path:
    """Where the other system is, or is to be: in the user's cache, or where the variable says."""
    told = os.environ.get(FOLDER_VARIABLE)
    if told:
        return Path(told)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "forebay" / f"rabbitmq-{SUITE}"


def find_rabbit4() -> Installation:
    """Give the RabbitMQ 4 of the folder, which is made if it is not there.

    Raises:
        CannotMakeRabbit4: that takes root, and Debian's debootstrap.
        subprocess.CalledProcessError: debootstrap failed; it has said why.
    """
    root = folder()
    if os.geteuid() != 0:
        raise CannotMakeRabbit4("RabbitMQ 4 runs in another system's folder, which takes root")
    if not root.exists():
        _make(root)
    for plugins in (root / PLUGINS).glob("rabbitmq_server-*/plugins"):
        version = read_version(plugins)
        if version is not None and version >= (4, 0):
            return Installation(SCRIPTS, version, root)
    raise CannotMakeRabbit4(f"{root} has no RabbitMQ 4: delete it to have it made anew")


def _make(root: Path) -> None:
    partial = root.with_name(f"{root.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    command = [
        _find_debootstrap(),
        "--variant=minbase",
        "--include=rabbitmq-server",
        SUITE,
        str(partial),
    ]
    sys.stderr.write(f"forebay: making {root} with RabbitMQ 4\n")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    partial.rename(root)


def _find_debootstrap() -> str:
    if shutil.which("debootstrap") is None and shutil.which("apt-get") is not None:
        install = ["apt-get", "install", "--yes", "--no-install-recommends", "debootstrap"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "--quiet=2"], env=environment, check=True)
        subprocess.run(install, env=environment, check=True, stdout=subprocess.DEVNULL)
    found = shutil.which("debootstrap")
    if found is None:
        raise CannotMakeRabbit4("debootstrap is needed, and this system has no apt-get")
    return found


if __name__ == "__main__":
    sys.stdout.write(f"{find_rabbit4().version_text}\n")
