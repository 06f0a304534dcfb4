"""Which partition a channel belongs to."""

from hypothesis import given
from hypothesis import strategies as st

from broker.partition import Partition, partition_number
from tests.unit.broker.bodies import texts


@given(texts, st.integers(1, 64))
def test_a_channel_is_in_one_of_the_partitions(channel: str, count: int) -> None:
    assert 0 <= partition_number(channel, count) < count


def test_the_mapping_never_changes() -> None:
    # crc32 of the UTF-8 bytes, as any tool computes it; what is stored in logs depends on it.
    numbers = [partition_number(name, 4) for name in ("lobby", "chat:1", "news", "größe", "")]
    assert numbers == [0xCCE455F7 % 4, 0x32F56E72 % 4, 0x1DD39950 % 4, 0x5BD3A989 % 4, 0]


def test_channels_spread_over_the_partitions() -> None:
    found = {partition_number(f"chat:{number}", 8) for number in range(200)}
    assert found == set(range(8))


def test_a_partition_is_named_after_its_lane_and_number() -> None:
    assert Partition("main", 3).name == "main.3"
