"""What becomes of an entry: pure decisions, before anything has a position.

Rules: a front checks permissions and the pool may be written to by other producers, so everything
about the entry itself is checked again here. Nothing invalid reaches the log as a publication.
"""

from functools import lru_cache
from typing import NamedTuple

from broker.batch import Entry, EntryKind
from broker.partition import Partition, partition_number
from broker.record import Done, Outcome, Refused
from services.permissions import Permissions
from services.settings import Config
from services.wire.channel import parse_channel
from services.wire.errors import Error, ErrorCode, Refusal
from services.wire.payload import validate_payload

# Looking a channel's rules up costs more than all else that is done for a small publication.
_CHANNELS_REMEMBERED = 16_384


class ToPublish(NamedTuple):
    """The entry is to be a publication; it gets its position when the record is made."""

    entry: Entry
    has_history: bool


class ToCut(NamedTuple):
    """The log's epoch is to end, if it is still this one."""

    epoch: str


class ToRefuse(NamedTuple):
    """The entry is refused."""

    outcome: Refused
    is_kept: bool
    """Whether it is set aside, because its sender was already answered."""


Decision = ToPublish | ToCut | ToRefuse
NOTHING_TO_DO: Outcome = Done()


class _Rules(NamedTuple):
    error: Error | None
    partition: Partition
    has_history: bool = False
    is_answered_early: bool = False
    is_binary: bool = False


_NOWHERE = Partition("", 0)
_MISROUTED = ErrorCode.INTERNAL.explained("fronts and workers have different settings")


class Deciding:
    """The settings' answers about entries."""

    def __init__(self, config: Config) -> None:
        self._permissions = Permissions(config)
        self._lanes = config.lanes
        self._size_limit_bytes = config.client.message_size_limit
        self._rules = lru_cache(_CHANNELS_REMEMBERED)(self._look_up)

    def decide(self, entry: Entry, partition: Partition) -> Decision:
        """Say what becomes of an entry that came by a partition's pool."""
        if entry.kind is EntryKind.CUT:
            return ToCut(entry.payload.decode("ascii", "replace"))
        rules = self._rules(entry.channel)
        error = rules.error or self._look_at(entry.payload, rules)
        if error is None and partition != rules.partition:
            # Whoever sent it has other settings: a channel must not be in two logs.
            error = _MISROUTED
        if error is not None:
            return ToRefuse(Refused(error.code, error.message), rules.is_answered_early)
        return ToPublish(entry, rules.has_history)

    def _look_at(self, payload: bytes, rules: _Rules) -> Error | None:
        if len(payload) > self._size_limit_bytes:
            return ErrorCode.BAD_REQUEST.explained(f"data is over {self._size_limit_bytes} bytes")
        return None if rules.is_binary else validate_payload(payload)

    def _look_up(self, name: str) -> _Rules:
        try:
            channel = parse_channel(name)
        except Refusal as refusal:
            return _Rules(refusal.error, _NOWHERE)
        options = self._permissions.options_of(channel)
        if options is None:
            return _Rules(ErrorCode.UNKNOWN_CHANNEL.error, _NOWHERE)
        number = partition_number(name, self._lanes[options.lane].partitions)
        partition = Partition(options.lane, number)
        is_answered_early = options.reply == "queued"
        return _Rules(None, partition, options.has_history, is_answered_early, options.is_binary)
