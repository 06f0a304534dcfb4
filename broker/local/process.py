"""Starting processes that end with the one that started them.

Not here: what is run, and how it is stopped.
"""

import shutil


def ending_with_us(command: list[str]) -> list[str]:
    """Wrap a command so that the kernel kills its process when the starting thread ends.

    Linux only, where util-linux is installed: elsewhere (macOS) the command is unchanged, and what
    it starts outlives a killed starter. The wish survives exec, so it reaches the program that a
    start script becomes; it does not reach that program's own children.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command
