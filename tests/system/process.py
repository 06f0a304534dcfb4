"""One real process of Forebay's: started, watched, and ended in the ways processes end.

Rules: none outlives `stop`, nor (on Linux) the test run that started it; what it writes goes to
a file, so that a full pipe never holds it up and a killed one's last words are kept.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

# An orderly shutdown spreads its disconnects over a drain window, which tests set to a second.
STOP_SECONDS = 15.0
ROOT = Path(__file__).parents[2]


class ServerProcess:
    """A `python -m module` in a process group of its own."""

    def __init__(
        self,
        name: str,
        module: str,
        settings: Mapping[str, str],
        directory: Path,
        cwd: Path = ROOT,
        arguments: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._arguments = arguments
        self._cwd = cwd
        self.log_path = directory / f"{name}.log"
        self._module = module
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process lives; a frozen one does."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._child is not None, f"{self.name} was not started"
        return self._child.pid

    def start(self) -> None:
        """Start the process, or start it again; the log goes on in the same file."""
        assert not self.is_running, f"{self.name} runs already"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("FOREBAY_")}
        command = [sys.executable, "-m", self._module, *self._arguments]
        setpriv = shutil.which("setpriv")
        if setpriv is not None:  # Linux: it ends with us, even if we are killed
            command = [setpriv, "--pdeathsig", "KILL", *command]
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                command,
                cwd=self._cwd,
                env={**inherited, **self._settings, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill9(self) -> None:
        """End it at once, as the kernel ends what takes too much memory."""
        self._signal(signal.SIGKILL)
        if self._child is not None:
            self._child.wait()

    def freeze(self) -> None:
        """Stop it from running (SIGSTOP); its sockets stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run again."""
        self._signal(signal.SIGCONT)

    def terminate(self) -> int:
        """Ask it to shut down (SIGTERM), wait until it has, and give its exit status.

        Raises:
            subprocess.TimeoutExpired: it did not.
        """
        assert self._child is not None, f"{self.name} was not started"
        self._child.terminate()
        return self._child.wait(STOP_SECONDS)

    def restart(self) -> None:
        """Kill it, if it lives, and start it again."""
        self.kill9()
        self.start()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Find the lines of its log that report such an event."""
        return [line for line in self._structured_lines() if line.get("event") == name]

    def tail(self, lines: int = 60) -> str:
        """Give the end of its log, for a person who has to find out what went wrong."""
        if not self.log_path.exists():
            return "(no log)"
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def _structured_lines(self) -> Iterator[dict[str, Any]]:
        for line in self.log_path.read_bytes().splitlines():
            if line.startswith(b"{") and line.endswith(b"}"):
                yield orjson.loads(line)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.poll() is None:
            os.killpg(self._child.pid, number)
