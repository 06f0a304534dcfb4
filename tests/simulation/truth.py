"""Which records of a log count, and what they say: worked out anew, with none of our own code.

So a fault in how the product folds a log does not hide itself. The rules are those of
`docs/architecture.md`; a body is read as JSON, as `broker/record.py` describes it.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from broker.interface import StoredRecord


class Told(NamedTuple):
    """An outcome in a record that counts."""

    position: int
    producer: str
    number: int
    place: int
    kind: int
    """0 published, 1 done, 2 refused."""
    channel: str
    epoch: str
    offset: int
    payload: bytes


class Truth(NamedTuple):
    """What a log says."""

    told: list[Told]
    counted: list[StoredRecord]
    """The records that count and are no Fences."""
    epoch: str


def read_truth(records: Sequence[StoredRecord], within_positions: int) -> Truth:
    """Read a log from its first record on."""
    told: list[Told] = []
    counted: list[StoredRecord] = []
    head = fenced = -1
    epoch = nonce = ""
    for stored in records:
        line, _, payloads = stored.body.partition(b"\n")
        item = json.loads(line)
        if item[0] == "fence":
            if item[7]:
                epoch = item[4]
            head = fenced = stored.position
            nonce = item[3]
        elif item[2] == head and item[8] == nonce and stored.position - fenced <= within_positions:
            head = stored.position
            counted.append(stored)
            told += _read_outcomes(stored.position, item[4], payloads, epoch)
    return Truth(told, counted, epoch)


def _read_outcomes(
    position: int, batches: list[list[object]], payloads: bytes, epoch: str
) -> list[Told]:
    found = []
    at = 0
    for producer, number, _, first, outcomes in batches:
        for place, outcome in enumerate(outcomes, first):  # type: ignore[arg-type, var-annotated]
            channel, told_epoch, offset, payload = "", epoch, 0, b""
            if outcome[0] == 0:
                _, channel, period, offset, size = outcome[:5]
                told_epoch = f"{epoch}.{period:x}"
                payload = payloads[at : at + size]
                at += size + 1
            found.append(
                Told(
                    position,
                    str(producer),
                    int(str(number)),
                    place,
                    outcome[0],
                    channel,
                    told_epoch,
                    offset,
                    payload,
                )
            )
    return found
