"""What a client gets that begins to follow a channel: where it is, and what was missed of it.

It is looked up, told and registered in the hub in one step, without giving the event loop a turn in
between: what a reply tells of and what is pushed afterwards are one sequence, without a gap and
without a duplicate, and nothing is buffered or merged.

Rules
- What is sent to recover is bounded by the room in the outbox: a client that would be too slow for
  it is told that it cannot recover, which it survives; disconnected, it would come back for more.
"""

from typing import NamedTuple

from services.front.encoding import DeltaEncoding, Encoding
from services.front.session import Session
from services.front.view_partition import ChannelState
from services.permissions import Tracking
from services.view.history import Publication
from services.wire.command import SubscribeFlag, SubscribeRequest
from services.wire.errors import ErrorCode, Refusal
from services.wire.reply import Payload, SubscribeResult


class Recovery(NamedTuple):
    """What a subscribe that asks for what was missed gets."""

    is_recovered: bool
    publications: list[Payload]
    size_bytes: int = 0
    told_offset: int = 0
    """Of the last of the publications."""


_NOT_ASKED = Recovery(is_recovered=False, publications=[])
_UNRECOVERED = _NOT_ASKED


def recover(
    session: Session,
    request: SubscribeRequest,
    tracking: Tracking,
    state: ChannelState,
    room_bytes: int,
) -> Recovery:
    """What the client missed, if that is known in whole and is no more than `room_bytes`.

    Raises:
        Refusal: it is not, and the client said that then it does not want to subscribe.
    """
    if not (request.recover and tracking.is_recoverable) and not tracking.recovers_unasked:
        return _NOT_ASKED
    parts = session.parts
    missed = _missed(session, request, tracking)
    size_bytes = sum(p.size_bytes for p in missed or ())
    if missed is not None and size_bytes <= room_bytes:
        parts.measures.recoveries.add("recovered")
        told_offset = missed[-1].offset if missed else 0
        return Recovery(
            True, _encode(session, tracking, missed, state.epoch), size_bytes, told_offset
        )
    parts.measures.recoveries.add("unrecovered" if missed is None else "too_large")
    if request.recover and request.flag & SubscribeFlag.REJECT_UNRECOVERED:
        raise Refusal(ErrorCode.UNRECOVERABLE_POSITION.error)
    return _UNRECOVERED


def _missed(
    session: Session, request: SubscribeRequest, tracking: Tracking
) -> list[Publication] | None:
    parts = session.parts
    position = request.channel, request.epoch, request.offset
    if tracking.recovers_newest:
        return parts.view.recover_newest(*position)
    return parts.view.recover(*position, parts.config.client.recovery_max_publication_limit)


def _encode(
    session: Session, tracking: Tracking, missed: list[Publication], epoch: str
) -> list[Payload]:
    deltas = deltas_of(session, tracking)
    if deltas is not None:
        return deltas.encode_missed(missed, epoch)
    return [session.encoding.encode_stored(publication, epoch) for publication in missed]


def deltas_of(session: Session, tracking: Tracking) -> DeltaEncoding | None:
    """How a subscription is told what changed, if it is."""
    return session.encoding.deltas if tracking.tells_deltas else None


def encoding_of(session: Session, tracking: Tracking) -> Encoding:
    """How a subscription is told of publications."""
    language = deltas_of(session, tracking) or session.encoding
    return language if tracking.tells_own else language.others


def describe(
    session: Session,
    request: SubscribeRequest,
    tracking: Tracking,
    state: ChannelState,
    recovery: Recovery,
) -> SubscribeResult:
    """What the client is told of the subscription, but for what a token says of it."""
    knows_position = tracking.is_positioned or tracking.is_recoverable
    # An SDK goes on from the position it recovered from with each publication it is given.
    offset = request.offset if recovery.is_recovered else state.offset
    return SubscribeResult(
        recoverable=tracking.is_recoverable,
        epoch=state.epoch if knows_position else "",
        publications=recovery.publications,
        recovered=recovery.is_recovered,
        offset=offset if knows_position else 0,
        positioned=tracking.is_positioned,
        was_recovering=request.recover and tracking.is_recoverable,
        delta=deltas_of(session, tracking) is not None,
    )
