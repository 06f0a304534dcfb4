"""The last publications of each channel of a partition, as a front keeps them.

The log is the only store; this is the part of it that is at hand for `history` and recovery.
Each channel keeps its last `size` publications for `ttl_ms`, and all channels together keep
`limit_bytes`: beyond that the channel published to longest ago goes first, those nobody here is
subscribed to before the others. What was let go is not lost but cannot be recovered from here:
its clients are told so.

Rules: the publications kept of a channel are always its newest, without a gap. Channels whose
history is off own no container.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

# A publication's bytes beyond its payload and sender: the tuple, two bytes objects, two integers.
_OVERHEAD_BYTES = 200


class Publication(NamedTuple):
    """A publication as the log has it."""

    offset: int
    data: bytes
    sender: bytes
    """Encoded ClientInfo, or `null`."""
    wall_ms: int

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        return len(self.data) + len(self.sender) + _OVERHEAD_BYTES


class Keeping(NamedTuple):
    """How much of a channel's history is kept."""

    size: int
    ttl_ms: int


class _Channel:
    __slots__ = ("bytes", "keeping", "period", "publications")

    def __init__(self, keeping: Keeping, period: int) -> None:
        self.keeping = keeping
        self.period = period
        self.publications: deque[Publication] = deque()
        self.bytes = 0

    def add(self, publication: Publication) -> int:
        """Add one and let go of what is over the size; give the change in bytes."""
        before = self.bytes
        self.publications.append(publication)
        self.bytes += publication.size_bytes
        while len(self.publications) > self.keeping.size:
            self.bytes -= self.publications.popleft().size_bytes
        return self.bytes - before

    def expire(self, now_ms: int) -> int:
        """Let go of what is too old; give the change in bytes."""
        before, oldest_ms = self.bytes, now_ms - self.keeping.ttl_ms
        while self.publications and self.publications[0].wall_ms < oldest_ms:
            self.bytes -= self.publications.popleft().size_bytes
        return self.bytes - before


class Histories:
    """The histories of a partition's channels."""

    def __init__(
        self,
        keeping_of: Callable[[str], Keeping],
        is_subscribed: Callable[[str], bool],
        limit_bytes: int,
    ) -> None:
        """Keep what `keeping_of` a channel says, at most `limit_bytes` over all of them."""
        self._keeping_of = keeping_of
        self._is_subscribed = is_subscribed
        self._limit_bytes = limit_bytes
        self._channels: OrderedDict[str, _Channel] = OrderedDict()
        self._sweep: Iterator[str] = iter(())
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._channels)

    def add(self, channel: str, period: int, publication: Publication) -> None:
        """Keep a publication, the channel's newest."""
        kept = self._channels.get(channel)
        if kept is None:
            keeping = self._keeping_of(channel)
            if keeping.size <= 0:
                return
            kept = self._channels[channel] = _Channel(keeping, period)
        else:
            self._channels.move_to_end(channel)
            newest = kept.publications[-1].offset if kept.publications else publication.offset - 1
            if kept.period != period or newest + 1 != publication.offset:
                self.bytes -= kept.bytes
                kept.publications.clear()
                kept.bytes = 0
                kept.period = period
        self.bytes += kept.add(publication)
        if self.bytes > self._limit_bytes:
            self._evict()

    def newest(self, channel: str, period: int) -> Publication | None:
        """Give the newest publication kept of a channel's period, however old it is."""
        kept = self._channels.get(channel)
        if kept is None or kept.period != period or not kept.publications:
            return None
        return kept.publications[-1]

    def after(self, channel: str, offset: int, now_ms: int, at_most: int) -> list[Publication]:
        """Give the oldest `at_most` of the publications kept that come after `offset`."""
        kept = self._fresh(channel, now_ms)
        if not kept:
            return []
        skip = max(0, offset + 1 - kept[0].offset)
        return list(islice(kept, skip, skip + at_most))

    def before(self, channel: str, offset: int, now_ms: int, at_most: int) -> list[Publication]:
        """Give the newest `at_most` of those kept that come before `offset`, newest first."""
        kept = self._fresh(channel, now_ms)
        if not kept:
            return []
        skip = max(0, kept[-1].offset + 1 - offset)
        return list(islice(reversed(kept), skip, skip + at_most))

    def _fresh(self, channel: str, now_ms: int) -> deque[Publication] | None:
        kept = self._channels.get(channel)
        if kept is None:
            return None
        self.bytes += kept.expire(now_ms)
        return kept.publications

    def forget(self, channel: str) -> None:
        """Let go of a channel's history."""
        kept = self._channels.pop(channel, None)
        if kept is not None:
            self.bytes -= kept.bytes

    def clear(self) -> None:
        """Let go of everything."""
        self._channels.clear()
        self.bytes = 0

    def expire(self, now_ms: int, at_most: int) -> int:
        """Let go of what is too old in the next `at_most` channels, in turns; give how many ended.

        In turns, since how long publications are kept differs from channel to channel.
        """
        gone = 0
        for _ in range(min(at_most, len(self._channels))):
            name = next(self._sweep, None)
            if name is None:
                self._sweep = iter(list(self._channels))
                name = next(self._sweep, "")
            channel = self._channels.get(name)
            if channel is None:
                continue
            self.bytes += channel.expire(now_ms)
            if not channel.publications:
                del self._channels[name]
                gone += 1
        return gone

    def _evict(self) -> None:
        # A little more than needed, so that the walk past spared channels is not made each time.
        target_bytes = self._limit_bytes - self._limit_bytes // 20
        for spare_subscribed in (True, False):
            for name in list(self._channels):
                if self.bytes <= target_bytes:
                    return
                if not (spare_subscribed and self._is_subscribed(name)):
                    self.forget(name)
