"""What a client may ask: one value for each command, the same for every encoding.

Rules
- A field that is missing has its zero value; an unknown field is ignored.
- Payloads stay as the bytes the client sent (`msgspec.Raw`; `bytes(raw)` copies them out). A
  missing payload is empty, an explicit `null` is `b"null"`.

Not here: bytes (the codecs), which command is legal when (the session), who may (permissions).
"""

from __future__ import annotations

from enum import IntFlag

import msgspec

Payload = msgspec.Raw

EMPTY = msgspec.Raw(b"")


class SubscribeFlag(IntFlag):
    """Bits of `SubscribeRequest.flag`; all others are ignored."""

    CHANNEL_COMPACTION = 1
    REJECT_UNRECOVERED = 2


class Position(msgspec.Struct, frozen=True, gc=False):
    """A place in a channel's history."""

    offset: int = 0
    epoch: str = ""


class SubscribeRequest(msgspec.Struct, frozen=True, gc=False):
    """Follow a channel, or take it up again at a position."""

    channel: str = ""
    token: str = ""
    recover: bool = False
    epoch: str = ""
    offset: int = 0
    data: Payload = EMPTY
    positioned: bool = False
    recoverable: bool = False
    join_leave: bool = False
    delta: str = ""
    tf: Payload = EMPTY
    flag: int = 0
    type: int = 0
    phase: int = 0
    cursor: str = ""
    limit: int = 0
    asc: bool = False


class ConnectRequest(msgspec.Struct, frozen=True, gc=False):
    """Begin the session. `subs` holds positions in server-side subscriptions."""

    token: str = ""
    data: Payload = EMPTY
    subs: dict[str, SubscribeRequest] = {}
    name: str = ""
    version: str = ""
    headers: dict[str, str] = {}
    flag: int = 0
    profile: str = ""
    dictionary: str = msgspec.field(default="", name="dict")


class UnsubscribeRequest(msgspec.Struct, frozen=True, gc=False):
    """Stop following a channel."""

    channel: str = ""


class PublishRequest(msgspec.Struct, frozen=True, gc=False):
    """Publish `data` into a channel."""

    channel: str = ""
    data: Payload = EMPTY
    type: int = 0
    key: str = ""
    removed: bool = False


class PresenceRequest(msgspec.Struct, frozen=True, gc=False):
    """Who is in a channel."""

    channel: str = ""


class PresenceStatsRequest(msgspec.Struct, frozen=True, gc=False):
    """How many are in a channel."""

    channel: str = ""


class HistoryRequest(msgspec.Struct, frozen=True, gc=False):
    """Publications a channel keeps, after (with `reverse`: before) `since`; None: from the end."""

    channel: str = ""
    limit: int = 0
    since: Position | None = None
    reverse: bool = False


class PingRequest(msgspec.Struct, frozen=True, gc=False):
    """A ping by the client, which no SDK sends: the answer is a disconnect, bad request."""


class SendRequest(msgspec.Struct, frozen=True, gc=False):
    """A message to the server that wants no reply."""

    data: Payload = EMPTY


class RPCRequest(msgspec.Struct, frozen=True, gc=False):
    """Call a method of the server."""

    data: Payload = EMPTY
    method: str = ""


class RefreshRequest(msgspec.Struct, frozen=True, gc=False):
    """A new connection token."""

    token: str = ""


class SubRefreshRequest(msgspec.Struct, frozen=True, gc=False):
    """A new subscription token. `channel` may be empty: old SDKs leave it to the token to say."""

    channel: str = ""
    token: str = ""
    type: int = 0
    track: list[Payload] = []
    untrack: list[str] = []


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """A command one can answer but not carry out: its id and method are clear, its request is not.

    The answer is error 107 with `why`. Browsers send such: `JSON.stringify` of a string cut within
    an emoji makes a lone surrogate. `why` holds no content of the frame.
    """

    method: str
    why: str


Request = (
    ConnectRequest
    | SubscribeRequest
    | UnsubscribeRequest
    | PublishRequest
    | PresenceRequest
    | PresenceStatsRequest
    | HistoryRequest
    | PingRequest
    | SendRequest
    | RPCRequest
    | RefreshRequest
    | SubRefreshRequest
    | Malformed
)

# The protocol's name of each request, which is also the key of its result in the reply.
METHODS: dict[type[Request], str] = {
    ConnectRequest: "connect",
    SubscribeRequest: "subscribe",
    UnsubscribeRequest: "unsubscribe",
    PublishRequest: "publish",
    PresenceRequest: "presence",
    PresenceStatsRequest: "presence_stats",
    HistoryRequest: "history",
    PingRequest: "ping",
    SendRequest: "send",
    RPCRequest: "rpc",
    RefreshRequest: "refresh",
    SubRefreshRequest: "sub_refresh",
}


class Command(msgspec.Struct, frozen=True, gc=False):
    """One command with the id its reply carries. Without a request it is a pong."""

    id: int
    request: Request | None

    @property
    def is_pong(self) -> bool:
        """Whether this answers the server's ping."""
        return self.request is None


PONG = Command(0, None)


def method_of(request: Request) -> str:
    """The protocol's name of a request, a malformed one's included."""
    return request.method if isinstance(request, Malformed) else METHODS[type(request)]
