"""What a front asks before it lets a client in or into a channel, as values and as JSON.

A `Task` of kind CONNECT, SUBSCRIBE or DISCONNECT has one of these as its data, and the answer to
the first two another as its own:

    CONNECT      ConnectAsk    ──▶ ConnectReply
    SUBSCRIBE    SubscribeAsk  ──▶ SubscribeReply
    DISCONNECT   LeaveNote

Rules
- An answer PASSED lets the client in as its token and the settings say; REPLIED has a reply, of
  which each field that is not None takes the place of what the token says; REFUSED is an error
  reply if its code is below `DISCONNECT_CODES`, and from there on ends the session with it.
- New fields have a default; what is not known here is ignored, for it may be a later version's.
- Nothing secret is asked: no token, and of the headers those alone that the settings name.
- Imports nothing but msgspec, for fronts import it too.

Not here: who is asked at all, how long a front waits, and what it does without an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

DISCONNECT_CODES: Final = 3_000
"""Codes from here on end a session, as in the protocol; those below are errors of one command."""


# msgspec reads nothing but null into `Raw | None`. Read as Raw, a part that is there is raw JSON,
# `null` too, and one that is missing has its default, None.
if TYPE_CHECKING:
    Part = msgspec.Raw | None
else:
    Part = msgspec.Raw


class _Value(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    pass


class ConnectAsk(_Value, frozen=True, kw_only=True):
    """May this client connect, and as whom?"""

    user: str = ""
    """As its valid token says; empty without one. An invalid token is refused before."""
    client: str = ""
    """The id that its session will have."""
    info: Part = None
    """What its token says that others see."""
    has_token: bool = False
    data: Part = None
    """What it sent with its connect. Always JSON: a client whose data is none is refused before."""
    name: str = ""
    """Of its SDK, as it says."""
    version: str = ""
    transport: str = ""
    """As in the front's metrics: `websocket`, `sse`, …"""
    remote: str = ""
    """Its address, as the front's settings say whose word on it counts."""
    origin: str = ""
    """Of the page it runs in; empty if it said none."""
    headers: dict[str, str] = {}
    """Of its request, those that the settings name; names in lower case."""


class ServerSubscription(_Value, frozen=True, kw_only=True):
    """A channel that a client is put into as it connects."""

    info: Part = None
    """What the others in the channel see beside the client."""
    data: Part = None
    """What the client is told with it."""
    override: dict[str, bool] = {}
    """Namespace options that a subscription token may change too."""


class ConnectReply(_Value, frozen=True, kw_only=True):
    """It may. A field that is None stays as the token and the settings say."""

    user: str | None = None
    """Empty for an anonymous client."""
    info: Part = None
    """What others see of it."""
    data: Part = None
    """What the client is told with the reply."""
    expire_at: float | None = None
    """Unix seconds; 0 for never."""
    subs: dict[str, ServerSubscription] = {}
    """By channel, besides those of the token."""


class SubscribeAsk(_Value, frozen=True, kw_only=True):
    """May this client have this channel?"""

    channel: str
    user: str = ""
    client: str = ""
    info: Part = None
    """What others see of the client in every channel."""
    has_token: bool = False
    """It came with a valid subscription token."""
    data: Part = None
    """What it sent with its subscribe. Always JSON, as in `ConnectAsk`."""


class SubscribeReply(_Value, frozen=True, kw_only=True):
    """It may. A field that is None stays as the token and the settings say."""

    info: Part = None
    """What the others in the channel see beside the client."""
    data: Part = None
    """What the client is told with the reply."""
    expire_at: float | None = None
    """Unix seconds; 0 for never."""
    override: dict[str, bool] = {}
    """Namespace options that a subscription token may change too."""


class LeaveNote(_Value, frozen=True, kw_only=True):
    """A client has left; who it was is the task's sender."""

    code: int = 0
    """As in a close frame: 3000 and above the server's or the team's, 0 if nobody said."""
    reason: str = ""


Hook = ConnectAsk | ConnectReply | SubscribeAsk | SubscribeReply | LeaveNote
_Kind = TypeVar("_Kind", bound=Hook)

_encoder = msgspec.json.Encoder()
_decoders: Final[dict[type, msgspec.json.Decoder[Hook]]] = {
    kind: msgspec.json.Decoder(kind)
    for kind in (ConnectAsk, ConnectReply, SubscribeAsk, SubscribeReply, LeaveNote)
}


def encode_hook(value: Hook) -> bytes:
    """Write one as a task's or an answer's data."""
    return _encoder.encode(value)


def decode_hook(data: bytes, kind: type[_Kind]) -> _Kind:
    """Read a task's or an answer's data.

    Raises:
        msgspec.DecodeError: it is none of that kind.
        UnicodeDecodeError: it is no text.
    """
    value = _decoders[kind].decode(data)
    assert isinstance(value, kind)  # each decoder gives the type it was made for
    return value
