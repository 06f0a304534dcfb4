"""Which partition a channel belongs to.

Rules: the mapping is part of what a log means, so it never changes: crc32 of the channel's
UTF-8 bytes modulo the lane's number of partitions, computed by us and not by a plugin.
Channel names stop here: only lanes and numbers become queue names and routing keys.
"""

from typing import NamedTuple
from zlib import crc32


class Partition(NamedTuple):
    """One of a lane's partitions: its inbound queue, its log and its snapshots."""

    lane: str
    number: int

    @property
    def name(self) -> str:
        """As it stands in queue names: `main.0`."""
        return f"{self.lane}.{self.number}"


def partition_number(channel: str, count: int) -> int:
    """Which of a lane's `count` partitions carries the channel."""
    return crc32(channel.encode()) % count
