"""Finds a RabbitMQ server that is installed on this machine.

Rules: the scripts in the package's own folder are used, never the wrappers that Debian puts into
/usr/sbin: those change to the system's user, cookie and folders.

Not here: installing one (install.py), starting one (node.py).
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.local.process import below_root

OLDEST_VERSION = (3, 10)  # the first whose streams and quorum queues have all the arguments we use

# Debian and RPM packages, then Homebrew on Apple silicon, on Intel and on Linux.
USUAL_FOLDERS = (
    Path("/usr/lib/rabbitmq/bin"),
    Path("/opt/homebrew/opt/rabbitmq/sbin"),
    Path("/usr/local/opt/rabbitmq/sbin"),
    Path("/home/linuxbrew/.linuxbrew/opt/rabbitmq/sbin"),
)


class RabbitNotInstalled(Exception):
    """There is no RabbitMQ server here, or only one that is too old."""


@dataclass(frozen=True)
class Installation:
    """Where an installed RabbitMQ server keeps its scripts, and its version."""

    scripts: Path
    version: tuple[int, int, int]
    root: Path | None = None
    """The folder of another system that it is installed in, if it is not in this one."""

    @property
    def server(self) -> Path:
        """The script that runs a node in the foreground."""
        return self.scripts / "rabbitmq-server"

    @property
    def ctl(self) -> Path:
        """The script that talks to a running node."""
        return self.scripts / "rabbitmqctl"

    @property
    def epmd(self) -> str:
        """Erlang's port mapper.

        Raises:
            RabbitNotInstalled: it is not where installations have it.
        """
        return "/usr/bin/epmd" if self.root else shutil.which("epmd") or _find_erlang_epmd()

    def command(self, words: Sequence[str], directory: Path) -> list[str]:
        """How to run something of this installation that uses a folder of ours."""
        return below_root(self.root, directory, words) if self.root else list(words)

    @property
    def version_text(self) -> str:
        """The version as people write it."""
        return ".".join(map(str, self.version))


def find_installation() -> Installation:
    """Find the newest usable RabbitMQ server.

    Raises:
        RabbitNotInstalled: there is none, or it is older than 3.10; the text names what was found.
    """
    found = list(_installations())
    usable = [each for each in found if each.version >= OLDEST_VERSION]
    if usable:
        return max(usable, key=lambda each: each.version)
    if found:
        versions = ", ".join(f"{each.version_text} in {each.scripts}" for each in found)
        raise RabbitNotInstalled(f"RabbitMQ 3.10 or newer is needed, found only {versions}")
    raise RabbitNotInstalled("no rabbitmq-server is installed")


def _installations() -> Iterator[Installation]:
    folders = list(USUAL_FOLDERS)
    on_path = shutil.which("rabbitmq-server")
    if on_path is not None:
        folders.append(Path(on_path).resolve().parent)
    for folder in folders:
        server = folder / "rabbitmq-server"
        if not server.is_file():
            continue
        # Symbolic links lead to lib/rabbitmq_server-X.Y.Z/sbin, beside which plugins/ has the core
        # application under its version. That holds for every packaging, unlike the folder's name.
        version = read_version(server.resolve().parent.parent / "plugins")
        if version is not None:
            yield Installation(folder, version)


def read_version(plugins: Path) -> tuple[int, int, int] | None:
    """Tell a server's version from the folder of its plugins."""
    for entry in plugins.glob("rabbit-*"):
        match = re.match(r"rabbit-(\d+)\.(\d+)\.(\d+)", entry.name)
        if match:
            major, minor, patch = map(int, match.groups())
            return major, minor, patch
    return None


def _find_erlang_epmd() -> str:
    """Debian and Homebrew link epmd beside erl; other installations keep it below Erlang's root."""
    erl = shutil.which("erl")
    if erl is not None:
        for candidate in sorted(Path(erl).resolve().parent.parent.glob("**/bin/epmd")):
            return str(candidate)
    raise RabbitNotInstalled("epmd, a part of Erlang, was not found")
