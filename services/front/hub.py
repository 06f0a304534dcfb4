"""Who is subscribed here: each channel's subscriptions of this process.

Rules
- Adding and removing take the same time however many there are, and leave nothing behind: a
  channel without subscriptions is unknown.
- A subscription is one stay: who comes back gets a new one, so that what was meant for the earlier
  stay never reaches the later one.

Not here: whether somebody may subscribe (`permissions`), what they are sent (`fanout`).
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, Protocol

from services.front.encoding import Encoding
from services.front.outbox import Outbox
from services.wire.errors import Disconnect, Unsubscribed


class Subscriber(Protocol):
    """The session that holds a subscription."""

    id: str
    """By what its publications are told from others'."""
    user: str
    outbox: Outbox

    @property
    def encoding(self) -> Encoding:
        """How it is told of publications."""

    def info(self, chan_info: bytes) -> bytes:
        """Give the client as others see it in a channel: an encoded ClientInfo."""

    def end_subscription(self, subscription: "Subscription", why: Unsubscribed) -> None:
        """Take it out of the hub and tell the client."""

    def disconnect(self, why: Disconnect, explanation: str = "") -> None:
        """End the session."""


_NOTHING_OVERRIDDEN: Final[Mapping[str, bool]] = {}


class Subscription:
    """One session's stay in one channel."""

    __slots__ = (
        "chan_info",
        "channel",
        "encoding",
        "expires_seconds",
        "has_fixed_term",
        "hears_movements",
        "is_active",
        "is_positioned",
        "is_server_side",
        "joined_at",
        "outbox",
        "override",
        "session",
        "told_offset",
    )

    def __init__(
        self, session: Subscriber, channel: str, joined_at: int, *, is_positioned: bool
    ) -> None:
        self.session = session
        self.outbox = session.outbox
        """The session's, for fan-out is in a hurry."""
        self.encoding: Encoding = session.encoding
        self.channel = channel
        self.joined_at = joined_at
        """How many records the view had folded: the reply told of them, later ones are pushed."""
        self.is_positioned = is_positioned
        """Whether the client relies on getting every publication."""
        self.is_active = True
        self.expires_seconds = 0.0
        """When its token's time, and the grace after it, are over; 0 for never."""
        self.has_fixed_term = False
        """Whether the team's word alone says when it expires, and no token of the client's."""
        self.chan_info = b""
        """What its token says about the client in this channel."""
        self.hears_movements = False
        """Whether the client is told who joins and who leaves."""
        self.is_server_side = False
        """Whether the session has it from its connect on, and the client did not ask for it."""
        self.override = _NOTHING_OVERRIDDEN
        """Namespace options that its token changes for this stay alone."""
        self.told_offset = 0
        """The publication against which it can be told the next, where deltas are told."""

    def tell_in(self, encoding: Encoding, told_offset: int = 0) -> None:
        """Be told in an encoding of its own, from the publication with this offset on.

        Before it is added.
        """
        self.encoding = encoding
        self.told_offset = told_offset


_NOBODY: Collection[Subscription] = frozenset()


class Hub:
    """All subscriptions of a process."""

    def __init__(self) -> None:
        # Each encoding's channels. By channel first would cost every channel a dict of its own.
        self._encodings: dict[Encoding, dict[str, set[Subscription]]] = {}
        self.subscriptions = 0

    def __len__(self) -> int:
        return len(self.channels())

    def add(self, subscription: Subscription) -> None:
        """Let publications of its channel reach it, unless it has been removed before."""
        if not subscription.is_active:
            return
        channels = self._encodings.get(subscription.encoding)
        if channels is None:
            channels = self._encodings[subscription.encoding] = {}
        members = channels.get(subscription.channel)
        if members is None:
            members = channels[subscription.channel] = set()
        if subscription not in members:
            members.add(subscription)
            self.subscriptions += 1

    def remove(self, subscription: Subscription) -> None:
        """Let nothing reach it any more; once is enough, more do no harm."""
        if not subscription.is_active:
            return
        subscription.is_active = False
        channels = self._encodings.get(subscription.encoding, {})
        members = channels.get(subscription.channel)
        if members is None or subscription not in members:
            return
        members.remove(subscription)
        self.subscriptions -= 1
        if not members:
            del channels[subscription.channel]

    def is_subscribed(self, channel: str) -> bool:
        """Tell whether anybody here follows the channel."""
        # A loop: `any` of a generator takes four times as long, and each publication asks.
        for channels in self._encodings.values():  # noqa: SIM110
            if channel in channels:
                return True
        return False

    def groups(self, channel: str) -> list[tuple[Encoding, Collection[Subscription]]]:
        """Give a channel's subscriptions by encoding; the list is a copy, the groups are not."""
        return [
            (encoding, channels[channel])
            for encoding, channels in self._encodings.items()
            if channel in channels
        ]

    def group(self, channel: str, encoding: Encoding) -> Collection[Subscription]:
        """Give a channel's subscriptions of one encoding; not a copy."""
        channels = self._encodings.get(encoding)
        return _NOBODY if channels is None else channels.get(channel, _NOBODY)

    def members(self, channel: str) -> Collection[Subscription]:
        """Give a channel's subscriptions, whatever their encoding; it may be a copy."""
        groups = self.groups(channel)
        if len(groups) == 1:
            return groups[0][1]
        return [subscription for _, members in groups for subscription in members]

    def channels(self) -> Collection[str]:
        """Give the channels anybody here follows; it may be a copy."""
        kinds = [channels for channels in self._encodings.values() if channels]
        if len(kinds) == 1:
            return kinds[0].keys()
        return {channel for channels in kinds for channel in channels}

    def lose_continuity(self, channels: Iterable[str] | None = None) -> int:
        """Tell whoever relies on every publication of these channels that some may be missing.

        None is all channels. The clients subscribe again and learn what can be recovered. Gives how
        many were told.
        """
        told = 0
        for channel in list(self.channels() if channels is None else channels):
            for subscription in list(self.members(channel)):
                if subscription.is_positioned:
                    subscription.session.end_subscription(
                        subscription, Unsubscribed.INSUFFICIENT_STATE
                    )
                    told += 1
        return told
