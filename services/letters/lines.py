"""Dead letters as text for a terminal, or as JSON for programs.

Rules: pure; what clients sent is escaped, for a terminal may act on what it shows.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from broker.batch import Entry, decode_batch
from broker.errors import UndecodableBody
from broker.interface import DeadLetter
from services.letters.wanted import letter_id
from services.log_lines import escaped

HEADINGS = ("ID", "AGE", "REASON", "CHANNEL", "TRIES", "EXPLANATION")

_EXPLANATION_CHARACTERS = 72
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def to_row(letter: DeadLetter, now_seconds: float) -> tuple[str, ...]:
    """A line of a list, under `HEADINGS`."""
    explanation = escaped(letter.explanation.partition("\n")[0])
    if len(explanation) > _EXPLANATION_CHARACTERS:
        explanation = explanation[: _EXPLANATION_CHARACTERS - 1] + "…"
    return (
        escaped(letter_id(letter)),
        to_age(letter, now_seconds),
        letter.reason.value,
        escaped(letter.channel) or "-",
        str(letter.attempts or "-"),
        explanation,
    )


def to_age(letter: DeadLetter, now_seconds: float) -> str:
    """How long ago it was set aside, in the largest unit that fits: "3h"."""
    if not letter.set_aside_seconds:
        return "?"
    seconds = max(0, int(now_seconds - letter.set_aside_seconds))
    for unit_seconds, unit in _UNITS:
        if seconds >= unit_seconds:
            return f"{seconds // unit_seconds}{unit}"
    return f"{seconds}s"


def to_lines(letter: DeadLetter, now_seconds: float) -> Iterator[str]:
    """All that is known of one letter."""
    yield from _fields(
        ("id", letter_id(letter)),
        ("set aside", f"{_moment(letter)} ({to_age(letter, now_seconds)} ago)"),
        ("reason", letter.reason.value),
        ("channel", letter.channel or "-"),
        ("tries", str(letter.attempts or "-")),
    )
    yield "explanation"
    for line in letter.explanation.splitlines():
        yield f"    {escaped(line)}"
    entry = _entry(letter)
    if entry is None:
        yield f"body          {len(letter.body)} bytes, no batch"
        yield f"    {escaped(letter.body.decode('utf-8', 'replace'))}"
        return
    yield from _fields(
        ("kind", entry.kind.name.lower()),
        ("sender", bytes(entry.sender).decode("utf-8", "replace")),
        ("key", entry.key or "-"),
    )
    yield f"payload       {len(entry.payload)} bytes"
    yield f"    {escaped(entry.payload.decode('utf-8', 'replace'))}"


def _fields(*fields: tuple[str, str]) -> Iterator[str]:
    return (f"{name:<12}  {escaped(value)}" for name, value in fields)


def to_json(letter: DeadLetter, *, with_payload: bool) -> str:
    """The same as one JSON object; a payload is text in it, as it may be anything."""
    row: dict[str, Any] = {
        "id": letter_id(letter),
        "set_aside_seconds": letter.set_aside_seconds,
        "reason": letter.reason.value,
        "channel": letter.channel,
        "attempts": letter.attempts,
        "explanation": letter.explanation,
        "body_bytes": len(letter.body),
    }
    entry = _entry(letter) if with_payload else None
    if entry is not None:
        row |= {"kind": entry.kind.name.lower(), "key": entry.key}
        row |= {"sender": orjson.Fragment(bytes(entry.sender))}
        row |= {"payload": entry.payload.decode("utf-8", "replace")}
    elif with_payload:
        row |= {"body": letter.body.decode("utf-8", "replace")}
    return orjson.dumps(row).decode()


def _entry(letter: DeadLetter) -> Entry | None:
    try:
        entries = decode_batch(letter.body).entries
    except UndecodableBody:
        return None
    return entries[0] if len(entries) == 1 else None


def _moment(letter: DeadLetter) -> str:
    return datetime.fromtimestamp(letter.set_aside_seconds, UTC).isoformat().replace("+00:00", "Z")
