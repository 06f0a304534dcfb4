"""The process under a test: started once, and asked one thing at a time.

Rules
- It is ours from its first import on, whatever is on the test's own paths.
- It ends when this end of the socket is closed, so also with a test run that was killed.
"""

import math
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from forebay.testing.control import (
    Answer,
    Broke,
    CannotDo,
    Request,
    Rested,
    cut_frame,
    decode_answer,
    encode,
)
from forebay.testing.problems import ServerBroke, SettingsProblem, Unanswered

_ROOT: Final = Path(__file__).resolve().parent.parent.parent

# `-P`, so that what lies in the folder of the test run is not found before anything else.
_PROGRAM: Final = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from services.kit.__main__ import main
sys.exit(main())
"""

_READ_BYTES: Final = 256 * 1024
_LAST_WORDS_BYTES: Final = 8_000

# It ends by itself as soon as it may; after this something is wrong with it.
_END_SECONDS: Final = 5.0


class ServerProcess:
    """One process, and the way to it."""

    def __init__(self) -> None:
        ours, its = socket.socketpair()
        self._socket = ours
        self._buffer = bytearray()
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `end`)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, str(_ROOT), str(its.fileno())],
                pass_fds=(its.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=self._words,
                stderr=self._words,
            )

    @property
    def id(self) -> int:
        """The system's number for it."""
        return self._process.pid

    @property
    def is_well(self) -> bool:
        """Whether it may be asked for more."""
        return self._socket.fileno() != -1 and self._process.poll() is None

    def ask(
        self,
        request: Request,
        sockets: Sequence[socket.socket] = (),
        *,
        patience_seconds: float,
        is_excused: Callable[[], bool],
    ) -> Rested:
        """Have something done, and wait until everything has come to rest.

        If it takes longer than the patience it may take as long again where it `is_excused`.

        Raises:
            SettingsProblem: it cannot be done so; the text says why.
            ServerBroke: it died, or failed.
            Unanswered: it did not answer in time.
        """
        try:
            self._send(encode(request), sockets)
            answer = self._receive(patience_seconds, is_excused)
        except TimeoutError:
            self.end()
            raise Unanswered(
                f"no answer within {patience_seconds:g} s: is a handler waiting for something?"
            ) from None
        except OSError as error:
            raise self._broke(f"it cannot be reached: {error}") from error
        match answer:
            case CannotDo(problems):
                raise SettingsProblem("\n".join(problems))
            case Broke(trace):
                self.end()
                raise ServerBroke(f"the server failed:\n{trace}")
            case Rested():
                return answer

    def end(self) -> None:
        """Have it end, and wait until it has; once is enough, more do no harm."""
        self._socket.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._words.close()

    def _send(self, frame: bytes, sockets: Sequence[socket.socket]) -> None:
        self._socket.settimeout(None)
        sent = 0
        if sockets:
            sent = socket.send_fds(self._socket, [frame], [each.fileno() for each in sockets])
        self._socket.sendall(memoryview(frame)[sent:])

    def _receive(self, patience_seconds: float, is_excused: Callable[[], bool]) -> Answer:
        self._socket.settimeout(patience_seconds if math.isfinite(patience_seconds) else None)
        while (frame := cut_frame(self._buffer)) is None:
            try:
                data = self._socket.recv(_READ_BYTES)
            except TimeoutError:
                if is_excused():
                    continue
                raise
            if not data:
                raise self._broke("it ended")
            self._buffer += data
        return decode_answer(frame)

    def _broke(self, what: str) -> ServerBroke:
        self._socket.close()
        try:
            code: object = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            code = "none yet"
        self._words.seek(0, 2)
        self._words.seek(max(0, self._words.tell() - _LAST_WORDS_BYTES))
        words = self._words.read().decode(errors="replace")
        self.end()
        return ServerBroke(f"the server process: {what} (exit code {code}). It said:\n{words}")
