"""Snapshots: only complete ones are used, the last of them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from broker.batch import FORMAT_VERSION
from broker.genesis import genesis_snapshot
from services.view.ledger import LedgerState
from services.view.settled import ProducerState
from services.view.snapshot import Snapshot, encode_snapshot, latest_snapshot
from services.view.tops import Top
from tests.unit.broker.bodies import nonsense
from tests.unit.view.records import fence

LARGE = 4_500


def snapshot(position: int, *, channels: int = 3, producers: int = 2, keys: int = 1) -> Snapshot:
    return Snapshot(
        position,
        f"digest {position}",
        LedgerState(position, position - 1, fence("e1", wall_seconds=7), "e1", 7),
        [(f"channel {index}", Top(0, index + 1, 7)) for index in range(channels)],
        [ProducerState(f"p{index}", 9, "1ff", {"10": "5"}) for index in range(producers)],
        [(f"{index:024x}", index) for index in range(keys)],
    )


def bodies(made: Snapshot, name: str = "") -> list[bytes]:
    return list(encode_snapshot(name or f"id {made.position}", made))


INTERLEAVED = [snapshot(position, channels=LARGE) for position in (5, 9, 13)]


def test_a_snapshot_is_read_as_it_was_written() -> None:
    for channels, producers, keys in (
        (0, 0, 0),
        (3, 2, 1),
        (LARGE, 0, 0),
        (0, 1_200, 0),
        (0, 0, LARGE),
        (LARGE, 1_200, 1),
    ):
        made = snapshot(5, channels=channels, producers=producers, keys=keys)
        assert latest_snapshot(bodies(made)) == made


def test_a_large_snapshot_is_written_as_messages_of_moderate_size() -> None:
    written = bodies(snapshot(5, channels=LARGE, producers=1_200, keys=LARGE))
    assert len(written) == 1 + 3
    assert max(len(body) for body in written) < 256 * 1024


def test_a_stream_with_no_more_than_its_beginning_has_no_snapshot() -> None:
    assert latest_snapshot([]) is None
    assert latest_snapshot([genesis_snapshot()]) is None


def test_the_last_of_several_snapshots_is_used() -> None:
    assert latest_snapshot([*bodies(snapshot(5)), *bodies(snapshot(9))]) == snapshot(9)


def test_a_torn_snapshot_leaves_the_one_before_it_in_use() -> None:
    torn = bodies(snapshot(9, channels=LARGE))
    for length in range(len(torn)):
        assert latest_snapshot([*bodies(snapshot(5)), *torn[:length]]) == snapshot(5)


def test_a_snapshot_whose_beginning_is_gone_is_not_used() -> None:
    parts = bodies(snapshot(5, channels=LARGE))
    assert latest_snapshot(parts[1:]) is None
    assert latest_snapshot([*parts[1:], *bodies(snapshot(9))]) == snapshot(9)


def test_a_snapshot_with_a_part_missing_or_out_of_order_is_not_used() -> None:
    head, first, second, third = bodies(snapshot(9, channels=LARGE))
    for broken in (
        [head, second, third],
        [head, first, third],
        [head, first, third, second],
        [first, head, second, third],
    ):
        assert latest_snapshot([*bodies(snapshot(5)), *broken]) == snapshot(5)


def test_a_part_that_was_written_twice_spoils_nothing() -> None:
    head, first, second, third = bodies(snapshot(9, channels=LARGE))
    assert latest_snapshot([head, first, first, second, third]) == snapshot(9, channels=LARGE)


def test_of_two_snapshots_written_into_each_other_none_is_mixed() -> None:
    one = bodies(snapshot(5, channels=LARGE))
    other = bodies(snapshot(9, channels=LARGE + 1))
    mixed = [body for pair in zip(one, other, strict=True) for body in pair]
    assert latest_snapshot(mixed) == snapshot(9, channels=LARGE + 1)


def test_a_snapshot_of_when_there_were_no_keys_is_read() -> None:
    older = bodies(snapshot(9, keys=0))
    older[1:] = [json.encode(json.decode(part)[:6]) for part in older[1:]]
    assert latest_snapshot(older) == snapshot(9, keys=0)


def test_what_is_of_a_later_format_is_passed_over() -> None:
    later = bodies(snapshot(9))
    for index, body in enumerate(later):
        fields = json.decode(body)
        fields[1] = FORMAT_VERSION + 1
        later[index] = json.encode(fields)
    assert latest_snapshot([*bodies(snapshot(5)), *later]) == snapshot(5)


@settings(deadline=None)
@given(st.lists(nonsense, max_size=5), st.integers(0, 2))
def test_nonsense_between_snapshots_is_passed_over(between: list[bytes], place: int) -> None:
    parts = bodies(snapshot(5))
    assert latest_snapshot([*parts[:place], *between, *parts[place:]]) == snapshot(5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2), max_size=12))
def test_interleaved_writers_leave_a_whole_snapshot_or_none(turns: list[int]) -> None:
    writers = [iter(bodies(each)) for each in INTERLEAVED]
    stream = [next(writers[turn], b"") for turn in turns]
    assert latest_snapshot(stream) in [*INTERLEAVED, None]
