"""Who may subscribe, publish, read history and see others: decisions, without doing anything.

Rules
- Denied unless a setting allows it; each decision asks anew, also when a client comes back to
  recover.
- The order is Centrifugo's: token, user-limited name, the team's handler, `allow_…_for_client`,
  `…_for_subscriber`, insecure.
- A permission given to clients in general holds for anonymous ones only if they are named too.
- A private or user-limited name closes the channel to all others: `allow_…_for_client` lets nobody
  publish into it, or read its history, who is neither named nor subscribed. (Centrifugo would.)

Not here: verifying tokens (`auth`), what a refusal is logged with, limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from services.settings import ChannelOptions, Config
from services.wire.channel import NAMESPACE_BOUNDARY, PRIVATE_PREFIX, Channel
from services.wire.command import SubscribeRequest
from services.wire.errors import ErrorCode

_NOTHING: Final[Mapping[str, bool]] = {}


class Who(NamedTuple):
    """The client who asks, and how it stands to the channel."""

    user: str
    is_subscribed: bool = False
    has_token: bool = False
    """Whether a valid token for exactly this subscription came with the request."""


class Tracking(NamedTuple):
    """What a subscription keeps track of."""

    is_positioned: bool
    is_recoverable: bool
    recovers_newest: bool = False
    """Whether to recover is to get the newest publication alone."""
    recovers_unasked: bool = False
    """Whether it recovers without a word of the client's, too."""
    tells_deltas: bool = False
    """Whether it is told what changed, where the client's encoding has a form for it."""
    tells_own: bool = True
    """Whether it is told of what its client published itself."""


class Permissions:
    """The settings' answers."""

    def __init__(self, config: Config) -> None:
        self._without_namespace = config.without_namespace
        self._namespaces: dict[str, ChannelOptions] = {
            namespace.name: namespace for namespace in config.namespace
        }
        self._unknown = (
            config.without_namespace if config.channel.unknown_namespace != "refuse" else None
        )
        self._is_insecure = config.client.insecure
        self.may_ask_the_team: Final = config.asks_about_subscribes
        """Whether the team's handler has a word in some channels."""

    def options_of(self, channel: Channel) -> ChannelOptions | None:
        """The options of the namespace, or None: there is no such channel (error 102)."""
        if not channel.namespace:
            return self._without_namespace
        return self._namespaces.get(channel.namespace, self._unknown)

    def _overridden(self, channel: Channel, override: Mapping[str, bool]) -> ChannelOptions | None:
        options = self.options_of(channel)
        if options is None or not override:
            return options
        return options.model_copy(update=dict(override))

    def may_subscribe(self, who: Who, channel: Channel) -> ErrorCode | None:
        """Why not, or None."""
        options = self.options_of(channel)
        if options is None:
            return ErrorCode.UNKNOWN_CHANNEL
        if not _is_well_named(channel, options):
            return ErrorCode.BAD_REQUEST
        is_allowed = (
            who.has_token
            or self._is_insecure
            or (not channel.is_private and _may_subscribe_untokened(who.user, channel, options))
        )
        return None if is_allowed else ErrorCode.PERMISSION_DENIED

    def may_be_let_in(self, who: Who, channel: Channel) -> bool:
        """Whether the team's own word may let a client subscribe whom nothing else lets in.

        It may, unless the channel's name keeps the client out.
        """
        options = self.options_of(channel)
        if options is None or not _is_well_named(channel, options):
            return False
        return who.has_token or self._is_insecure or _is_open_to(who.user, channel)

    def may_publish(self, who: Who, channel: Channel) -> ErrorCode | None:
        """Why not, or None."""
        options = self.options_of(channel)
        if options is None:
            return ErrorCode.UNKNOWN_CHANNEL
        if not _is_well_named(channel, options):
            return ErrorCode.BAD_REQUEST
        is_allowed = self._is_insecure or _may(
            who,
            channel,
            clients=options.allow_publish_for_client,
            subscribers=options.allow_publish_for_subscriber,
            anonymous=options.allow_publish_for_anonymous,
        )
        return None if is_allowed else ErrorCode.PERMISSION_DENIED

    def may_read_history(self, who: Who, channel: Channel) -> ErrorCode | None:
        """Why not, or None."""
        options = self.options_of(channel)
        if options is None:
            return ErrorCode.UNKNOWN_CHANNEL
        if not options.has_history:
            return ErrorCode.NOT_AVAILABLE
        is_allowed = self._is_insecure or _may_history(who, channel, options)
        return None if is_allowed else ErrorCode.PERMISSION_DENIED

    def may_ask_presence(self, who: Who, channel: Channel) -> ErrorCode | None:
        """Why not, or None."""
        options = self.options_of(channel)
        if options is None:
            return ErrorCode.UNKNOWN_CHANNEL
        if not options.presence:
            return ErrorCode.NOT_AVAILABLE
        is_allowed = self._is_insecure or _may_presence(who, channel, options)
        return None if is_allowed else ErrorCode.PERMISSION_DENIED

    def hears_movements(
        self,
        who: Who,
        channel: Channel,
        request: SubscribeRequest,
        override: Mapping[str, bool] = _NOTHING,
    ) -> bool:
        """Whether a subscription that may be made is told who joins and who leaves.

        A client's wish counts only where it may ask who is there. `override` is what its token
        changes of the options.
        """
        options = self._overridden(channel, override)
        if options is None or not options.join_leave:
            return False
        subscriber = Who(who.user, is_subscribed=True, has_token=who.has_token)
        may_see = self._is_insecure or _may_presence(subscriber, channel, options)
        return options.force_push_join_leave or (request.join_leave and may_see)

    def tracking(
        self,
        who: Who,
        channel: Channel,
        request: SubscribeRequest,
        override: Mapping[str, bool] = _NOTHING,
    ) -> Tracking:
        """What a subscription that may be made keeps track of.

        A client's wish counts only where the settings allow it, or where it may read the history
        anyway; recovery implies positioning, and is there only with history. Deltas need both,
        history and positioning. `override` is what its token changes of the options.
        """
        options = self._overridden(channel, override)
        if options is None:
            return Tracking(False, False)
        subscriber = Who(who.user, is_subscribed=True, has_token=who.has_token)
        reads_history = options.has_history and (
            self._is_insecure or _may_history(subscriber, channel, options)
        )
        is_recoverable = options.has_history and (
            options.force_recovery
            or (request.recoverable and (options.allow_recovery or reads_history))
        )
        is_positioned = options.force_positioning or (
            request.positioned and (options.allow_positioning or reads_history)
        )
        is_positioned = is_positioned or is_recoverable
        return Tracking(
            is_positioned,
            is_recoverable,
            recovers_newest=is_recoverable and options.recovers_newest,
            recovers_unasked=is_recoverable and options.auto_cache_recover,
            # Without offsets nobody knows what a client was told before, and only who relies on
            # positions is told to come back when something may be missing.
            tells_deltas=is_positioned and options.has_history and _may_delta(request, options),
            tells_own=options.echo,
        )


