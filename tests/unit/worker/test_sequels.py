"""What is to follow: kept in memory, left in the log, brought back, done."""

import asyncio

import pytest

from broker.batch import NO_SENDER
from broker.interface import StoredRecord
from broker.record import NextEntry, Settled, decode_record, encode_settled
from services.worker import sequels as module
from services.worker.sequels import Sequels

LEFT_BYTES = 1_000_000


def stored(
    position: int, sequels: int = 1, followed: int = -1, payload: bytes = b"{}"
) -> StoredRecord:
    """A record of which so much follows."""
    following = [NextEntry(0, "c", NO_SENDER, len(payload), "main", 0)] * sequels
    body = encode_settled(
        position - 1, 0, [], [], following, [payload] * sequels, followed, (), str(position)
    )
    return StoredRecord(position, body)


def take(kept: Sequels, *records: StoredRecord) -> None:
    for record in records:
        settled = decode_record(record.body)
        assert isinstance(settled, Settled)
        kept.take(record, "e", settled)


@pytest.fixture
def kept() -> Sequels:
    return Sequels(LEFT_BYTES)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Sequels:
    """One that has room for one record in memory."""
    monkeypatch.setattr(module, "WAITING_BYTES_AT_MOST", 10)
    return Sequels(LEFT_BYTES)


def do_all(kept: Sequels) -> list[int]:
    """Do what is in memory, and tell of which records it was."""
    positions = []
    while (first := kept.first) is not None:
        positions.append(first.position)
        kept.done(first)
    return positions


def test_what_follows_is_done_in_the_order_of_the_log(kept: Sequels) -> None:
    take(kept, stored(3), stored(5, sequels=0), stored(8, sequels=2))
    assert do_all(kept) == [3, 8]
    assert kept.is_none
    assert kept.followed == 8


def test_a_record_tells_what_is_done_before_it(kept: Sequels) -> None:
    take(kept, stored(3), stored(5), stored(8, sequels=0, followed=3))
    assert do_all(kept) == [5]


def test_what_a_record_says_of_itself_or_of_later_ones_is_not_believed(kept: Sequels) -> None:
    take(kept, stored(3, followed=900), stored(5, followed=5))
    kept.hear(900, 6)
    assert kept.followed == -1
    assert do_all(kept) == [3, 5]


def test_what_was_being_done_when_the_log_was_read_anew_says_nothing_of_the_new_one(
    kept: Sequels,
) -> None:
    take(kept, stored(900))
    being_done = kept.first
    assert being_done is not None
    kept.clear()
    take(kept, stored(3))
    kept.done(being_done)
    assert kept.followed == -1
    assert do_all(kept) == [3]


def test_what_has_no_room_is_left_in_the_log_and_brought_back_in_its_turn(small: Sequels) -> None:
    records = [stored(position) for position in range(1, 6)]
    take(small, *records)
    assert do_all(small) == [1]
    assert not small.is_none
    assert small.left_from == 2
    assert not small.bring_back(records[1])
    assert do_all(small) == [2]
    # What comes meanwhile stands behind what is left.
    take(small, last := stored(6))
    for record in (*records[2:], last):
        small.bring_back(record)
        assert do_all(small) == [record.position]
    assert small.is_none


def test_of_what_is_left_as_much_is_brought_back_as_has_room(
    small: Sequels, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [stored(position, sequels=position % 2) for position in range(1, 10)]
    take(small, *records)
    assert do_all(small) == [1]
    monkeypatch.setattr(module, "WAITING_BYTES_AT_MOST", 300)
    assert [small.bring_back(record) for record in records[2:]][:5] == [True] * 4 + [False] * 1
    assert do_all(small) == [3, 5, 7, 9]


def test_what_retention_took_meanwhile_is_passed_over(small: Sequels) -> None:
    records = [stored(position) for position in range(1, 5)]
    take(small, *records)
    assert do_all(small) == [1]
    small.bring_back(records[3])
    assert do_all(small) == [4]
    assert small.is_none


def test_another_record_at_the_place_of_what_is_left_is_not_taken_for_it(small: Sequels) -> None:
    take(small, stored(1), stored(2))
    assert do_all(small) == [1]
    small.bring_back(stored(2, payload=b'"another"'))
    assert small.is_none


def test_what_somebody_else_did_is_left_no_more(small: Sequels) -> None:
    take(small, *(stored(position) for position in range(1, 5)), stored(6, sequels=0, followed=4))
    assert small.is_none


def test_no_more_is_left_than_the_log_keeps(small: Sequels) -> None:
    take(small, stored(1), stored(2))
    assert small.has_room
    kept = Sequels(len(stored(4, sequels=0).body))
    take(kept, stored(1), stored(2))
    assert kept.has_room
    take(kept, stored(3, sequels=0), stored(4, sequels=0))
    assert not kept.has_room


def test_of_no_more_than_so_many_records_it_is_kept_where_they_are(
    small: Sequels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEFT_RECORDS_AT_MOST", 2)
    take(small, stored(1), stored(2))
    assert small.has_room
    take(small, stored(3))
    assert not small.has_room


async def test_who_waits_hears_of_the_first_and_of_the_last(kept: Sequels) -> None:
    waiting = asyncio.ensure_future(kept.until_some())
    await kept.until_none()
    take(kept, stored(1))
    await waiting
    waiting = asyncio.ensure_future(kept.until_none())
    await asyncio.sleep(0)
    assert not waiting.done()
    do_all(kept)
    await waiting
