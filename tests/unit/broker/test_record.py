"""Records and their bytes."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.batch import FORMAT_VERSION
from broker.errors import UndecodableBody
from broker.genesis import genesis_fence, genesis_snapshot
from broker.record import (
    Fence,
    Outcome,
    Outcomes,
    Published,
    Settled,
    channel_epoch,
    decode_record,
    encode_fence,
    encode_settled,
)
from tests.unit.broker.bodies import mutated, nonsense, numbers, settled_parts, texts

fences = st.builds(
    Fence, st.just(FORMAT_VERSION), texts, texts, texts, numbers, numbers, st.booleans()
)
encoded_settled = st.builds(
    lambda after, wall_ms, parts: encode_settled(after, wall_ms, *parts),
    numbers,
    numbers,
    settled_parts(),
)


def plain(batches: list[Outcomes]) -> list[object]:
    """As plain values: two Raws of the same bytes are not always equal to each other."""
    return [
        (b.producer, b.number, b.size, b.first, [plain_outcome(o) for o in b.outcomes])
        for b in batches
    ]


def plain_outcome(outcome: Outcome) -> object:
    if not isinstance(outcome, Published):
        return outcome
    o = outcome
    return o.channel, o.period, o.offset, o.payload_bytes, bytes(o.sender)


@given(fences)
def test_a_fence_comes_back_as_it_was(fence: Fence) -> None:
    assert decode_record(encode_fence(fence)) == fence


@given(numbers, numbers, settled_parts())
def test_a_settled_comes_back_as_it_was(
    after: int, wall_ms: int, parts: tuple[list[Outcomes], list[bytes]]
) -> None:
    batches, payloads = parts
    record = decode_record(encode_settled(after, wall_ms, batches, payloads))
    assert isinstance(record, Settled)
    assert (record.after, record.wall_ms) == (after, wall_ms)
    assert plain(record.batches) == plain(batches)
    assert record.payloads == payloads


@given(numbers, settled_parts(), st.lists(st.tuples(texts, texts), max_size=3))
def test_the_keys_of_a_settled_come_back_as_they_were(
    after: int, parts: tuple[list[Outcomes], list[bytes]], keys: list[tuple[str, str]]
) -> None:
    record = decode_record(encode_settled(after, 0, *parts, keys=keys))
    assert isinstance(record, Settled)
    assert record.keys == keys
    assert record.payloads == parts[1]


@given(nonsense)
def test_nonsense_is_undecodable(body: bytes) -> None:
    with pytest.raises(UndecodableBody):
        decode_record(body)


@given(mutated(encoded_settled | fences.map(encode_fence)))
def test_a_mutated_record_is_a_record_or_undecodable(body: bytes) -> None:
    with contextlib.suppress(UndecodableBody):
        record = decode_record(body)
        if isinstance(record, Settled):
            encode_settled(record.after, record.wall_ms, record.batches, record.payloads)
            published = [o for b in record.batches for o in b.outcomes if type(o) is Published]
            assert [o.payload_bytes for o in published] == [len(p) for p in record.payloads]
        else:
            encode_fence(record)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b'["fence",2,"w","n","e",4,0]',
        b'["fence",1,"w","n","e"]',
        b'["batch",1,"p",1,[]]',
        b'["settled",1,0,0,[["p",1,1,0,[[5]]]]]',
        b'["settled",1,0,0,[["p",1,1,0,[[0,"c",0,1,2]]]]]\n1',
        b'["genesis",1]',
        b"[" * 100_000,
    ],
)
def test_what_is_no_record_is_undecodable(body: bytes) -> None:
    with pytest.raises(UndecodableBody):
        decode_record(body)


def test_a_fence_without_later_fields_has_their_defaults() -> None:
    fence = decode_record(b'["fence",1,"w","n","e",4,12]')
    assert fence == Fence(1, "w", "n", "e", 4, 12, cut=False)


def test_epochs_of_a_channel_differ_by_log_and_by_period() -> None:
    epochs = {channel_epoch(log, period) for log in ("a", "b") for period in (0, 3600)}
    assert len(epochs) == 4


def test_the_first_record_of_a_log_is_a_cut_fence() -> None:
    fence = decode_record(genesis_fence(4, 1_700_000_000))
    assert isinstance(fence, Fence)
    assert fence.cut
    assert (fence.partitions, fence.wall_seconds) == (4, 1_700_000_000)


def test_no_two_logs_begin_alike() -> None:
    assert genesis_fence(4, 0) != genesis_fence(4, 0)


def test_the_first_record_of_a_snapshot_stream_is_one_line() -> None:
    assert genesis_snapshot() == b'["genesis",1]'
