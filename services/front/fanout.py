"""How publications reach the sessions subscribed here.

A publication is encoded once for each encoding that is present, those of one channel and record
are joined into one frame, and the same bytes are offered to every session that shares it. A huge
channel is served in slices, one a turn of the loop, so that pings and other channels keep moving;
what is published there meanwhile waits and then goes out joined.

Rules
- Per channel in order: while a channel is being served in slices, all its frames queue.
- A subscription gets what was folded after it joined and before it left, nothing else.
- What waits is bounded in bytes; beyond the bound `ready` holds up whoever reads the log, and with
  it every channel: the log is where publications wait.
- Nobody waits for a client: one that is too slow is disconnected.

Not here: what a publication looks like (`encoding`), which are held back (`conflation`).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

from services.front.conflation import Conflation
from services.front.encoding import Encoding, Frame, Part
from services.front.hub import Hub, Subscription
from services.front.measures import Measures
from services.view.history import Publication
from services.wire.errors import Disconnect

# A slice of 1,000 writes takes some 7 ms (149,000 writes a second were measured); that is how late
# it makes everything else.
SLICE_SESSIONS: Final = 250

# What one round of slices joins, and what is offered in one turn of the loop before it may write:
# well under the smallest useful limit of an outbox, for nobody is slow who was not written to yet.
ROUND_BYTES_AT_MOST: Final = 256 * 1024
TURN_BYTES_AT_MOST: Final = 256 * 1024

# Channels whose windows end together, and of whose news the loop takes so many before others have
# their turn: with 200 sessions each some 6 ms, like a slice.
NEWS_A_TURN: Final = 64

# Of frames that wait for slices, over all channels. Beyond it the log is not read on.
WAITING_BYTES_AT_MOST: Final = 4 * 1024 * 1024


class _Round:
    """Some frames on their way to everybody who was subscribed when it began."""

    __slots__ = (
        "_at",
        "_clients",
        "_ends",
        "_follows",
        "_frames",
        "_joined",
        "_members",
        "_opening",
        "_publications",
    )

    def __init__(self, frames: list[Frame], members: list[Subscription]) -> None:
        self._frames = frames
        self._clients = {client for frame in frames for client in frame.clients}
        self._follows = frames[0].follows
        self._ends = frames[-1].ends
        self._joined = _join(frames, self._follows)
        # For those who were not told what it follows.
        self._opening = _join(frames, 0) if self._follows else self._joined
        self._publications = sum(frame.publications for frame in frames)
        self._members = members
        self._at = 0

    @property
    def size_bytes(self) -> int:
        return sum(frame.size_bytes for frame in self._frames)

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._members)

    def serve_slice(self, slow: list[Subscription]) -> int:
        """Offer to the next sessions; give how many publications were delivered."""
        first = self._frames[0].sequence
        clients = self._clients
        delivered = 0
        for member in self._members[self._at : self._at + SLICE_SESSIONS]:
            if not member.is_active:
                continue
            if member.joined_at < first and not (clients and member.session.id in clients):
                is_next = member.told_offset == self._follows
                content = self._joined if is_next else self._opening
                publications, ends = self._publications, self._ends
            else:
                content, publications, ends = self._for(member)
            if not publications:
                continue
            if member.outbox.offer(content):
                delivered += publications
                member.told_offset = ends
            else:
                slow.append(member)
        self._at += SLICE_SESSIONS
        return delivered

    def _for(self, member: Subscription) -> Part:
        contents: list[bytes] = []
        publications, told_offset = 0, member.told_offset
        for frame in self._frames:
            if frame.sequence > member.joined_at:
                content, count, told_offset = frame.without(member.session.id, told_offset)
                contents.append(content)
                publications += count
        return Part(b"".join(contents), publications, told_offset)


class _Backlog:
    """A huge channel that is being served."""

    __slots__ = ("round", "waiting")

    def __init__(self) -> None:
        self.round: _Round | None = None
        self.waiting: deque[Frame] = deque()

    def take(self, round_bytes: int) -> list[Frame]:
        """The frames of the next round: as many as fit, or one that does not."""
        frames = [self.waiting.popleft()]
        size_bytes = frames[0].size_bytes
        while self.waiting:
            size_bytes += self.waiting[0].size_bytes
            if size_bytes > round_bytes:
                break
            frames.append(self.waiting.popleft())
        return frames


class Fanout:
    """Hands publications to the sessions of this process."""

    def __init__(
        self,
        hub: Hub,
        measures: Measures,
        round_bytes: int = ROUND_BYTES_AT_MOST,
        conflation: Conflation | None = None,
    ) -> None:
        """Give no session more than `round_bytes` of one channel in one turn of the loop.

        `conflation` has the channels whose subscribers are told the newest alone, if there are any.
        """
        self._hub = hub
        self._round_bytes = round_bytes
        self._measures = measures
        self._conflation = conflation
        self._backlogs: dict[tuple[str, Encoding], _Backlog] = {}
        self._has_work = asyncio.Event()
        self._is_ready = asyncio.Event()
        self._is_ready.set()
        self._offered_bytes = 0
        self.waiting_bytes = 0
        """Of frames that wait for slices, or are being served in them."""

    async def ready(self) -> None:
        """Wait until little enough waits to read on. Cancelling: loses nothing."""
        if self._offered_bytes > TURN_BYTES_AT_MOST:
            self._offered_bytes = 0
            await asyncio.sleep(0)
        await self._is_ready.wait()

    def publish(
        self,
        channel: str,
        publications: Sequence[Publication],
        sequence: int,
        epoch: str = "",
        previous: Publication | None = None,
    ) -> None:
        """Deliver a record's publications of one channel, in their order, or hold them back.

        Never waits.

        `sequence` is the record's number, `epoch` the channel's: it is told with offset 1.
        `previous` is the publication before them, if it is kept.
        """
        groups = self._hub.groups(channel)
        if not groups:
            return
        self._measures.publications.value += len(publications)
        conflation = self._conflation
        conflating = conflation.conflating_of(channel) if conflation is not None else None
        if conflation is None or conflating is None:
            self._tell(groups, channel, publications, sequence, epoch, previous)
            return
        news = conflation.take(channel, conflating, publications, sequence, epoch, previous)
        if news is not None:
            self._tell(groups, *news)

    def tell_held(self, subscription: Subscription) -> None:
        """Give what is held back of its channel to whom is about to leave."""
        news = self._conflation.held(subscription.channel) if self._conflation else None
        if news is not None:
            self._serve([subscription], subscription.encoding.encode(*news))

    def forget_told(self, is_lost: Callable[[str], bool]) -> None:
        """Tell nothing against what was told of channels of which something may be missing."""
        if self._conflation is not None:
            self._conflation.forget_told(is_lost)

    async def run(self) -> None:
        """Serve huge channels, and tell what was held back, until cancelled.

        Cancelling: what waits is not delivered.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._serve_huge())
            if self._conflation is not None:
                tasks.create_task(self._tell_as_windows_end(self._conflation))

    async def _serve_huge(self) -> None:
        while True:
            await self._has_work.wait()
            for (channel, encoding), backlog in list(self._backlogs.items()):
                self._serve_slice(channel, encoding, backlog)
                await asyncio.sleep(0)
            if not self._backlogs:
                self._has_work.clear()

    async def _tell_as_windows_end(self, conflation: Conflation) -> None:
        told = 0
        while True:
            await conflation.wait()
            await self.ready()
            news = conflation.end()
            if news is None:
                continue
            self._tell(self._hub.groups(news.channel), *news)
            told += 1
            if told % NEWS_A_TURN == 0:
                await asyncio.sleep(0)

    def _tell(
        self,
        groups: Sequence[tuple[Encoding, Collection[Subscription]]],
        channel: str,
        publications: Sequence[Publication],
        sequence: int,
        epoch: str,
        previous: Publication | None,
    ) -> None:
        for encoding, members in groups:
            frames = encoding.encode(channel, publications, sequence, epoch, previous)
            size_bytes = sum(frame.size_bytes for frame in frames)
            if (
                (channel, encoding) in self._backlogs
                or len(members) > SLICE_SESSIONS
                or size_bytes > self._round_bytes
            ):
                self._queue(channel, encoding, frames)
            else:
                self._serve(members, frames)

    def _queue(self, channel: str, encoding: Encoding, frames: list[Frame]) -> None:
        if not frames:
            return
        backlog = self._backlogs.get((channel, encoding))
        if backlog is None:
            backlog = self._backlogs[channel, encoding] = _Backlog()
            self._has_work.set()
        backlog.waiting += frames
        self._count_waiting(sum(frame.size_bytes for frame in frames))

    def _serve(self, members: Collection[Subscription], frames: list[Frame]) -> None:
        slow: list[Subscription] = []
        delivered = 0
        for frame in frames:
            sequence, content, publications = frame.sequence, frame.content, frame.publications
            self._offered_bytes += frame.size_bytes
            if frame.pieces:
                delivered += _serve_others(members, frame, slow)
                continue
            if frame.opening:
                delivered += _serve_deltas(members, frame, slow)
                continue
            for member in members:
                if member.joined_at < sequence:
                    if member.outbox.offer(content):
                        delivered += publications
                    else:
                        slow.append(member)
        self._measures.deliveries.value += delivered
        _disconnect(slow)

    def _serve_slice(self, channel: str, encoding: Encoding, backlog: _Backlog) -> None:
        if backlog.round is None:
            members = list(self._hub.group(channel, encoding))
            backlog.round = _Round(backlog.take(self._round_bytes), members)
        slow: list[Subscription] = []
        self._measures.deliveries.value += backlog.round.serve_slice(slow)
        _disconnect(slow)
        if backlog.round.is_over:
            self._count_waiting(-backlog.round.size_bytes)
            backlog.round = None
            if not backlog.waiting:
                del self._backlogs[channel, encoding]

    def _count_waiting(self, more_bytes: int) -> None:
        self.waiting_bytes += more_bytes
        if self.waiting_bytes > WAITING_BYTES_AT_MOST:
            self._is_ready.clear()
        else:
            self._is_ready.set()


