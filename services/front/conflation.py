"""What is held back of channels whose subscribers are told the newest alone: `conflate`.

The first publication after a quiet time is told at once and opens a window. The newest of those
that come within it is held back, told when it ends, and opens the next.

Rules
- A channel has one window, with one publication held at most, and none when it is quiet. Where
  deltas are told the one that was told last is kept beside it: it is what the next is told against.
- A channel's very first publication is told itself, since it tells the epoch, which begins with it.
  Another epoch is another channel: nothing of the one before is told any more.
- What is held is bounded in bytes; beyond the bound a publication is told at once.
- One waiter for all windows. None is shorter than the shortest there can be, so who looks again
  that soon is never late for one that opened meanwhile.

Not here: which encodings and sessions it is told in (`fanout`); histories, which keep all.
"""

import asyncio
import heapq
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from broker.clock import Clock
from services.front.addresses import Addresses
from services.settings import Config
from services.view.history import Publication

# Held and told last, over all channels. Most of it the histories hold as well, where there are any.
HELD_BYTES_AT_MOST: Final = 32 * 1024 * 1024


class Conflating(NamedTuple):
    """How a channel's publications are held back."""

    seconds: float
    tells_deltas: bool = False


class News(NamedTuple):
    """A publication that is told now, and what fan-out has to know of it."""

    channel: str
    publications: list[Publication]
    """One."""
    sequence: int
    epoch: str
    previous: Publication | None
    """The one that was told last, if it is at hand."""


class _Window:
    __slots__ = ("conflating", "ends_seconds", "epoch", "held", "sequence", "told")

    def __init__(self, conflating: Conflating) -> None:
        self.conflating = conflating
        self.ends_seconds = 0.0
        self.epoch = ""
        self.held: Publication | None = None
        self.sequence = 0
        self.told: Publication | None = None

    @property
    def size_bytes(self) -> int:
        return sum(kept.size_bytes for kept in (self.held, self.told) if kept is not None)


class Conflation:
    """The windows of a process's channels."""

    def __init__(
        self,
        clock: Clock,
        conflating_of: Callable[[str], Conflating | None],
        shortest_seconds: float,
        limit_bytes: int = HELD_BYTES_AT_MOST,
    ) -> None:
        """`conflating_of` says how a channel's are held back, for no less than the shortest."""
        self.conflating_of: Final = conflating_of
        self._clock = clock
        self._shortest_seconds = shortest_seconds
        self._limit_bytes = limit_bytes
        self._windows: dict[str, _Window] = {}
        # One for each window, perhaps earlier than it ends by now: then it is put back.
        self._ends: list[tuple[float, str]] = []
        self._is_open = asyncio.Event()
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._windows)

    def take(
        self,
        channel: str,
        conflating: Conflating,
        publications: Sequence[Publication],
        sequence: int,
        epoch: str,
        previous: Publication | None,
    ) -> News | None:
        """Give what is told of a record's publications now; the newest is held back otherwise.

        Arguments are as `Fanout.publish` has them.
        """
        newest = publications[-1]
        # Without offsets there are no epochs that anybody is told of.
        epoch = epoch if newest.offset else ""
        window = self._windows.get(channel)
        if window is None:
            window = self._windows[channel] = _Window(conflating)
        elif window.epoch == epoch:
            self._keep(window, newest, window.told)
            window.sequence = sequence
            is_too_much = self.held_bytes > self._limit_bytes
            return self._tell(channel, window) if is_too_much else None
        first = publications[0] if publications[0].offset == 1 else newest
        window.epoch = epoch
        window.sequence = sequence
        self._keep(window, first, previous)
        news = self._tell(channel, window)
        if first is not newest:
            self._keep(window, newest, window.told)
        return news

    async def wait(self) -> None:
        """Wait until a window ends. Cancelling: loses nothing."""
        while True:
            await self._is_open.wait()
            rest_seconds = self._ends[0][0] - self._clock.monotonic()
            if rest_seconds <= 0:
                return
            await self._clock.sleep(min(rest_seconds, self._shortest_seconds))

    def end(self) -> News | None:
        """Give what is told because its window has ended; None if nothing more is."""
        now_seconds = self._clock.monotonic()
        news = None
        while news is None and self._ends and self._ends[0][0] <= now_seconds:
            _, channel = heapq.heappop(self._ends)
            window = self._windows[channel]
            if window.ends_seconds > now_seconds:
                heapq.heappush(self._ends, (window.ends_seconds, channel))
            elif window.held is None:
                self._keep(window, None, None)
                del self._windows[channel]
            else:
                news = self._tell(channel, window)
                heapq.heappush(self._ends, (window.ends_seconds, channel))
        if not self._ends:
            self._is_open.clear()
        return news

    def held(self, channel: str) -> News | None:
        """Give what is held back of a channel; it stays so."""
        window = self._windows.get(channel)
        if window is None or window.held is None:
            return None
        return News(channel, [window.held], window.sequence, window.epoch, window.told)

    def forget_told(self, is_lost: Callable[[str], bool]) -> None:
        """Tell nothing more of these channels against what was told.

        What is held stays: whoever relies on positions is told to come back, and joins after it.
        """
        for channel, window in self._windows.items():
            if is_lost(channel):
                self._keep(window, window.held, None)

    def _keep(self, window: _Window, held: Publication | None, told: Publication | None) -> None:
        self.held_bytes -= window.size_bytes
        window.held, window.told = held, told
        self.held_bytes += window.size_bytes

    def _tell(self, channel: str, window: _Window) -> News:
        """Give what is held, and let the next window begin."""
        assert window.held is not None
        news = News(channel, [window.held], window.sequence, window.epoch, window.told)
        self._keep(window, None, window.held if window.conflating.tells_deltas else None)
        if self.held_bytes > self._limit_bytes:
            # The next is told whole.
            self._keep(window, None, None)
        is_new = not window.ends_seconds
        window.ends_seconds = self._clock.monotonic() + window.conflating.seconds
        if is_new:
            heapq.heappush(self._ends, (window.ends_seconds, channel))
            self._is_open.set()
        return news


def find_conflation(config: Config, addresses: Addresses, clock: Clock) -> Conflation | None:
    """The windows that these settings want; None if all that is published is told."""
    lengths = [options.conflate for options in (config.without_namespace, *config.namespace)]
    if not any(lengths):
        return None

    def conflating_of(channel: str) -> Conflating | None:
        options = addresses.find(channel).options
        return Conflating(options.conflate, options.delta_publish) if options.conflate else None

    return Conflation(clock, conflating_of, min(filter(None, lengths)))
