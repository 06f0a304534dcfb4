"""Records of a log as lines for people, and as JSON for other programs; pure.

Rules: what a client chose cannot make a line of its own, nor speak to the terminal: control
characters are escaped.

Not here: reading a log (`log_tail`), what processes log about themselves (`logs`).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from broker.errors import UndecodableBody
from broker.interface import Position
from broker.partition import Partition
from broker.record import (
    Done,
    Fence,
    Letter,
    NextEntry,
    Ordered,
    Outcome,
    Published,
    Record,
    Refused,
    Replied,
    Sequel,
    Settled,
)
from services.view.ledger import Judgement

_NOT_COUNTED = {Judgement.IGNORED: "ignored", Judgement.MISSED: "does not follow what was read"}


class ReadRecord(NamedTuple):
    """A record as it was read, and whether it counts."""

    partition: Partition
    position: Position
    record: Record | UndecodableBody
    judgement: Judgement | None
    """None where that cannot be known: before the first Fence, and of what is no record."""


class _Settling(NamedTuple):
    """One outcome, and what it is the outcome of."""

    producer: str
    number: int
    place: int
    outcome: Outcome
    payload: bytes | None


def to_lines(read: ReadRecord, *, with_payloads: bool) -> list[str]:
    """A line for the record and one for each of its outcomes."""
    head = [f"{read.partition.name} @{read.position}"]
    match read.record:
        case Fence() as fence:
            head += ["fence", _moment(fence.wall_seconds), f"writer {escaped(fence.writer)}"]
            head += [f"nonce {escaped(fence.nonce)}", f"epoch {escaped(fence.epoch)}"]
            head += [f"partitions {fence.partitions}", *(["cut"] if fence.cut else [])]
        case Settled() as settled:
            count = sum(len(batch.outcomes) for batch in settled.batches)
            head += ["settled", _moment(settled.wall_ms / 1000), f"after {settled.after}"]
            head += [f"{count} {'outcome' if count == 1 else 'outcomes'}"]
        case UndecodableBody() as error:
            head += [f"cannot be read: {escaped(str(error))}"]
    if read.judgement in _NOT_COUNTED:
        head.append(_NOT_COUNTED[read.judgement])
    lines = ["  ".join(head)]
    if isinstance(read.record, Settled):
        for settling in _settlings(read.record):
            lines.append(f"    {_outcome_line(settling)}")
            if with_payloads and settling.payload is not None:
                lines.append(f"        {escaped(settling.payload.decode('utf-8', 'replace'))}")
        lines += [f"    {_sequel_line(sequel)}" for sequel in read.record.sequels]
    return lines


def to_json(read: ReadRecord, *, with_payloads: bool) -> str:
    """The same as one JSON object; a payload is text in it, as it may be anything."""
    row: dict[str, Any] = {"partition": read.partition.name, "position": read.position}
    match read.record:
        case Fence() as fence:
            row |= {"kind": "fence", "writer": fence.writer, "nonce": fence.nonce}
            row |= {"epoch": fence.epoch, "partitions": fence.partitions}
            row |= {"wall_seconds": fence.wall_seconds, "cut": fence.cut}
        case Settled() as settled:
            row |= {"kind": "settled", "after": settled.after, "wall_ms": settled.wall_ms}
            row |= {"followed": settled.followed, "keys": settled.keys}
            row["sequels"] = [_sequel_line(sequel) for sequel in settled.sequels]
            row["outcomes"] = [
                _outcome_row(settling, with_payload=with_payloads)
                for settling in _settlings(settled)
            ]
        case UndecodableBody() as error:
            row |= {"kind": "undecodable", "error": str(error)}
    row["judgement"] = read.judgement and read.judgement.value
    return orjson.dumps(row).decode()


def _settlings(settled: Settled) -> Iterator[_Settling]:
    payloads = iter(settled.payloads)
    for batch in settled.batches:
        for index, outcome in enumerate(batch.outcomes, batch.first):
            payload = next(payloads) if isinstance(outcome, Published) else None
            yield _Settling(batch.producer, batch.number, index, outcome, payload)


def _outcome_line(settling: _Settling) -> str:
    parts = [f"{escaped(settling.producer)}/{settling.number}/{settling.place}"]
    match settling.outcome:
        case Published(channel, _, offset, payload_bytes, sender):
            parts += ["published", escaped(channel)]
            parts += [f"offset {offset}" if offset else "without history"]
            parts += [f"{payload_bytes} bytes"]
            if bytes(sender) != b"null":
                parts.append(f"from {escaped(bytes(sender).decode('utf-8', 'replace'))}")
        case Done():
            parts.append("done")
        case Refused(code, message):
            parts.append(f"refused {code} {escaped(message)}")
        case Replied(data):
            parts.append(f"replied {len(data)} bytes")
        case Ordered(order):
            parts.append(f"ordered {len(order)} bytes")
    return "  ".join(parts)


def _outcome_row(settling: _Settling, *, with_payload: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"producer": settling.producer, "number": settling.number}
    row["index"] = settling.place
    match settling.outcome:
        case Published(channel, period, offset, payload_bytes, sender, key):
            row |= {"outcome": "published", "channel": channel, "period": period}
            row |= {"offset": offset, "payload_bytes": payload_bytes}
            row |= {"key": key} if key else {}
            row["sender"] = orjson.Fragment(bytes(sender))
            if with_payload and settling.payload is not None:
                row["payload"] = settling.payload.decode("utf-8", "replace")
        case Done():
            row["outcome"] = "done"
        case Refused(code, message):
            row |= {"outcome": "refused", "code": code, "message": message}
        case Replied(content) | Ordered(content):
            name = "replied" if isinstance(settling.outcome, Replied) else "ordered"
            row |= {"outcome": name, "payload_bytes": len(content)}
            if with_payload:
                row["payload"] = content.decode("utf-8", "replace")
    return row


def _sequel_line(sequel: Sequel) -> str:
    match sequel:
        case NextEntry(_, channel, _, payload_bytes, lane, number):
            to = Partition(lane, number).name
            return f"then  an entry for {to}  {escaped(channel)}  {payload_bytes} bytes"
        case Letter(reason, explanation, channel, attempts):
            why = f"{escaped(reason)}: {escaped(explanation)}"
            return f"then  a dead letter  {escaped(channel)}  {why}  attempts {attempts}"


def _moment(unix_seconds: float) -> str:
    try:
        moment = datetime.fromtimestamp(unix_seconds, UTC)
    except (OverflowError, ValueError, OSError):  # a writer's clock may show anything
        return f"at {unix_seconds:g}"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def escaped(text: str) -> str:
    """The text with what a terminal might act on written out."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
