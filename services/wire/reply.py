"""What a client is told: results of commands and pushes, the same values for every encoding.

Rules
- A field with its zero value is left out, except those without a default here: the SDKs need them.
- Payloads are raw, on one line (`payload.one_line`), in the encoding of the session.
- `publications` holds what the same codec's `encode_publication` made: history, recovery and live
  delivery share the same bytes.

Not here: bytes (the codecs), errors and codes (`errors`).
"""

from __future__ import annotations

import msgspec

from services.wire.errors import Disconnect, Unsubscribed, may_reconnect

Payload = msgspec.Raw


class ClientInfo(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Who a client is, as others see it."""

    user: str
    client: str
    conn_info: Payload | None = None
    chan_info: Payload | None = None


class SubscribeResult(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The answer to a subscribe; also an entry of `ConnectResult.subs`."""

    expires: bool = False
    ttl: int = 0
    recoverable: bool = False
    epoch: str = ""
    publications: list[Payload] = []
    recovered: bool = False
    offset: int = 0
    positioned: bool = False
    data: Payload | None = None
    was_recovering: bool = False
    delta: bool = False


class ConnectResult(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The answer to a connect; on one-way transports the `connect` push."""

    client: str
    version: str
    expires: bool = False
    ttl: int = 0
    data: Payload | None = None
    subs: dict[str, SubscribeResult] = {}
    ping: int = 0
    pong: bool = False
    session: str = ""
    node: str = ""
    time: int = 0


class UnsubscribeResult(msgspec.Struct, frozen=True, gc=False):
    """Empty: the subscription has ended."""


class PublishResult(msgspec.Struct, frozen=True, gc=False):
    """Empty: the publication was made."""


class PresenceResult(msgspec.Struct, frozen=True, gc=False):
    """Who is in a channel, by client id."""

    presence: dict[str, ClientInfo] | dict[str, Payload]
    """Raw where it came from another front, which encoded it."""


class PresenceStatsResult(msgspec.Struct, frozen=True, gc=False):
    """How many are in a channel."""

    num_clients: int
    num_users: int


class HistoryResult(msgspec.Struct, frozen=True, gc=False):
    """Publications kept, and where the channel stands."""

    publications: list[Payload]
    epoch: str
    offset: int


class RPCResult(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the method returned."""

    data: Payload | None = None


class RefreshResult(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How long the new connection token holds."""

    client: str
    version: str
    expires: bool = False
    ttl: int = 0


class SubRefreshResult(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How long the new subscription token holds."""

    expires: bool = False
    ttl: int = 0


Result = (
    ConnectResult
    | SubscribeResult
    | UnsubscribeResult
    | PublishResult
    | PresenceResult
    | PresenceStatsResult
    | HistoryResult
    | RPCResult
    | RefreshResult
    | SubRefreshResult
)


class JoinPush(msgspec.Struct, frozen=True, gc=False):
    """A client came into a channel."""

    info: ClientInfo | Payload


class LeavePush(msgspec.Struct, frozen=True, gc=False):
    """A client left a channel."""

    info: ClientInfo | Payload


class UnsubscribePush(msgspec.Struct, frozen=True, gc=False):
    """The server ends a subscription."""

    code: int
    reason: str

    @classmethod
    def because(cls, why: Unsubscribed) -> UnsubscribePush:
        """The push for an entry of the code table."""
        return cls(why.code, why.text)


class SubscribePush(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The server subscribes the session while it runs."""

    recoverable: bool = False
    epoch: str = ""
    offset: int = 0
    positioned: bool = False
    data: Payload | None = None


class MessagePush(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A message to this session alone, in no channel."""

    data: Payload | None = None


class RefreshPush(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The server changed when the session expires."""

    expires: bool = False
    ttl: int = 0


class DisconnectPush(msgspec.Struct, frozen=True, gc=False):
    """The session ends; for transports without a close frame."""

    code: int
    reason: str
    reconnect: bool

    @classmethod
    def because(cls, why: Disconnect) -> DisconnectPush:
        """The push for an entry of the code table."""
        return cls(why.code, why.text, why.may_reconnect)

    @classmethod
    def custom(cls, code: int, reason: str) -> DisconnectPush:
        """The push for a code of the operator's own."""
        return cls(code, reason, may_reconnect(code))


Push = (
    JoinPush
    | LeavePush
    | UnsubscribePush
    | SubscribePush
    | MessagePush
    | RefreshPush
    | DisconnectPush
    | ConnectResult
)

# The protocol's key of each push; a publication has a path of its own (`encode_publication`).
PUSHES: dict[type[Push], str] = {
    JoinPush: "join",
    LeavePush: "leave",
    UnsubscribePush: "unsubscribe",
    SubscribePush: "subscribe",
    MessagePush: "message",
    RefreshPush: "refresh",
    DisconnectPush: "disconnect",
    ConnectResult: "connect",
}

RESULTS: dict[type[Result], str] = {
    ConnectResult: "connect",
    SubscribeResult: "subscribe",
    UnsubscribeResult: "unsubscribe",
    PublishResult: "publish",
    PresenceResult: "presence",
    PresenceStatsResult: "presence_stats",
    HistoryResult: "history",
    RPCResult: "rpc",
    RefreshResult: "refresh",
    SubRefreshResult: "sub_refresh",
}
