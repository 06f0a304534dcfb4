"""A test's client: what it says, and what it was told."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from forebay.testing.control import Close, Request, Rested, Say
from forebay.testing.problems import NotConnected, NotSubscribed
from forebay.testing.values import Disconnected, Member, Received, Refused

Json = dict[str, Any]

_UNKNOWN_CHANNEL: Final = 102


class Client:
    """A client of a test's server.

    A command that is refused leaves the refusal in `refused`; one that is to give something (`rpc`,
    `history`, `presence`) raises it as well. A command of a client that is not connected raises
    `NotConnected`.
    """

    def __init__(
        self, number: int, user: str, ask: Callable[[Request], Rested], *, is_binary: bool
    ) -> None:
        self.user: Final = user
        self.id = ""
        """The server's name for it, once it is connected."""
        self.refused: Refused | None = None
        """What the last command was refused with; None if it was not."""
        self.disconnected: Disconnected | None = None
        """How the server ended the session, if it did."""
        self.pushes: list[Json] = []
        """All that it was told unasked, as in the client protocol: `{"channel": …, "pub": …}`."""
        self._number = number
        self._ask_server = ask
        self._is_binary = is_binary
        self._last_id = 0
        self._replies: dict[int, Json] = {}
        self._received: dict[str, list[Received]] = {}
        self._denials: dict[str, Refused | None] = {}
        self._is_gone = False

    def __repr__(self) -> str:
        return f"<client {self._number} of user {self.user!r}>"

    @property
    def is_connected(self) -> bool:
        """Whether it was let in, and is still there."""
        return bool(self.id) and self.disconnected is None and not self._is_gone

    @property
    def messages(self) -> list[Any]:
        """What it was sent that belongs to no channel, oldest first."""
        return [
            self._read(push["message"].get("data")) for push in self.pushes if "message" in push
        ]

    def received(self, channel: str) -> list[Any]:
        """Give the data of what it was told in a channel, recovered or live, oldest first.

        Raises:
            NotSubscribed: it never followed the channel, so there was nothing it could receive.
        """
        return [publication.data for publication in self.publications(channel)]

    def publications(self, channel: str) -> list[Received]:
        """Give what it was told in a channel, recovered or live, oldest first.

        Raises:
            NotSubscribed: it never followed the channel, so there was nothing it could receive.
        """
        if channel not in self._received:
            raise NotSubscribed(self._why_not(channel))
        return list(self._received[channel])

    # ---- commands

    def connect(self, token: str = "", data: object = None) -> None:
        """Connect; `Server.client` has done so."""
        request: Json = {"token": token} if token else {}
        result = self._ask("connect", self._with(data, request))
        if result is None:
            return
        self.id = result["client"]
        for channel, subscription in result.get("subs", {}).items():
            self._follow(channel, subscription)

    def subscribe(
        self, channel: str, *, token: str = "", data: object = None, join_leave: bool = False
    ) -> None:
        """Follow a channel; `join_leave` asks to be told who comes and goes."""
        request: Json = {"channel": channel}
        if token:
            request["token"] = token
        if join_leave:
            request["join_leave"] = True
        result = self._command("subscribe", self._with(data, request))
        if result is None:
            self._denials[channel] = self.refused
        else:
            self._follow(channel, result)

    def unsubscribe(self, channel: str) -> None:
        """Follow a channel no longer."""
        self._command("unsubscribe", {"channel": channel})

    def publish(self, channel: str, data: object) -> None:
        """Publish: bytes if the client is binary, else anything that msgspec writes as JSON."""
        self._command("publish", {"channel": channel, "data": self._write(data)})

    def rpc(self, method: str, data: object = None) -> Any:
        """Call a method of the app, and give what it replies.

        Raises:
            Refused: it is refused.
        """
        result = self._query("rpc", self._with(data, {"method": method}))
        return self._read(result.get("data"))

    def send(self, data: object) -> None:
        """Send the app a message, which has no reply."""
        self._verify_is_connected()
        self.refused = None
        self._say({"send": {"data": self._write(data)}})

    def history(self, channel: str, *, limit: int = -1, reverse: bool = False) -> list[Received]:
        """Give what a channel keeps, oldest first or with `reverse` newest first; -1 is all.

        Raises:
            Refused: it is refused.
        """
        request = {"channel": channel, "limit": limit, "reverse": reverse}
        result = self._query("history", request)
        return [self._publication(each) for each in result.get("publications", ())]

    def presence(self, channel: str) -> list[Member]:
        """Give the clients that are in a channel.

        Raises:
            Refused: it is refused.
        """
        result = self._query("presence", {"channel": channel})
        return [self._member(each) for each in result.get("presence", {}).values()]

    def refresh(self, token: str) -> None:
        """Have the session last for as long as a new token says."""
        self._command("refresh", {"token": token})

    def disconnect(self) -> None:
        """Be gone."""
        self._verify_is_connected()
        self._is_gone = True
        self._ask_server(Close(self._number))

    # ---- for the server

    def hear(self, replies: bytes) -> None:
        """Take what the client was told."""
        for line in replies.splitlines():
            reply: Json = msgspec.json.decode(line)
            if "id" in reply:
                self._replies[reply["id"]] = reply
            elif "push" in reply:
                self._take(reply["push"])

    def _take(self, push: Json) -> None:
        self.pushes.append(push)
        channel = push.get("channel", "")
        if "pub" in push:
            self._received.setdefault(channel, []).append(self._publication(push["pub"]))
        elif "subscribe" in push:
            self._received.setdefault(channel, [])

    # ---- how it is done

    def _command(self, method: str, request: Json) -> Json | None:
        """Give the result, or None if it was refused or ended the session."""
        self._verify_is_connected()
        return self._ask(method, request)

    def _query(self, method: str, request: Json) -> Json:
        result = self._command(method, request)
        if result is not None:
            return result
        if self.refused is not None:
            raise self.refused
        raise NotConnected(f"{self!r}: {method} ended its session: {self.disconnected}")

    def _ask(self, method: str, request: Json) -> Json | None:
        self._last_id += 1
        number = self._last_id
        self.refused = None
        try:
            self._say({"id": number, method: request})
        finally:
            # Also if it raises, for a handler that failed: a client is told of that too.
            reply = self._replies.pop(number, {})
            if "error" in reply:
                error = reply["error"]
                self.refused = Refused(error["code"], error.get("message", ""))
        result: Json | None = reply.get(method)
        return result

    def _say(self, command: Json) -> None:
        self._ask_server(Say(self._number, msgspec.json.encode(command)))

    def _verify_is_connected(self) -> None:
        if self.is_connected:
            return
        if self._is_gone:
            why = "it has disconnected"
        elif self.disconnected is not None:
            why = f"the server ended its session: {self.disconnected}"
        else:
            why = f"it was not let in: {self.refused}"
        raise NotConnected(f"{self!r} is not connected: {why}")

    def _why_not(self, channel: str) -> str:
        denial = self._denials.get(channel)
        if denial is None:
            return f"{self!r} has not subscribed to {channel!r}"
        hint = ""
        if denial.code == _UNKNOWN_CHANNEL:
            hint = "; the settings have no such [[namespace]]"
        return f"{self!r} does not follow {channel!r}: its subscribe was refused: {denial}{hint}"

    def _follow(self, channel: str, result: Json) -> None:
        received = self._received.setdefault(channel, [])
        received += [self._publication(each) for each in result.get("publications", ())]

    def _publication(self, value: Mapping[str, Any]) -> Received:
        info = value.get("info")
        return Received(
            self._read(value.get("data")),
            value.get("offset", 0),
            None if info is None else self._member(info),
            value.get("tags", {}),
        )

    def _member(self, value: Mapping[str, Any]) -> Member:
        infos = [value.get(name) for name in ("conn_info", "chan_info")]
        if self._is_binary:
            infos = [
                None if each is None else msgspec.json.decode(base64.b64decode(each))
                for each in infos
            ]
        return Member(value.get("user", ""), value.get("client", ""), *infos)

    def _with(self, data: object, request: Json) -> Json:
        return request if data is None else {**request, "data": self._write(data)}

    def _write(self, data: object) -> object:
        if self._is_binary:
            if not isinstance(data, bytes):
                raise TypeError(f"a binary client's data is bytes, not {type(data).__name__}")
            return base64.b64encode(data).decode()
        if isinstance(data, bytes | bytearray | memoryview):
            raise TypeError("bytes are for binary clients; JSON as it is goes as msgspec.Raw(…)")
        return msgspec.Raw(msgspec.json.encode(data))

    def _read(self, data: Any) -> Any:
        return base64.b64decode(data) if self._is_binary and isinstance(data, str) else data
