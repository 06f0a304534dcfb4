"""A test's server, as the test sees it."""

import math

import msgspec

from forebay.testing.client import Client
from forebay.testing.control import (
    Advance,
    Begin,
    End,
    LookAtDead,
    MakeToken,
    Open,
    Request,
    Rested,
)
from forebay.testing.process import ServerProcess
from forebay.testing.values import DeadLetter, Disconnected


class Server:
    """A front, a worker and a broker of a test's own, whose time stands until it is turned.

    Each call returns when everything that it sets off has come to rest: handlers have run, and what
    they published has reached whoever follows the channel.
    """

    def __init__(self, process: ServerProcess, patience_seconds: float) -> None:
        self._process = process
        self._patience_seconds = patience_seconds
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
            DeadLetter(each.reason, each.explanation, each.kind, each.channel, each.data)
            for each in self.ask(LookAtDead()).dead
        ]

    def client(
        self,
        user: str = "",
        *,
        token: str | None = None,
        info: object = None,
        data: object = None,
        binary: bool = False,
    ) -> Client:
        """Connect a client.

        With a `user` the server signs a token for it, with `info` in it; with a `token` that one is
        used; with neither the client is anonymous. `data` goes with the connect. A `binary` client
        speaks Protobuf: what it publishes and receives is bytes.

        A client that is not let in is not connected: see `Client.refused` and `disconnected`.
        """
        if token is None:
            token = self.token(user, info=info) if user else ""
        number = len(self._clients) + 1
        client = self._clients[number] = Client(number, user, self.ask, is_binary=binary)
        self.ask(Open(number, binary))
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
        self.ask(Advance(total_seconds))

    # ---- for the kit and the clients

    def begin(self, begin: Begin) -> None:
        """Start it.

        Raises:
            SettingsProblem: the settings cannot be used.
        """
        self.ask(begin)

    def end(self) -> None:
        """Stop it."""
        if self._process.is_well:
            self.ask(End())

    def ask(self, request: Request) -> Rested:
        """Have something done, and let clients know what they were told meanwhile."""
        answer = self._process.ask(request, patience_seconds=self._patience_seconds)
        self._now = answer.now
        for told in answer.told:
            self._clients[told.client].hear(told.replies)
        for end in answer.closed:
            self._clients[end.client].disconnected = Disconnected(end.code, end.reason)
        return answer
