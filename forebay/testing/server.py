"""A test's server, as the test sees it."""

import math
import socket
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from forebay.testing.client import Client
from forebay.testing.control import (
    Advance,
    Begin,
    End,
    Failed,
    LookAtDead,
    MakeToken,
    Open,
    Request,
    Rested,
)
from forebay.testing.hosting import Hosted
from forebay.testing.problems import HandlerFailed, Unanswered
from forebay.testing.process import ServerProcess
from forebay.testing.values import DeadLetter, Disconnected

# A process has to start, perhaps beside many others, and no handler has a part in it.
_START_SECONDS: Final = 60.0


class Server:
    """A front, a worker and a broker of a test's own, whose time stands until it is turned.

    Each call returns when everything that it sets off has come to rest: handlers have run, and what
    they published has reached whoever follows the channel.
    """

    def __init__(
        self, process: ServerProcess, patience_seconds: float, *, raises_failures: bool
    ) -> None:
        self.failures: Final[list[HandlerFailed]] = []
        """Handlers that failed in all their tries, oldest first; each `__cause__` is why."""
        self._process = process
        self._patience_seconds = patience_seconds
        self._raises_failures = raises_failures
        self._hosted: Hosted | None = None
        self._clients: dict[int, Client] = {}
        self._now = 0.0

    @property
    def now(self) -> float:
        """Unix seconds, as this server sees them; what a token of your own should go by."""
        return self._now

    @property
    def process_id(self) -> int:
        """The process that it runs in."""
        return self._process.id

    @property
    def dead(self) -> list[DeadLetter]:
        """What could not be handled, oldest first."""
        return [
            DeadLetter(
                each.reason, each.explanation, each.kind, each.channel, each.data, each.attempts
            )
            for each in self.ask(LookAtDead()).dead
        ]

    def client(
        self,
        user: str = "",
        *,
        token: str | None = None,
        info: object = None,
        data: object = None,
        headers: Mapping[str, str] | None = None,
        binary: bool = False,
    ) -> Client:
        """Connect a client.

        With a `user` the server signs a token for it, with `info` in it; with a `token` that one is
        used; with neither the client is anonymous. `data` goes with the connect, and `headers` with
        its request. A `binary` client speaks Protobuf: what it publishes and receives is bytes.

        A client that is not let in is not connected: see `Client.refused` and `disconnected`.
        """
        if token is None:
            token = self.token(user, info=info) if user else ""
        number = len(self._clients) + 1
        client = self._clients[number] = Client(number, user, self.ask, is_binary=binary)
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        self.ask(Open(number, binary, lowered))
        client.connect(token, data)
        return client

    def token(
        self, user: str, *, channel: str = "", info: object = None, expires_in: float = 0.0
    ) -> str:
        """Sign a connection token, or with `channel` a subscription token, with the settings' key.

        It expires after so many seconds of this server's time; 0 is never.
        """
        encoded = b"" if info is None else msgspec.json.encode(info)
        return self.ask(MakeToken(user, channel, encoded, expires_in)).token

    def advance(self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0) -> None:
        """Let time pass."""
        total_seconds = seconds + minutes * 60 + hours * 3600
        if not (math.isfinite(total_seconds) and total_seconds >= 0):
            raise ValueError(f"time does not pass by {total_seconds} seconds")
        self.ask(Advance(total_seconds), extra_seconds=total_seconds / 3600)

    # ---- for the kit and the clients

    def begin(self, begin: Begin, hosted: Hosted | None = None, *its: socket.socket) -> None:
        """Start it; with an app that is being served by the other end of a socket.

        Raises:
            SettingsProblem: the settings cannot be used.
        """
        self._hosted = hosted
        self._now = self._ask(begin, its, patience_seconds=_START_SECONDS).now

    def end(self) -> None:
        """Stop it, and then its app."""
        if self._process.is_well:
            self._ask(End())
            if self._hosted is not None:
                self._hosted.end()

    def ask(self, request: Request, *, extra_seconds: float = 0.0) -> Rested:
        """Have something done, and let clients know what they were told meanwhile.

        It may take longer than the test's patience by `extra_seconds`.

        Raises:
            HandlerFailed: a handler did.
        """
        answer = self._ask(request, patience_seconds=self._patience_seconds + extra_seconds)
        self._now = answer.now
        for told in answer.told:
            self._clients[told.client].hear(told.replies)
        for end in answer.closed:
            self._clients[end.client].disconnected = Disconnected(end.code, end.reason)
        failures = [self._note(failed) for failed in answer.failed]
        if failures and self._raises_failures:
            raise failures[0]
        return answer

    def _ask(
        self,
        request: Request,
        sockets: Sequence[socket.socket] = (),
        *,
        patience_seconds: float | None = None,
    ) -> Rested:
        try:
            return self._process.ask(
                request,
                sockets,
                patience_seconds=patience_seconds or self._patience_seconds,
                is_excused=lambda: self._hosted is not None and self._hosted.is_debugged,
            )
        except Unanswered as error:
            if self._hosted is not None:
                error.add_note(f"The app is here:\n{self._hosted.stack()}")
            raise

    def _note(self, failed: Failed) -> HandlerFailed:
        failure = HandlerFailed(
            failed.kind, failed.name, failed.attempts, failed.text, failed.trace
        )
        if self._hosted is not None:
            failure.__cause__ = self._hosted.raised.take(failed.kind, failed.key)
        self.failures.append(failure)
        return failure
