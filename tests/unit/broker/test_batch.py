"""Batches and their bytes."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from broker.batch import (
    NO_SENDER,
    Batch,
    Entry,
    EntryKind,
    decode_batch,
    encode_batch,
    encode_unheard,
)
from broker.errors import UndecodableBody
from tests.unit.broker.bodies import entry_lists, mutated, nonsense, numbers, texts

encoded_batches = st.builds(encode_batch, texts, numbers, entry_lists)


def entry(payload: bytes, channel: str = "news") -> Entry:
    return Entry(EntryKind.PUBLISH, channel, NO_SENDER, payload)


def with_sender(entries: list[Entry]) -> list[tuple[EntryKind, str, bytes, bytes]]:
    """As plain values: two Raws of the same bytes are not always equal to each other."""
    return [(e.kind, e.channel, bytes(e.sender), e.payload) for e in entries]


@given(texts, numbers, entry_lists)
def test_a_batch_comes_back_as_it_was(producer: str, number: int, entries: list[Entry]) -> None:
    batch = decode_batch(encode_batch(producer, number, entries))
    assert (batch.producer, batch.number) == (producer, number)
    assert with_sender(batch.entries) == with_sender(entries)


@given(texts, numbers, entry_lists)
def test_a_replay_comes_back_as_one(producer: str, number: int, entries: list[Entry]) -> None:
    assert not decode_batch(encode_batch(producer, number, entries)).is_unheard
    batch = decode_batch(encode_unheard(producer, number, entries))
    assert batch.is_unheard
    assert (batch.producer, batch.number) == (producer, number)
    assert with_sender(batch.entries) == with_sender(entries)


def test_a_batch_of_when_there_were_no_replays_is_read() -> None:
    body = encode_batch("p", 1, [entry(b"1")])
    assert decode_batch(body.replace(b",false]", b"]")) == decode_batch(body)


@given(nonsense)
def test_nonsense_is_undecodable(body: bytes) -> None:
    with pytest.raises(UndecodableBody):
        decode_batch(body)


@given(mutated(encoded_batches))
def test_a_mutated_batch_is_a_batch_or_undecodable(body: bytes) -> None:
    with contextlib.suppress(UndecodableBody):
        batch = decode_batch(body)
        # What could be read must be fit for passing on.
        decode_batch(encode_batch(batch.producer, batch.number, batch.entries))


@given(st.binary(max_size=100))
def test_a_payload_spoils_no_neighbour(payload: bytes) -> None:
    entries = [entry(b'{"a":1}'), entry(payload), entry(b"[]")]
    batch = decode_batch(encode_batch("p", 1, entries))
    assert [e.payload for e in batch.entries] == [b'{"a":1}', payload, b"[]"]


def test_payloads_follow_the_index_each_on_a_line_of_its_own() -> None:
    index, *payloads = encode_batch("p", 1, [entry(b'"x"'), entry(b"2")]).split(b"\n")
    assert index == b'["batch",1,"p",1,[[0,"news",null,3,""],[0,"news",null,1,""]],false]'
    assert payloads == [b'"x"', b"2"]


def test_a_batch_without_entries_is_a_batch() -> None:
    assert decode_batch(encode_batch("p", 1, [])) == Batch("p", 1, [])


def test_the_sender_is_kept_as_it_was_written() -> None:
    sender = b'{"user":"42",  "conn_info":{"b":1.0}}'
    body = encode_batch("p", 1, [Entry(EntryKind.PUBLISH, "c", Raw(sender), b"1")])
    assert bytes(decode_batch(body).entries[0].sender) == sender


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"[]",
        b'["batch",1]',
        b'["batch",0,"p",1,[]]',
        b'["batch",2,"p",1,[]]',
        b'["batch",-1,"p",1,[]]',
        b'["fence",1,"w","n","e",4,0]',
        b'["batch",1,"p",1,[[9,"c",null,1]]]\n1',
        b'["batch",1,"p",1,[[0,"c",null,2]]]\n1',
        b'["batch",1,"p",1,[[0,"c",null,1]]]\n12',
        b'["batch",1,"p",1,[[0,"c",null,1]]]\n1\n',
        b'["batch",1,"p",1,[[0,"c",null,1]]]',
        b'["batch",1,"p",1,[[0,"c",null,-1],[0,"c",null,3]]]\n1\n2',
        b'["batch",1,"\xff",1,[]]',
        b"[" * 100_000,
    ],
)
def test_what_is_no_batch_is_undecodable(body: bytes) -> None:
    with pytest.raises(UndecodableBody):
        decode_batch(body)


def test_fields_of_a_later_version_are_passed_over() -> None:
    body = b'["batch",1,"p",7,[[0,"c",null,1,"","new"]],false,"new"]\n1'
    assert with_sender(decode_batch(body).entries) == [(EntryKind.PUBLISH, "c", b"null", b"1")]
