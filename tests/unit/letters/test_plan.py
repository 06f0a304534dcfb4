"""What of dead letters can be done again, where and in what order."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.batch import EntryKind
from broker.interface import DeadLetter, DeadReason
from broker.partition import Partition, partition_number
from services.letters import plan as plan_module
from services.letters.plan import BATCH_BYTES_AT_MOST, Plan
from services.settings import ChannelOptions, Config, LaneConfig, NamespaceConfig
from tests.unit.letters.making import held, letter

CONFIG = Config(
    lanes={"main": LaneConfig(partitions=2), "bulk": LaneConfig(partitions=1)},
    without_namespace=ChannelOptions(),
    namespace=(NamespaceConfig(name="chat"), NamespaceConfig(name="big", lane="bulk")),
)


def planned(*letters: DeadLetter) -> Plan:
    plan = Plan(CONFIG)
    for each in held(*letters):
        plan.add(each)
    return plan


def keys(plan: Plan) -> list[str]:
    return [each.entry.key for _, _, batch in plan.batches() for each in batch]


def test_an_entry_goes_to_its_channels_partition_of_today() -> None:
    plan = planned(letter("chat:1"), letter("big:1", "0a.main.0/2/0"))
    where = {batch[0].entry.channel: partition for partition, _, batch in plan.batches()}
    assert where == {
        "chat:1": Partition("main", partition_number("chat:1", 2)),
        "big:1": Partition("bulk", 0),
    }


@pytest.mark.parametrize("kind", [EntryKind.CALL, EntryKind.SEND, EntryKind.LEFT])
def test_what_is_of_no_channel_goes_where_it_was(kind: EntryKind) -> None:
    plan = planned(letter("a method", "0a.main.1/1/0", kind=kind))
    assert [partition for partition, _, _ in plan.batches()] == [Partition("main", 1)]


def test_an_entry_has_its_letters_id_for_a_key_or_keeps_its_own() -> None:
    plan = planned(letter(place="0a.main.0/1/0"), letter(place="0a.main.0/1/1", key="its own"))
    assert keys(plan) == ["0a.main.0/1/0", "its own"]


def test_a_letter_that_was_set_aside_twice_is_one_entry() -> None:
    plan = planned(letter(), letter(place="0a.main.0/2/0"), letter())
    assert keys(plan) == ["0a.main.0/1/0", "0a.main.0/2/0"]
    (_, _, (first, second)) = next(plan.batches())
    assert [each.tag for each in first.letters] == [1, 3]
    assert [each.tag for each in second.letters] == [2]


def test_an_entry_that_failed_again_is_one_entry_where_it_failed_first() -> None:
    again = letter(place="0a.main.0/9/0", key="k")
    plan = planned(again, letter(place="0a.main.0/4/0"), letter(place="0a.main.0/3/0", key="k"))
    assert keys(plan) == ["k", "0a.main.0/4/0"]


def test_the_same_key_in_another_channel_is_another_entry() -> None:
    assert planned(letter("a", key="k"), letter("chat:b", key="k")).entries == 2


@given(st.randoms(use_true_random=False), st.lists(st.integers(0, 30), unique=True, max_size=8))
def test_the_order_is_the_logs_whatever_the_queues_is(
    chance: random.Random, positions: list[int]
) -> None:
    places = [f"0a.main.0/{position}/{index}" for position in positions for index in (0, 1, 10)]
    letters = [letter(place=place) for place in places]
    chance.shuffle(letters)
    expected = sorted(places, key=lambda place: tuple(map(int, place.split("/")[1:])))
    assert keys(planned(*letters)) == expected


def test_of_two_logs_that_which_was_first_is_first() -> None:
    later = letter(place="00.main.0/1/0", seconds=2_000)
    plan = planned(later, letter(place="0b.main.0/9/0"), letter(place="0b.main.0/10/0"))
    assert keys(plan) == ["0b.main.0/9/0", "0b.main.0/10/0", "00.main.0/1/0"]


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (DeadLetter(b"x", DeadReason.UNDECODABLE, "why"), "undecodable"),
        (letter()._replace(body=b"x"), "version"),
        (letter()._replace(message_id=""), "no id"),
        (letter()._replace(message_id="0a.main.x/1/0"), "no id"),
        (letter()._replace(message_id="0a.main.0/1"), "no id"),
        (letter("gone:1"), "no namespace 'gone'"),
        (letter("not ä channel"), "name"),
        (letter("m", "0a.gone.0/1/0", kind=EntryKind.CALL), "no lane 'gone'"),
    ],
)
def test_what_cannot_be_done_again_is_said_and_left(odd: DeadLetter, why: str) -> None:
    plan = planned(letter(), odd, odd)
    assert plan.entries == 1
    ((said, count),) = plan.staying.items()
    assert why in said
    assert count == 2


def test_a_batch_has_so_many_entries_or_bytes_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "BATCH_ENTRIES_AT_MOST", 2)
    large = b"x" * BATCH_BYTES_AT_MOST
    payloads = [b"1", b"2", b"3", large, large, b"4", b"5"]
    letters = [letter(place=f"0a.main.0/1/{n}", payload=p) for n, p in enumerate(payloads)]
    batches = [(number, len(batch)) for _, number, batch in planned(*letters).batches()]
    assert batches == [(1, 2), (2, 1), (3, 1), (4, 1), (5, 2)]
