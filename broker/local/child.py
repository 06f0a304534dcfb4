"""One process of a private node: started in a session of its own, ended with all that it started.

Rules: it ends when we do (on Linux), even if we are killed.

Not here: what is run (node.py, cluster.py).
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from broker.local.process import ending_with_us

POLL_SECONDS = 0.05


class Child:
    """A running process; its output is appended to a file."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], output: Path
    ) -> None:
        with output.open("ab") as file:
            self._process = subprocess.Popen(
                ending_with_us(list(command)),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives (it may be frozen)."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and what else is in its group."""
        if self.is_running:
            os.killpg(self.pid, number)

    async def terminate(self, timeout_seconds: float) -> None:
        """Ask the process to end, and wait, but not for longer."""
        if self.is_running:
            self._process.terminate()
        # Polled rather than awaited: a node belongs to no event loop, so a test may stop in one
        # what a fixture started in another.
        deadline = time.monotonic() + timeout_seconds
        while self.is_running and time.monotonic() < deadline:  # noqa: ASYNC110 - no event to await
            await asyncio.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """End the process at once, and all that it started.

        Erlang's helpers have process groups of their own.
        """
        members = _session_members(self.pid)
        self.signal(signal.SIGKILL)
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()


def _session_members(session: int) -> list[int]:
    """The processes of a session but its leader (Linux; elsewhere none are seen)."""
    members = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # After the command's name, which may hold anything: state, parent, group, session.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and int(entry.name) != session:
            members.append(int(entry.name))
    return members
