"""What a handler is given: who asks for what, and what else is to be done.

Rules
- Nothing is parsed before somebody looks at it, unless the handler says which type it wants.
- What a handler does besides is kept in the event. It comes to be with the handler's outcome, in
  one piece with it: not at all if the handler fails, once however often it is tried.

Not here: which handler is called (`forebay.app`), reading into types (`forebay.payload`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic

import msgspec

from forebay.hooks import ConnectAsk, LeaveNote, SubscribeAsk, decode_hook
from forebay.link import SIDES_AT_MOST, Side, SideKind, Task
from forebay.orders import (
    DisconnectOrder,
    Order,
    RefreshOrder,
    SendOrder,
    SubscribeOrder,
    UnsubscribeOrder,
    encode_order,
)
from forebay.outcome import check_disconnect
from forebay.payload import (
    UNFIT,
    Read,
    encode_json,
    encode_part,
    explain,
    read_bytes,
    reader_of,
    unix_seconds,
)

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    # PEP 696: `Publication` alone is `Publication[Any]`. Python knows this from 3.13 on.
    T_co = TypeVar("T_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)

CHANNEL_BYTES_AT_MOST: Final = 255


class _Sender(msgspec.Struct, frozen=True, gc=False):
    """Who asks, as others see it."""

    user: str = ""
    client: str = ""
    conn_info: Any = None
    chan_info: Any = None


_NOBODY: Final = _Sender()
_read_sender: Final = msgspec.json.Decoder(_Sender | None).decode
_read_anything: Final = reader_of(Any)


class Event:
    """What all events have. `key` and `attempt` tell one try of one entry from all others."""

    __slots__ = ("_known_sender", "_task", "sides")

    _known_sender: _Sender

    def __init__(self, task: Task) -> None:
        self._task = task
        self.sides: list[Side] | None = None
        """What is to be done besides, so far; the host takes it with the answer."""

    @property
    def _sender(self) -> _Sender:
        try:
            return self._known_sender
        except AttributeError:
            self._known_sender = _read_sender(self._task.sender) or _NOBODY
            return self._known_sender

    @property
    def user(self) -> str:
        """Who asks; empty for an anonymous client, and for what no client asked."""
        return self._sender.user

    @property
    def client(self) -> str:
        """The id of its session; empty for what no client asked."""
        return self._sender.client

    @property
    def conn_info(self) -> Any:
        """What others see of the client, as its token says; None if nothing."""
        return self._sender.conn_info

    @property
    def key(self) -> str:
        """The same in each try of the same entry, and in no other entry.

        Empty for connect and subscribe, which are tried once.
        """
        return self._task.key

    @property
    def attempt(self) -> int:
        """Which try this is, from 1."""
        return self._task.attempt


class Acting(Event):
    """An event in whose handler one can do more than answer. None of it waits."""

    __slots__ = ()

    def publish(self, channel: str, data: object) -> None:
        """Publish to a channel, by nobody: no handler looks at it.

        Bytes are for channels whose data is binary; all else is written as JSON.

        Raises:
            TypeError: the data cannot be written as JSON.
            ValueError: the same, or no channel has this name, or it is more than may be done.
        """
        if not 0 < len(channel.encode()) <= CHANNEL_BYTES_AT_MOST:
            raise ValueError(f"a channel's name has 1 to {CHANNEL_BYTES_AT_MOST} bytes")
        payload = data if isinstance(data, bytes) else encode_json(data)
        self._do(Side(SideKind.PUBLISH, channel, payload))

    def send(self, user: str, data: object, *, client: str = "") -> None:
        """Push a message that belongs to no channel to a user's sessions, or to one of them.

        Raises:
            TypeError: the data cannot be written as JSON.
            ValueError: the same, or neither user nor client is given.
        """
        self._order(SendOrder(user=user, client=client, data=msgspec.Raw(encode_json(data))))

    def disconnect(
        self,
        user: str,
        *,
        client: str = "",
        code: int = 3503,
        reason: str = "force disconnect",
    ) -> None:
        """End a user's sessions, or one of them. Codes are those of `forebay.Disconnect`.

        Raises:
            ValueError: neither user nor client is given, or code or reason cannot be.
        """
        check_disconnect(code, reason)
        self._order(DisconnectOrder(user=user, client=client, code=code, reason=reason))

    def unsubscribe(self, user: str, channel: str, *, client: str = "") -> None:
        """End a user's subscriptions to a channel.

        Raises:
            ValueError: neither user nor client is given.
        """
        self._order(UnsubscribeOrder(user=user, client=client, channel=channel))

    def subscribe(
        self,
        user: str,
        channel: str,
        *,
        client: str = "",
        info: object = None,
        data: object = None,
        expire_at: float | datetime = 0,
    ) -> None:
        """Put a user's sessions into a channel, as if their token had.

        Raises:
            TypeError: info or data cannot be written as JSON.
            ValueError: the same, or neither user nor client is given.
        """
        order = SubscribeOrder(
            user=user,
            client=client,
            channel=channel,
            info=encode_part(info),
            data=encode_part(data),
            expire_at=unix_seconds(expire_at),
        )
        self._order(order)

    def refresh(self, user: str, *, client: str = "", expire_at: float | datetime = 0) -> None:
        """Change when a user's sessions expire; 0 for never.

        Raises:
            ValueError: neither user nor client is given, or the time has no zone.
        """
        self._order(RefreshOrder(user=user, client=client, expire_at=unix_seconds(expire_at)))

    def expire(self, user: str, *, client: str = "") -> None:
        """Let a user's sessions expire now: they are ended with 3005, and SDKs come back at once.

        Who comes back has to have a token that lasts still, and the connect handler is asked again.

        Raises:
            ValueError: neither user nor client is given.
        """
        self._order(RefreshOrder(user=user, client=client, is_expired=True))

    def _order(self, order: Order) -> None:
        self._do(Side(SideKind.ORDER, order.user or order.client, encode_order(order)))

    def _do(self, side: Side) -> None:
        if self.sides is None:
            self.sides = []
        if len(self.sides) >= SIDES_AT_MOST:
            raise ValueError(f"one handler does at most {SIDES_AT_MOST} things besides")
        self.sides.append(side)


class WithData(Event, Generic[T_co]):
    """An event with what the client sent, read when it is first looked at, or before the call."""

    __slots__ = ("_data",)

    @property
    def data(self) -> T_co:
        """What the client sent, as the type that the handler is annotated with.

        Raises:
            InvalidData: without such a type, if it cannot be read at all; let it pass.
        """
        try:
            return self._data
        except AttributeError:
            self.read(read_bytes if self._task.is_binary else _read_anything)
            return self._data

    @property
    def raw(self) -> bytes:
        """What the client sent, byte for byte."""
        return self._task.data

    def read(self, read: Read) -> None:
        """Read what the client sent; the host does it before the handler is called.

        Raises:
            InvalidData: it does not fit.
        """
        try:
            self._data: T_co = read(self.raw)
        except UNFIT as error:
            raise explain(error) from None


class Publication(WithData[T_co], Acting):
    """Somebody publishes to a channel.

    Return None to let it pass, a value to publish that in its place, `SWALLOW` to publish nothing.
    """

    __slots__ = ()

    @property
    def channel(self) -> str:
        """To which it is published."""
        return self._task.name

    @property
    def is_binary(self) -> bool:
        """Whether the channel's data is any bytes, and not JSON."""
        return self._task.is_binary


