"""Where a channel is: its parsed name, its namespace's options and its partition.

Remembered for the channels asked for lately, since each publish asks.

Rules: only legal names of known namespaces are remembered, so what is kept is bounded by count and
by the length of a name.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from broker.partition import Partition, partition_number
from services.permissions import Permissions
from services.settings import ChannelOptions, Config
from services.wire.channel import Channel, parse_channel
from services.wire.errors import ErrorCode, Refusal

# Some 8 MB when every name is as long as it may be.
REMEMBERED_AT_MOST: Final = 10_000


class Address(NamedTuple):
    """Where a channel is, and under which rules."""

    channel: Channel
    options: ChannelOptions
    partition: Partition


class Addresses:
    """Finds addresses."""

    def __init__(self, config: Config, permissions: Permissions) -> None:
        self._permissions = permissions
        self._partitions = {name: lane.partitions for name, lane in config.lanes.items()}
        self.find = lru_cache(REMEMBERED_AT_MOST)(self._find)
        """The address of a channel. Raises Refusal: 107 for no legal name, 102 for no namespace."""

    def _find(self, name: str) -> Address:
        channel = parse_channel(name)
        options = self._permissions.options_of(channel)
        if options is None:
            raise Refusal(ErrorCode.UNKNOWN_CHANNEL.error)
        number = partition_number(name, self._partitions[options.lane])
        return Address(channel, options, Partition(options.lane, number))
