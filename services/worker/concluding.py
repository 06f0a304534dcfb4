"""What becomes of an entry once a handler has looked at it, and what else has to be done then.

Rules
- Pure. What follows from an entry stands in the same record as its outcome, as sequels: it comes to
  be if the outcome does, once, however often the handler was tried.
- What a handler may not have done, it has not done in part: its whole answer is a failure.
- The data that a handler gives in place of a client's is checked like a client's, but against no
  schema: that is about what clients send.

Not here: doing what follows (`following_up`).
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import replace

from broker.batch import NO_SENDER, Batch, Entry, EntryKind, encode_batch
from broker.interface import DeadReason
from broker.record import Letter, NextEntry, Refused, Replied, Sequel
from services.orders import NoOrder, decode_order, partition_of_order
from services.settings import Config
from services.wire.errors import ErrorCode
from services.worker.deciding import (
    NOTHING_TO_DO,
    Deciding,
    Decision,
    ToHandle,
    ToPublish,
    ToRefuse,
    ToSettle,
)
from services.worker.handling.interface import Handled, Kind, Side, SideKind, Verdict

_EXPLANATION_CHARACTERS_AT_MOST = 2_000


class WithPayload(NamedTuple):
    """A sequel and its payload."""

    sequel: Sequel
    payload: bytes


class Decided(NamedTuple):
    """What becomes of an entry, and what follows from it."""

    decision: Decision
    sequels: tuple[WithPayload, ...] = ()


class _Nonsense(Exception):
    """What a handler answered cannot be carried out; the text says why."""


class Concluding:
    """The settings' answers about what handlers answer."""

    def __init__(self, config: Config, deciding: Deciding) -> None:
        self._deciding = deciding
        self._lane = config.app.lane
        self._partitions = config.lanes[config.app.lane].partitions

    def conclude(self, asked: ToHandle, handled: Handled, batch: Batch, key: str) -> Decided:
        """Say what becomes of an entry of a batch, and what follows; `key` is its handler's."""
        if handled.verdict is Verdict.FAILED:
            return _fail(asked, handled, batch, key)
        try:
            decision = self._decide(asked, handled)
            return Decided(decision, tuple(self._sequels(handled.sides)))
        except _Nonsense as error:
            nonsense = handled._replace(text=f"the handler's answer is of no use: {error}")
            return _fail(asked, nonsense, batch, key)

    def _decide(self, asked: ToHandle, handled: Handled) -> Decision:
        match handled.verdict:
            case Verdict.PASSED if asked.kind is Kind.PUBLISH:
                return ToPublish(asked.entry, asked.has_history)
            case Verdict.CHANGED if asked.kind is Kind.PUBLISH:
                return self._change(asked, handled.data)
            case Verdict.REPLIED if asked.kind is Kind.RPC:
                return ToSettle(Replied(handled.data))
            case Verdict.REFUSED:
                return ToRefuse(Refused(handled.code, handled.text), asked.is_answered_early)
            case Verdict.SWALLOWED | Verdict.PASSED if asked.kind is not Kind.RPC:
                return NOTHING_TO_DO
        raise _Nonsense("it does not fit what was asked")

    def _change(self, asked: ToHandle, payload: bytes) -> Decision:
        channel = asked.entry.channel
        error = self._deciding.look_at(channel, payload)
        if error is not None:
            raise _Nonsense(f"the changed data: {error.message}")
        changed = Entry(
            EntryKind.PUBLISH, channel, asked.entry.sender, payload, key=asked.entry.key
        )
        return ToPublish(changed, asked.has_history)

    def _sequels(self, sides: Iterable[Side]) -> Iterable[WithPayload]:
        for side in sides:
            if side.kind is SideKind.PUBLISH:
                yield self._publication(side.target, side.data)
            else:
                yield self._order(side.data)

    def _publication(self, channel: str, payload: bytes) -> WithPayload:
        partition = self._deciding.place_of(channel)
        if partition is None:
            raise _Nonsense("it publishes to a channel that cannot be")
        error = self._deciding.look_at(channel, payload)
        if error is not None:
            raise _Nonsense(f"what it publishes besides: {error.message}")
        payload = self._deciding.as_told(channel, payload)
        sequel = NextEntry(
            EntryKind.PUBLISH, channel, NO_SENDER, len(payload), partition.lane, partition.number
        )
        return WithPayload(sequel, payload)

    def _order(self, payload: bytes) -> WithPayload:
        try:
            order = decode_order(payload)
        except NoOrder as error:
            raise _Nonsense(str(error)) from None
        partition = partition_of_order(order, self._lane, self._partitions)
        sequel = NextEntry(
            EntryKind.ORDER, "", NO_SENDER, len(payload), partition.lane, partition.number
        )
        return WithPayload(sequel, payload)


def _fail(asked: ToHandle, handled: Handled, batch: Batch, key: str) -> Decided:
    error = ErrorCode.INTERNAL
    explanation = "\n".join(filter(None, (handled.text, handled.trace)))
    # With the handler's key: what it wrote elsewhere it finds by it when this is done again.
    entry = replace(asked.entry, key=asked.entry.key or key)
    letter = letter_of(entry, batch, DeadReason.FAILED, explanation, handled.attempts)
    return Decided(ToRefuse(Refused(error.code, error.text), is_kept=False), (letter,))


def letter_of(
    entry: Entry, batch: Batch, reason: DeadReason, explanation: str, attempts: int = 0
) -> WithPayload:
    """The dead letter of an entry that came in a batch."""
    payload = encode_batch(batch.producer, batch.number, [entry])
    letter = Letter(
        reason.value,
        explanation[:_EXPLANATION_CHARACTERS_AT_MOST],
        entry.channel,
        attempts,
        len(payload),
    )
    return WithPayload(letter, payload)
