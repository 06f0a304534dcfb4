"""Batches: the entries one AMQP message carries to a worker, as bytes.

An index line in JSON, then each payload raw on a line of its own. The index holds each
payload's length, so that a reader cuts payloads out without looking at them: one that does not
parse spoils no neighbour, and none is ever re-encoded on its way.

    ["batch",1,"<producer>",<number>,
     [[<kind>,"<name>",<sender or null>,<payload bytes>,"<key>"], …],<unheard>]
    <payload>
    <payload>

Rules: the second field is the format's version; a process reads its own version and the one
before it. New fields go to the end and have a default.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import TypeVar

import msgspec

from broker.errors import UndecodableBody

FORMAT_VERSION = 1
_OLDEST_READABLE_VERSION = 1

NO_SENDER = msgspec.Raw(b"null")

Index = TypeVar("Index")


class EntryKind(IntEnum):
    """What a worker is asked to do with an entry."""

    PUBLISH = 0
    CUT = 1
    """The log is not the one it was (its tail is lost, or it was made anew): give it a new epoch.

    The name is empty and the payload is the epoch that is to end."""
    CALL = 2
    """A client calls a method of the team's, and waits for what it gives back."""
    SEND = 3
    """A client sends something to the team's handlers, and waits for nothing."""
    LEFT = 4
    """A client that was connected is gone; the payload says why."""
    ORDER = 5
    """Fronts are to do something with their clients: see the payload."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One client request on its way to the worker."""

    kind: EntryKind
    channel: str
    """A call's method; empty for what belongs to neither."""
    sender: msgspec.Raw
    """The sender as subscribers see it: an encoded ClientInfo object, or `null`."""
    payload: bytes
    key: str = ""
    """What is published with a key that was published not long ago is not published again."""


class _IndexEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    kind: int
    channel: str
    sender: msgspec.Raw
    payload_bytes: int
    key: str = ""


class _Index(msgspec.Struct, frozen=True, array_like=True, tag="batch", gc=False):
    version: int
    producer: str
    number: int
    entries: list[_IndexEntry]
    is_unheard: bool = False


class Batch(msgspec.Struct, frozen=True):
    """Entries of one producer for one partition; `number` counts the producer's batches from 1."""

    producer: str
    number: int
    entries: list[Entry]
    is_unheard: bool = False
    """Nobody hears what becomes of them: they are done again, or follow from others. No rates hold
    for them, and what is refused is a dead letter."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Index)


def encode_batch(producer: str, number: int, entries: list[Entry]) -> bytes:
    """Write a batch as an AMQP message's body."""
    return _encode(Batch(producer, number, entries))


def encode_unheard(producer: str, number: int, entries: list[Entry]) -> bytes:
    """Write a batch of entries of which nobody hears what becomes of them."""
    return _encode(Batch(producer, number, entries, is_unheard=True))


def _encode(batch: Batch) -> bytes:
    entries = batch.entries
    index = _Index(
        FORMAT_VERSION,
        batch.producer,
        batch.number,
        [_IndexEntry(e.kind, e.channel, e.sender, len(e.payload), e.key) for e in entries],
        batch.is_unheard,
    )
    lines = [_encoder.encode(index)]
    lines += [entry.payload for entry in entries]
    return b"\n".join(lines)


def decode_batch(body: bytes) -> Batch:
    """Read an AMQP message's body.

    Raises:
        UndecodableBody: it is no batch, or one of a format this process does not know.
    """
    index, first_payload = split_index(body, _decoder, "batch")
    if not _OLDEST_READABLE_VERSION <= index.version <= FORMAT_VERSION:
        raise UndecodableBody(f"a batch of format version {index.version}, not readable here")
    try:
        entries = [
            Entry(EntryKind(entry.kind), entry.channel, entry.sender, payload, entry.key)
            for entry, payload in zip(
                index.entries,
                cut_payloads(body, first_payload, [e.payload_bytes for e in index.entries]),
                strict=True,
            )
        ]
    except ValueError as error:
        raise UndecodableBody(f"no batch: {error}") from None
    return Batch(index.producer, index.number, entries, index.is_unheard)


def split_index(
    body: bytes, decoder: "msgspec.json.Decoder[Index]", noun: str
) -> tuple[Index, int]:
    """Decode a body's first line and say where what follows it begins.

    Raises:
        UndecodableBody: the first line is not such an index.
    """
    end = body.find(b"\n")
    try:
        index = decoder.decode(body if end < 0 else memoryview(body)[:end])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableBody(f"no {noun}: {error}") from None
    return index, len(body) if end < 0 else end + 1


def cut_payloads(body: bytes, start: int, lengths: Sequence[int]) -> Iterator[bytes]:
    """Cut the payloads that follow an index out of a body.

    Raises:
        UndecodableBody: the lengths are not those of this body.
    """
    line_breaks = max(0, len(lengths) - 1)
    if any(n < 0 for n in lengths) or start + sum(lengths) + line_breaks != len(body):
        raise UndecodableBody("the index's payload lengths are not those of the body")
    for length in lengths:
        yield body[start : start + length]
        start += length + 1
