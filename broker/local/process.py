"""Starting processes that end with the one that started them, or that see another root.

Not here: what is run, and how it is stopped.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

# The mounts are seen by this process alone, and gone with it.
_ENTER = """set -e
mount -t proc proc "$0/proc"
mount -t tmpfs tmpfs "$0/tmp"
mkdir -p "$0$1"
mount --bind "$1" "$0$1"
root=$0
shift
exec chroot "$root" "$@"
"""


def ending_with_us(command: list[str]) -> list[str]:
    """Wrap a command so that the kernel kills its process when the starting thread ends.

    Linux only, where util-linux is installed: elsewhere (macOS) the command is unchanged, and what
    it starts outlives a killed starter. The wish survives exec, so it reaches the program that a
    start script becomes; it does not reach that program's own children.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command


def below_root(root: Path, shared: Path, command: Sequence[str]) -> list[str]:
    """Wrap a command so that it runs in another system's folder, with `shared` at its own path.

    Linux only, and only as root. The process stays the one that was started.
    """
    enter = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", _ENTER]
    return [*enter, str(root), str(shared), *command]