class Call(WithData[T_co], Acting):
    """A client calls a method. What the handler returns is the reply."""

    __slots__ = ()

    @property
    def method(self) -> str:
        """Which."""
        return self._task.name


class Message(WithData[T_co], Acting):
    """A client sends a message that wants no reply."""

    __slots__ = ()


class Left(Acting):
    """A client's session has ended."""

    __slots__ = ("_note",)

    _note: LeaveNote

    @property
    def _said(self) -> LeaveNote:
        try:
            return self._note
        except AttributeError:
            data = self._task.data
            self._note = decode_hook(data, LeaveNote) if data else LeaveNote()
            return self._note

    @property
    def code(self) -> int:
        """As in a close frame; 0 if nobody said."""
        return self._said.code

    @property
    def reason(self) -> str:
        """As in a close frame."""
        return self._said.reason


class Entering(WithData[T_co]):
    """Somebody wants to be let in: what `Connect` and `Subscribe` have in common."""

    __slots__ = ("_entering",)

    def __init__(self, task: Task, entering: ConnectAsk | SubscribeAsk) -> None:
        super().__init__(task)
        self._entering = entering

    @property
    def user(self) -> str:
        """Who asks, as its token says; empty for an anonymous client."""
        return self._entering.user

    @property
    def client(self) -> str:
        """The id of its session; of one that connects, the id that it will have."""
        return self._entering.client

    @property
    def conn_info(self) -> Any:
        """What others see of the client in every channel; None if nothing."""
        return _part(self._entering.info)

    @property
    def has_token(self) -> bool:
        """Whether it came with a valid token for this; with an invalid one it comes not so far."""
        return self._entering.has_token

    @property
    def raw(self) -> bytes:
        """What it sent with it; `null` if nothing."""
        return _raw(self._entering.data)


class Connect(Entering[T_co]):
    """A client wants to connect. Return None to let it in as its token says, or a `Welcome`."""

    __slots__ = ("_ask",)

    def __init__(self, task: Task) -> None:
        self._ask = decode_hook(task.data, ConnectAsk)
        super().__init__(task, self._ask)

    @property
    def name(self) -> str:
        """Of its SDK, as it says."""
        return self._ask.name

    @property
    def version(self) -> str:
        """Of its SDK, as it says."""
        return self._ask.version

    @property
    def transport(self) -> str:
        """How it connects: `websocket`, `sse`, …"""
        return self._ask.transport

    @property
    def remote(self) -> str:
        """Its address."""
        return self._ask.remote

    @property
    def origin(self) -> str:
        """Of the page it runs in; empty if it said none."""
        return self._ask.origin

    @property
    def headers(self) -> dict[str, str]:
        """Of its request, those that the front's settings name; names in lower case."""
        return self._ask.headers


class Subscribe(Entering[T_co]):
    """A client wants a channel. Return None to let it have it, or an `Admission`."""

    __slots__ = ("_ask",)

    def __init__(self, task: Task) -> None:
        self._ask = decode_hook(task.data, SubscribeAsk)
        super().__init__(task, self._ask)

    @property
    def channel(self) -> str:
        """Which."""
        return self._ask.channel


def _raw(data: msgspec.Raw | None) -> bytes:
    return b"null" if data is None else bytes(data)


def _part(data: msgspec.Raw | None) -> Any:
    return None if data is None else _read_anything(bytes(data))
