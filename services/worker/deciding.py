"""What becomes of an entry: pure decisions, before anything has a position.

Rules
- A front checks permissions and the pool may be written to by other producers, so everything about
  the entry itself is checked again here. Nothing invalid reaches the log as a publication.
- Handlers look at what clients send and at nothing else: what the team itself publishes, from a
  handler for one, is its own word, and would come round and round.

Not here: what a handler makes of it (`concluding`).
"""

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple, assert_never

import msgspec

from broker.batch import NO_SENDER, Entry, EntryKind
from broker.partition import Partition, partition_number
from broker.record import Done, Ordered, Refused, Replied
from services.orders import NoOrder, decode_order
from services.permissions import Permissions
from services.settings import Config
from services.wire.channel import parse_channel
from services.wire.errors import Error, ErrorCode, Refusal
from services.wire.payload import one_line, validate_payload
from services.worker.handling.interface import Handling, Kind, NoHandling, Question
from services.worker.limiting import Limiting, limiting_of
from services.worker.schemas import Schema

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


class ToSettle(NamedTuple):
    """The entry has this outcome, and is no publication."""

    outcome: Done | Replied | Ordered


class ToHandle(NamedTuple):
    """A handler has to look at the entry before there is a decision."""

    entry: Entry
    kind: Kind
    line: str
    has_history: bool = False
    is_answered_early: bool = False
    is_binary: bool = False

    def question(self, key: str) -> Question:
        """What the handler is asked; `key` is the entry's, whoever asks and however often."""
        entry = self.entry
        return Question(
            self.kind,
            self.line,
            entry.channel,
            bytes(entry.sender),
            entry.payload,
            key,
            self.is_binary,
        )


Decision = ToPublish | ToCut | ToRefuse | ToSettle
NOTHING_TO_DO: Final = ToSettle(Done())
_NOT_AVAILABLE: Final = ErrorCode.NOT_AVAILABLE.error


class _Sender(msgspec.Struct, gc=False):
    client: str = ""


_sender_decoder = msgspec.json.Decoder(_Sender)


class _Rules(NamedTuple):
    error: Error | None
    partition: Partition
    has_history: bool = False
    is_answered_early: bool = False
    is_binary: bool = False
    schema: Schema | None = None
    limiting: Limiting | None = None


_NOWHERE = Partition("", 0)
_MISROUTED = ErrorCode.INTERNAL.explained("fronts and workers have different settings")