def _may_delta(request: SubscribeRequest, options: ChannelOptions) -> bool:
    return options.delta_publish and request.delta in options.allowed_delta_types


def _is_well_named(channel: Channel, options: ChannelOptions) -> bool:
    if not options.channel_regex:
        return True
    rest = channel.name.removeprefix(PRIVATE_PREFIX)
    if channel.namespace:
        rest = rest.partition(NAMESPACE_BOUNDARY)[2]
    return re.fullmatch(options.channel_regex, rest) is not None


def _may_subscribe_untokened(user: str, channel: Channel, options: ChannelOptions) -> bool:
    if not _is_open_to(user, channel):
        return False
    if channel.users is not None and options.allow_user_limited_channels:
        return True
    return options.allow_subscribe_for_client and (
        user != "" or options.allow_subscribe_for_anonymous
    )


def _may_history(who: Who, channel: Channel, options: ChannelOptions) -> bool:
    return _may(
        who,
        channel,
        clients=options.allow_history_for_client,
        subscribers=options.allow_history_for_subscriber,
        anonymous=options.allow_history_for_anonymous,
    )


def _may_presence(who: Who, channel: Channel, options: ChannelOptions) -> bool:
    return _may(
        who,
        channel,
        clients=options.allow_presence_for_client,
        subscribers=options.allow_presence_for_subscriber,
        anonymous=options.allow_presence_for_anonymous,
    )


def _may(who: Who, channel: Channel, *, clients: bool, subscribers: bool, anonymous: bool) -> bool:
    """The rule that publishing, reading history and presence share."""
    if who.user == "" and not anonymous:
        return False
    if who.is_subscribed:
        return clients or subscribers
    return clients and _is_open_to(who.user, channel)


def _is_open_to(user: str, channel: Channel) -> bool:
    """Whether the name alone keeps this user out. Nobody is named without having a name."""
    if channel.is_private:
        return False
    return channel.users is None or (user != "" and channel.admits(user))
