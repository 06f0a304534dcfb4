"""Which rates hold for a publication, and what its sender is told beyond them.

Rules
- `user_rate` counts what a user tries in a channel, or a client where there is no user; it is
  looked at first, and costs a refused publication nothing more. `rate` counts what would be
  published, so nobody takes a channel's share with what is refused anyway.
- They hold for clients. What the team itself publishes has no sender, and nobody who would try
  again: a handler's publications must not get lost because its channel is busy.
- What is refused is never set aside, in a queued namespace neither: whoever floods a channel would
  fill the dead letters with it.

Not here: counting (`rates`).
"""

from typing import Final

import msgspec

from broker.batch import NO_SENDER, Entry
from services.settings import ChannelOptions
from services.units import Rate
from services.wire.errors import Error, ErrorCode
from services.worker.rates import Buckets


class _Sender(msgspec.Struct, gc=False):
    user: str = ""
    client: str = ""


_decoder: Final = msgspec.json.Decoder(_Sender)


class Limiting:
    """One namespace's rates."""

    __slots__ = ("_channels", "_too_many_of_channel", "_too_many_of_user", "_users")

    def __init__(self, rate: Rate | None, user_rate: Rate | None) -> None:
        """Hold channels to the one and users to the other, if there is one."""
        self._channels = None if rate is None else Buckets(rate)
        self._users = None if user_rate is None else Buckets(user_rate)
        self._too_many_of_channel = ErrorCode.TOO_MANY_REQUESTS.explained(
            f"over {rate} in this channel (rate)"
        )
        self._too_many_of_user = ErrorCode.TOO_MANY_REQUESTS.explained(
            f"over {user_rate} of one user in this channel (user_rate)"
        )

    def look_at_sender(self, entry: Entry, now_nanoseconds: int) -> Error | None:
        """Say why the sender may not publish now, or None; ask first."""
        if self._users is None or entry.sender == NO_SENDER:
            return None
        if self._users.take((entry.channel, *_identity(entry.sender)), now_nanoseconds):
            return None
        return self._too_many_of_user

    def look_at_channel(self, entry: Entry, now_nanoseconds: int) -> Error | None:
        """Say why no client may publish in the channel now, or None; ask last."""
        if self._channels is None or entry.sender == NO_SENDER:
            return None
        if self._channels.take(entry.channel, now_nanoseconds):
            return None
        return self._too_many_of_channel


def limiting_of(options: ChannelOptions) -> Limiting | None:
    """A namespace's rates; None if it has none."""
    if options.rate is None and options.user_rate is None:
        return None
    return Limiting(options.rate, options.user_rate)


def _identity(encoded: msgspec.Raw) -> tuple[str, str]:
    """The user; or, if it has no name, the client. Senders that cannot be read share one."""
    try:
        sender = _decoder.decode(encoded)
    except msgspec.MsgspecError:
        return "", ""
    return sender.user, "" if sender.user else sender.client
