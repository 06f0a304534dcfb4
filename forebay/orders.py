"""What a handler may order besides, as values and as the JSON that fronts read.

Rules
- The JSON is the server's own form for orders, field by field.
- An order is for all sessions of a user, or for one client of it; it needs one of the two.
"""

from __future__ import annotations

from typing import Final

import msgspec

WHO_BYTES_AT_MOST: Final = 1_000
"""Of a user and a client together."""


class _Order(msgspec.Struct, frozen=True, tag_field="order", omit_defaults=True, kw_only=True):
    user: str = ""
    """Whose sessions; with an empty one, the client alone says whose."""
    client: str = ""
    """One of them; empty for all."""

    def __post_init__(self) -> None:
        if not (self.user or self.client):
            raise ValueError("a user or a client is needed")
        if len(self.user.encode()) + len(self.client.encode()) > WHO_BYTES_AT_MOST:
            raise ValueError(f"a user and a client have at most {WHO_BYTES_AT_MOST} bytes")


class SendOrder(_Order, frozen=True, tag="send", kw_only=True):
    """Push a message that belongs to no channel."""

    data: msgspec.Raw


class DisconnectOrder(_Order, frozen=True, tag="disconnect", kw_only=True):
    """End sessions."""

    code: int = 3503
    reason: str = "force disconnect"


class UnsubscribeOrder(_Order, frozen=True, tag="unsubscribe", kw_only=True):
    """End subscriptions."""

    channel: str = ""
    """Empty for all of the session's."""


class SubscribeOrder(_Order, frozen=True, tag="subscribe", kw_only=True):
    """Put sessions into a channel, as if their token had."""

    channel: str
    info: msgspec.Raw | None = None
    data: msgspec.Raw | None = None
    expire_at: float = 0.0
    """Unix seconds; 0 for never."""


class RefreshOrder(_Order, frozen=True, tag="refresh", kw_only=True):
    """Change when sessions expire."""

    expire_at: float = 0.0
    """Unix seconds; 0 for never."""
    is_expired: bool = msgspec.field(default=False, name="expired")
    """At once."""


Order = SendOrder | DisconnectOrder | UnsubscribeOrder | SubscribeOrder | RefreshOrder

_encoder = msgspec.json.Encoder()


def encode_order(order: Order) -> bytes:
    """Write an order as fronts read it."""
    return _encoder.encode(order)