def _serve_others(members: Collection[Subscription], frame: Frame, slow: list[Subscription]) -> int:
    """Offer to everybody what others have made; give how many publications were delivered."""
    clients = frame.clients
    delivered = 0
    for member in members:
        if member.joined_at >= frame.sequence:
            continue
        client = member.session.id
        if client in clients:
            content, publications, ends = frame.without(client, member.told_offset)
            if not publications:
                continue
        else:
            content, publications = frame.after(member.told_offset), frame.publications
            ends = frame.ends
        if member.outbox.offer(content):
            member.told_offset = ends
            delivered += publications
        else:
            slow.append(member)
    return delivered


def _serve_deltas(members: Collection[Subscription], frame: Frame, slow: list[Subscription]) -> int:
    """Offer to everybody what changed; give how many publications were delivered."""
    delivered = 0
    for member in members:
        if member.joined_at >= frame.sequence:
            continue
        if member.outbox.offer(frame.after(member.told_offset)):
            member.told_offset = frame.ends
            delivered += frame.publications
        else:
            slow.append(member)
    return delivered


def _join(frames: Sequence[Frame], told_offset: int) -> bytes:
    """Frames one after the other, for whom was told the publication with this offset last."""
    parts: list[bytes] = []
    for frame in frames:
        parts.append(frame.after(told_offset))
        told_offset = frame.ends
    return b"".join(parts)


def _disconnect(slow: list[Subscription]) -> None:
    for member in slow:
        # Who left meanwhile has a closed outbox and is not slow; disconnecting twice does no harm.
        member.session.disconnect(Disconnect.SLOW)