class Deciding:
    """The settings' answers about entries."""

    def __init__(
        self,
        config: Config,
        handling: Handling | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Take the settings; `clock` gives the nanoseconds by which rates are measured."""
        self._handling = NoHandling() if handling is None else handling
        self._permissions = Permissions(config)
        self._lanes = config.lanes
        self._size_limit_bytes = config.client.message_size_limit
        namespaces = (config.without_namespace, *config.namespace)
        self._schemas = {
            options: Schema(options.schema_file) for options in namespaces if options.schema_file
        }
        self._limiting = {options: limiting_of(options) for options in namespaces}
        self._clock = clock
        self._rules = lru_cache(_CHANNELS_REMEMBERED)(self._look_up)

    def decide(self, entry: Entry, partition: Partition) -> Decision | ToHandle:
        """Say what becomes of an entry that came by a partition's pool."""
        if entry.kind is EntryKind.PUBLISH:
            return self._decide_publication(entry, partition)
        match entry.kind:
            case EntryKind.CUT:
                return ToCut(entry.payload.decode("ascii", "replace"))
            case EntryKind.ORDER:
                return _decide_order(entry)
            case EntryKind.CALL:
                return self._decide_call(entry, Kind.RPC) or _refuse(_NOT_AVAILABLE)
            case EntryKind.SEND:
                return self._decide_call(entry, Kind.SEND) or _refuse(_NOT_AVAILABLE)
            case EntryKind.LEFT:
                return self._decide_call(entry, Kind.DISCONNECT) or NOTHING_TO_DO
        assert_never(entry.kind)

    def decide_again(self, entry: Entry, partition: Partition) -> Decision | ToHandle:
        """Say what becomes of a dead letter's entry, for which no rates hold: it was in time."""
        if entry.kind is EntryKind.PUBLISH:
            return self._decide_unlimited(entry, partition, self._rules(entry.channel))
        return self.decide(entry, partition)

    def place_of(self, channel: str) -> Partition | None:
        """Tell which partition's entries a channel's publications are; None: there is no such."""
        rules = self._rules(channel)
        return None if rules.error is not None else rules.partition

    def look_at(self, channel: str, payload: bytes) -> Error | None:
        """Say why nobody may be told a payload in a channel, whoever wrote it, or None."""
        rules = self._rules(channel)
        return rules.error or self._look_at(payload, rules)

    def as_told(self, channel: str, payload: bytes) -> bytes:
        """Give the team's own payload as a channel's subscribers are told it: JSON on one line."""
        return payload if self._rules(channel).is_binary else one_line(payload)

    def _decide_publication(self, entry: Entry, partition: Partition) -> Decision | ToHandle:
        rules = self._rules(entry.channel)
        limiting = rules.limiting
        if limiting is None:
            return self._decide_unlimited(entry, partition, rules)
        now_nanoseconds = self._clock()
        if (error := limiting.look_at_sender(entry, now_nanoseconds)) is not None:
            return _refuse(error)
        decision = self._decide_unlimited(entry, partition, rules)
        if isinstance(decision, ToRefuse):
            return decision
        error = limiting.look_at_channel(entry, now_nanoseconds)
        return decision if error is None else _refuse(error)

    def _decide_unlimited(
        self, entry: Entry, partition: Partition, rules: _Rules
    ) -> Decision | ToHandle:
        error = rules.error or self._look_at(entry.payload, rules)
        if error is None and partition != rules.partition:
            # Whoever sent it has other settings: a channel must not be in two logs.
            error = _MISROUTED
        if error is not None:
            return ToRefuse(Refused(error.code, error.message), rules.is_answered_early)
        if self._handling.handles(Kind.PUBLISH, entry.channel) and entry.sender != NO_SENDER:
            return ToHandle(
                entry,
                Kind.PUBLISH,
                entry.channel,
                rules.has_history,
                rules.is_answered_early,
                rules.is_binary,
            )
        return ToPublish(entry, rules.has_history)

    def _decide_call(self, entry: Entry, kind: Kind) -> Decision | ToHandle | None:
        """What becomes of what a client sends to the team itself; None if nobody takes it."""
        if not self._handling.handles(kind, entry.channel):
            return None
        if len(entry.payload) > self._size_limit_bytes:
            return _refuse(ErrorCode.BAD_REQUEST.error)
        error = validate_payload(entry.payload) if entry.payload else None
        if error is not None:
            return _refuse(error)
        try:
            client = _sender_decoder.decode(entry.sender).client
        except msgspec.DecodeError:
            return _refuse(ErrorCode.BAD_REQUEST.error)
        # A client's calls, and its leaving, are in order; and apart from any channel.
        return ToHandle(entry, kind, f"client {client}")

    def _look_at(self, payload: bytes, rules: _Rules) -> Error | None:
        if len(payload) > self._size_limit_bytes:
            return ErrorCode.BAD_REQUEST.explained(f"data is over {self._size_limit_bytes} bytes")
        if rules.is_binary:
            return None
        return validate_payload(payload, rules.schema)

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
        return _Rules(
            None,
            partition,
            options.has_history,
            is_answered_early,
            options.is_binary,
            self._schemas.get(options),
            self._limiting[options],
        )


def _refuse(error: Error) -> ToRefuse:
    return ToRefuse(Refused(error.code, error.message), is_kept=False)


def _decide_order(entry: Entry) -> Decision:
    try:
        decode_order(entry.payload)
    except NoOrder as error:
        return _refuse(ErrorCode.BAD_REQUEST.explained(str(error)))
    return ToSettle(Ordered(entry.payload))
