"""What fronts are told to do with their clients, as values and as JSON: `{"order": …, "user": …}`.

An order is an entry: it waits in the pool, comes back in the log, and every front carries it out
for the sessions it has, in the order of the log.

Rules
- An order is for the sessions of one user, or for one client of it; it needs one of the two.
- Who came after an order was carried out is not meant by it.
- New fields have a default; what is not known here is ignored, for it may be a later version's.

Not here: who may give orders, and carrying them out (`services.front.ordering`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from broker.partition import Partition, partition_number
from services.wire.errors import Disconnect, Unsubscribed

# msgspec reads nothing but null into `Raw | None`; a part that is missing has its default, None.
if TYPE_CHECKING:
    _Part = msgspec.Raw | None
else:
    _Part = msgspec.Raw

_USER_BYTES_AT_MOST = 1_000


class _Order(msgspec.Struct, frozen=True, tag_field="order", omit_defaults=True, kw_only=True):
    user: str = ""
    """Whose sessions; with an empty one, the client alone says whose."""
    client: str = ""
    """One of them; empty for all."""


class SendOrder(_Order, frozen=True, tag="send", kw_only=True):
    """Push a message that belongs to no channel."""

    data: msgspec.Raw


class DisconnectOrder(_Order, frozen=True, tag="disconnect", kw_only=True):
    """End sessions."""

    code: int = Disconnect.FORCED.code
    reason: str = Disconnect.FORCED.text


class UnsubscribeOrder(_Order, frozen=True, tag="unsubscribe", kw_only=True):
    """End subscriptions."""

    channel: str = ""
    """Empty for all of the session's."""
    code: int = Unsubscribed.BY_SERVER.code
    reason: str = Unsubscribed.BY_SERVER.text


class SubscribeOrder(_Order, frozen=True, tag="subscribe", kw_only=True):
    """Put sessions into a channel, as if their token had."""

    channel: str
    info: _Part = None
    """What the others in the channel see beside the client."""
    data: _Part = None
    """What the client is told with it."""
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
_decoder: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)


class NoOrder(Exception):
    """It is no order, or not for anybody; the text says why, and holds nothing of it."""


def encode_order(order: Order) -> bytes:
    """Write an order as an entry's payload."""
    return _encoder.encode(order)


def decode_order(payload: bytes) -> Order:
    """Read an entry's payload.

    Raises:
        NoOrder: it is none, or none that can be carried out.
    """
    try:
        order = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NoOrder("no order that is known here") from None
    if not (order.user or order.client):
        raise NoOrder("an order needs a user or a client")
    if len(order.user.encode()) + len(order.client.encode()) > _USER_BYTES_AT_MOST:
        raise NoOrder(f"a user and a client have at most {_USER_BYTES_AT_MOST} bytes")
    return order


def partition_of_order(order: Order, lane: str, partitions: int) -> Partition:
    """Tell in which partition an order waits: all of one user's in the same, and so in order."""
    return Partition(lane, partition_number(order.user or order.client, partitions))
