"""The position of every channel with history.

A channel numbers its publications from 1 without gaps. Its epoch is the log's epoch and the
*period* of its first publication: log time, rounded down to a multiple of how long an idle
channel is remembered. One idle for longer is forgotten, by everybody at the same Fence; when it
lives again its period is a later one, because that much time has passed at least.

Rules: a channel that is not known is at offset 0 of the current period; nothing is written to
find that out. Kept in order of last publication, so forgetting looks at nothing it keeps.
"""

from collections import OrderedDict
from collections.abc import Iterator

import msgspec

# About 3 ms.
_ROWS_A_STEP = 10_000


class Top(msgspec.Struct, array_like=True, gc=False):
    """Where a channel is."""

    period: int
    offset: int
    last_seconds: int
    """Log time of the last publication."""


class Tops:
    """The channels of one partition."""

    __slots__ = ("_channels", "_remember_seconds")

    def __init__(self, remember_seconds: int) -> None:
        """Forget a channel when it has been idle for longer than `remember_seconds`."""
        self._channels: OrderedDict[str, Top] = OrderedDict()
        self._remember_seconds = remember_seconds

    def __len__(self) -> int:
        return len(self._channels)

    def get(self, channel: str) -> Top | None:
        """Give the channel's position, or None: offset 0 of the current period."""
        return self._channels.get(channel)

    def current_period(self, log_seconds: int) -> int:
        """Tell the period of a channel that begins now."""
        return log_seconds - log_seconds % self._remember_seconds

    def advance(self, channel: str, period: int, offset: int, log_seconds: int) -> bool:
        """Take note of a publication that a record which counted brought.

        Answers False if it does not follow the one before it: some records were not read.
        """
        top = self._channels.get(channel)
        if top is None:
            self._channels[channel] = Top(period, offset, log_seconds)
            return True
        follows = top.period != period or top.offset + 1 == offset
        top.period = period
        top.offset = offset
        if top.last_seconds != log_seconds:
            # Order within one second of log time (it moves with Fences) does not matter.
            top.last_seconds = log_seconds
            self._channels.move_to_end(channel)
        return follows

    def forget_idle(self, log_seconds: int) -> list[str]:
        """Forget what has been idle for too long; at each Fence, so that all do it alike."""
        forgotten = []
        while self._channels:
            channel, top = next(iter(self._channels.items()))
            if log_seconds - top.last_seconds <= self._remember_seconds:
                break
            del self._channels[channel]
            forgotten.append(channel)
        return forgotten

    def clear(self) -> None:
        """Start every channel afresh: the log has a new epoch."""
        self._channels.clear()

    def rows(self) -> list[tuple[str, Top]]:
        """Give what a snapshot keeps, least recently published first; a copy, rows and all."""
        return [
            (channel, Top(top.period, top.offset, top.last_seconds))
            for channel, top in self._channels.items()
        ]

    def restore(self, rows: list[tuple[str, Top]]) -> None:
        """Take a snapshot's channels in place of those that are known."""
        for _ in self.restoring(rows):
            pass

    def restoring(self, rows: list[tuple[str, Top]]) -> Iterator[None]:
        """Take a snapshot's channels in place of those that are known, in short steps."""
        channels = self._channels = OrderedDict()
        for start in range(0, len(rows), _ROWS_A_STEP):
            channels.update(rows[start : start + _ROWS_A_STEP])
            yield
