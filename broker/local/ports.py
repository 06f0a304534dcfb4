"""Which TCP ports of the loopback interface are free, and who holds those that are not.

Not here: reserving a port. Between finding one free and listening on it another process may take
it; whoever listens then says so.
"""

import random
import socket
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"

# Below the ports that systems give to outgoing connections (from 32768 on Linux, 49152 on macOS). A
# node opens its listeners seconds after they were chosen; of those ports, any connection could
# have taken one by then, our own look at whether it listens included.
RANGE = range(20_000, 32_000)


@dataclass(frozen=True)
class PortOwner:
    """The process that listens on a port, as far as we are allowed to see it."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command})"


def is_free(port: int) -> bool:
    """Whether a listener could be opened on the port now."""
    with socket.socket() as probe:
        # As servers do: connections that linger from an earlier run do not make a port "in use".
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections on the port now."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def find_free(count: int) -> list[int]:
    """Name `count` different ports that are free now, chosen at random.

    Raises:
        OSError: hardly a port of the range is free.
    """
    found: list[int] = []
    for port in random.sample(RANGE, k=len(RANGE)):
        if len(found) == count:
            return found
        if is_free(port):
            found.append(port)
    raise OSError(f"fewer than {count} free ports from {RANGE.start} to {RANGE.stop - 1}")


def find_owner(port: int) -> PortOwner | None:
    """Name the process that listens on the port, or None where the system does not tell us.

    Reads /proc, so it answers None on other systems than Linux and for other users' processes.
    """
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        if _holds_any(process, inodes):
            return PortOwner(int(process.name), _command_of(process))
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            local_port, state = int(columns[1].rpartition(":")[2], 16), columns[3]
            if local_port == port and state == "0A":  # TCP_LISTEN
                inodes.add(f"socket:[{columns[9]}]")
    return inodes


def _holds_any(process: Path, inodes: set[str]) -> bool:
    try:
        for descriptor in (process / "fd").iterdir():
            try:
                if str(descriptor.readlink()) in inodes:
                    return True
            except FileNotFoundError:  # closed while we looked
                continue
    except OSError:  # it ended, or belongs to somebody else
        return False
    return False


def _command_of(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "?"
    return b" ".join(words).decode(errors="replace").strip()[:120] or "?"
