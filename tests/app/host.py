"""An app process of its own, and the worker's end of its link."""

import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from forebay.link import (
    LENGTH,
    TASKS_AT_MOST,
    Answer,
    Answers,
    CannotServe,
    Kind,
    Mark,
    Ready,
    Task,
    Tasks,
    ToWorker,
    Verdict,
    decode_to_worker,
    encode,
)

ROOT = Path(__file__).parent.parent.parent
PATIENCE_SECONDS = 10.0


def task(
    number: int,
    data: bytes = b"{}",
    *,
    kind: Kind = Kind.PUBLISH,
    name: str = "chat:1",
    line: str | None = None,
    generation: int = 0,
    sender: bytes = b'{"user":"ada","client":"c1"}',
    is_binary: bool = False,
) -> Task:
    return Task(
        number,
        number % TASKS_AT_MOST,
        name if line is None else line,
        generation,
        kind,
        name,
        sender,
        data,
        f"key-{number}",
        1,
        is_binary,
    )


class HostProcess:
    """What a worker sees of an app process."""

    def __init__(
        self, process: subprocess.Popen[bytes], end: socket.socket, page: mmap.mmap
    ) -> None:
        self.process = process
        self.end = end
        self.page = page
        self._heard = bytearray()

    def give(self, *tasks: Task) -> Self:
        self.end.sendall(encode(Tasks(list(tasks))))
        return self

    def hear(self) -> ToWorker | None:
        """The next message; None if the process has closed its end."""
        while True:
            if len(self._heard) >= LENGTH.size:
                (length,) = LENGTH.unpack_from(self._heard)
                end = LENGTH.size + length
                if len(self._heard) >= end:
                    frame = bytes(self._heard[LENGTH.size : end])
                    del self._heard[:end]
                    return decode_to_worker(frame)
            received = self.end.recv(1 << 18)
            if not received:
                return None
            self._heard += received

    def answers(self, count: int) -> dict[int, Answer]:
        """What became of so many tasks; fewer if the process ends before."""
        found: dict[int, Answer] = {}
        while len(found) < count and (message := self.hear()) is not None:
            assert isinstance(message, Answers)
            said = [Answer(number, Verdict.PASSED) for number in message.passed] + message.others
            for answer in said:
                assert answer.number not in found, "answered twice"
                found[answer.number] = answer
        return found

    def mark(self, number: int) -> Mark:
        return Mark(self.page[number % TASKS_AT_MOST])

    def leave(self) -> int:
        """Close the worker's end; the exit code."""
        self.end.shutdown(socket.SHUT_WR)
        return self.process.wait(PATIENCE_SECONDS)

    def told_to_go(self) -> None:
        self.process.send_signal(signal.SIGTERM)


@contextmanager
def host_of(
    folder: Path,
    code: str | None = None,
    *,
    target: str = "myapp:app",
    timeout: float = 5.0,
    files: Sequence[tuple[str, str]] = (),
    path: str = str(ROOT),
) -> Iterator[HostProcess]:
    """Run an app process in a folder, on what `myapp.py` says there."""
    for name, text in (*files, *([("myapp.py", code)] if code is not None else [])):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE_SECONDS)
    with ours, tempfile.TemporaryFile() as shared, tempfile.TemporaryFile() as output:
        shared.truncate(TASKS_AT_MOST)
        options = ("--app", target, "--timeout", str(timeout))
        numbers = ("--socket-fd", str(theirs.fileno()), "--page-fd", str(shared.fileno()))
        process = subprocess.Popen(
            [sys.executable, "-m", "forebay.host", *options, *numbers],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            pass_fds=(theirs.fileno(), shared.fileno()),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        theirs.close()
        try:
            with mmap.mmap(shared.fileno(), TASKS_AT_MOST) as page:
                yield HostProcess(process, ours, page)
        finally:
            process.kill()
            process.wait()


@contextmanager
def serving(folder: Path, code: str, *, timeout: float = 5.0) -> Iterator[HostProcess]:
    """An app process that has said it is ready."""
    with host_of(folder, code, timeout=timeout) as host:
        ready = host.hear()
        assert isinstance(ready, Ready), ready
        yield host


def why_not(folder: Path, code: str | None, *, target: str = "myapp:app") -> str:
    """Why the app process cannot serve; it has to have ended with code 2."""
    with host_of(folder, code, target=target) as host:
        said = host.hear()
        assert isinstance(said, CannotServe), said
        assert host.process.wait(PATIENCE_SECONDS) == 2
        return said.reason
