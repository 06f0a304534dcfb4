"""Who publishes and who subscribes, and what each of them was told.

Rules: nobody here looks into a view or a log; what a client knows it got by its outbox.
"""

import asyncio
import json
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Raw

from broker.batch import Entry, EntryKind
from broker.partition import Partition
from broker.record import Outcome, Published, Refused
from services.front.encoding import Encoding, Frame
from services.front.hub import Subscription
from services.front.outbox import Outbox
from services.front.view_partition import ViewNotReady
from services.view.history import Publication
from services.wire.errors import Disconnect, Unsubscribed
from services.wire.reply import Push
from tests.simulation.handlers import FAILED, REFUSED_BY_HANDLER

if TYPE_CHECKING:
    from tests.simulation.processes import FrontProcess
    from tests.simulation.world import World

CHANNELS = ("a", "b", "c", "queued:q", "fleeting:f")
FOLLOWED = ("a", "b", "c", "queued:q")
"""Those with a history, in which nothing may be missed."""

_SENDER = Raw(b'{"user":"","client":"simulated"}')
_RECOVER_AT_MOST = 300
_OUTBOX_BYTES = 1024 * 1024


class Note:
    """One entry that was offered, and what its sender was told."""

    def __init__(self, world: "World", producer: str, partition: Partition, entry: Entry) -> None:
        self.world = world
        self.producer = producer
        self.partition = partition
        self.entry = entry
        self.is_confirmed = False
        self.outcome: Outcome | None = None
        self.is_refused = False
        self.is_given_up = False

    @property
    def is_valid(self) -> bool:
        return self.entry.payload.endswith(b"}")

    @property
    def is_refused_by_handler(self) -> bool:
        """Whether a handler refused it, or failed, which its sender is told, early or late."""
        return (
            self.world.traits.has_handlers
            and isinstance(self.outcome, Refused)
            and self.outcome.code in (FAILED, REFUSED_BY_HANDLER)
        )

    @property
    def is_over(self) -> bool:
        return self.outcome is not None or self.is_refused or self.is_given_up

    def _tell(self, what: str, *, is_news: bool) -> None:
        if self.is_over or not is_news:
            self.world.report(f"{self.entry.payload!r} is told {what}, after all was said")

    def confirmed(self) -> None:
        self._tell("confirmed", is_news=not self.is_confirmed)
        self.is_confirmed = True

    def settled(self, outcome: Outcome) -> None:
        self._tell("settled", is_news=True)
        self.outcome = outcome
        if isinstance(outcome, Refused) is self.is_valid and not self.is_refused_by_handler:
            self.world.report(f"{self.entry.payload!r} came to {outcome}")

    def refused(self) -> None:
        self._tell("refused", is_news=not self.is_confirmed)
        self.is_refused = True

    def given_up(self) -> None:
        self._tell("given up", is_news=True)
        self.is_given_up = True


class Repeat:
    """An entry that is offered again with its key, by somebody who does not know that it need not.

    It comes to nothing, unless a log that was lost had known its key.
    """

    def __init__(self, world: "World", entry: Entry) -> None:
        self._world = world
        self._entry = entry

    def settled(self, outcome: Outcome) -> None:
        if isinstance(outcome, Published) and not self._world.traits.is_log_lost:
            self._world.report(f"{self._entry.payload!r} came again, and to {outcome}")

    def confirmed(self) -> None: ...

    def refused(self) -> None: ...

    def given_up(self) -> None: ...


class Publisher:
    """Offers entries at a front, now and then, until the world closes or the front dies."""

    def __init__(self, world: "World", front: "FrontProcess") -> None:
        self._world = world
        self._front = front
        self._random = Random(f"{world.seed} publisher {front.name}")
        self._repeating = Random(f"{world.seed} repeats of {front.name}")

    async def run(self) -> None:
        while not self._world.is_closing:
            await asyncio.sleep(self._random.expovariate(self._world.rate))
            for _ in range(self._random.choice((1, 1, 1, 2, 3, 12))):
                self.offer(self._random.choice(CHANNELS))
            if self._world.traits.has_repeats and self._repeating.random() < 0.3:
                self._repeat()

    def offer(self, channel: str) -> Note:
        number = len(self._world.journal.notes)
        is_valid = self._random.random() > 0.04
        payload = b'{"n":%d%s' % (number, b"}" if is_valid else b"")
        key = f"key {number}" if self._world.traits.has_repeats else ""
        entry = Entry(EntryKind.PUBLISH, channel, _SENDER, payload, key)
        partition = self._front.view.partition_of(channel)
        note = Note(self._world, self._front.producer.id, partition, entry)
        self._world.journal.notes.append(note)
        if not self._front.producer.offer(partition, entry, note):
            note.refused()
        return note

    def _repeat(self) -> None:
        notes = self._world.journal.notes
        note = self._repeating.choice(notes) if notes else None
        if note is not None and isinstance(note.outcome, Published):
            repeat = Repeat(self._world, note.entry)
            self._front.producer.offer(note.partition, note.entry, repeat)


class Event(NamedTuple):
    """Something a subscriber was told: a position, a publication, or that some may be missing."""

    kind: str
    """Fresh or unrecovered: begin here. Recovered: go on from where you are. Publication. Lost."""
    epoch: str = ""
    offset: int = 0
    payload: bytes = b""


class _Lines:
    """An encoding of one JSON line a publication; the first of a channel tells its epoch."""

    def encode(
        self,
        channel: str,
        publications: Sequence[Publication],
        sequence: int,
        epoch: str,
        previous: Publication | None = None,
    ) -> list[Frame]:
        lines = [encode_publication(each, epoch) for each in publications]
        return [Frame(sequence, b"".join(lines), len(lines))]

    def encode_push(self, channel: str, push: Push) -> bytes:
        return b""


_LINES: Encoding = _Lines()


def encode_publication(publication: Publication, epoch: str) -> bytes:
    offset = publication.offset
    told = epoch if offset == 1 else ""
    return _line("publication", told, offset, publication.data.decode())


def _line(kind: str, epoch: str = "", offset: int = 0, payload: str = "") -> bytes:
    return json.dumps([kind, epoch, offset, payload]).encode() + b"\n"


class _Session:
    """One stay of a subscriber at a front; see `services.front.hub.Subscriber`."""

    def __init__(self, subscriber: "Subscriber", front: "FrontProcess") -> None:
        self.id = self.user = subscriber.name
        self.encoding = _LINES
        self.sender: bytes | None = None
        self.is_over = False
        self.resubscribe = asyncio.Event()
        self.outbox = Outbox(self, front.flusher, _OUTBOX_BYTES)
        self._subscriber = subscriber
        self._front = front
        self._subscription: Subscription | None = None

    # ---- the wire

    def write(self, data: bytes, /) -> None:
        if not self.is_over:
            self._subscriber.receive(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_over

    # ---- the session

    def info(self, chan_info: bytes) -> bytes:
        return b"null"

    def end_subscription(self, subscription: Subscription, why: Unsubscribed) -> None:
        self._front.hub.remove(subscription)
        self.outbox.offer(_line("lost"))
        self.resubscribe.set()

    def disconnect(self, why: Disconnect, explanation: str = "") -> None:
        self.end()

    def end(self) -> None:
        self.is_over = True
        self.resubscribe.set()
        if self._subscription is not None:
            self._front.hub.remove(self._subscription)

    async def stay(self) -> None:
        """Subscribe, and again whenever continuity was lost, as an SDK does."""
        while not self.is_over:
            self.resubscribe.clear()
            try:
                await self._subscribe()
            except ViewNotReady:
                await asyncio.sleep(0.25)
                continue
            await self.resubscribe.wait()
            await asyncio.sleep(0.05)

    async def _subscribe(self) -> None:
        subscriber, view = self._subscriber, self._front.view
        channel, epoch, offset = subscriber.channel, subscriber.epoch, subscriber.offset
        is_fresh = not epoch
        state = await view.follow(channel, epoch, offset)
        if self.is_over:
            return
        missed = None if is_fresh else view.recover(channel, epoch, offset, _RECOVER_AT_MOST)
        kind = "fresh" if is_fresh else "unrecovered" if missed is None else "recovered"
        self.outbox.offer(_line(kind, state.epoch, state.offset))
        for publication in missed or ():
            self.outbox.offer(encode_publication(publication, state.epoch))
        self._subscription = Subscription(self, channel, view.sequence, is_positioned=True)
        self._front.hub.add(self._subscription)


class Subscriber:
    """Follows a channel for ever, at one front after another."""

    def __init__(self, world: "World", name: str, channel: str) -> None:
        self.name = name
        self.channel = channel
        self.epoch = ""
        self.offset = 0
        self.events: list[Event] = []
        self.is_subscribed = False
        self._world = world
        self._random = Random(f"{world.seed} {name}")

    def receive(self, data: bytes) -> None:
        for line in data.splitlines():
            kind, epoch, offset, payload = json.loads(line)
            self.is_subscribed = kind != "lost"
            if kind == "recovered":
                # What it missed comes next; and then it is where the front is.
                epoch, offset = self.epoch, self.offset
            elif kind != "lost":
                self.epoch, self.offset = epoch or self.epoch, offset
            self.events.append(Event(kind, epoch, offset, payload.encode()))

    async def run(self) -> None:
        """Stay at a front until it dies or the network breaks; then at another."""
        while True:
            fronts = [front for front in self._world.fronts if front.is_open]
            if fronts:
                front = self._random.choice(fronts)
                session = _Session(self, front)
                staying = front.serve(session.stay)
                patience = self._random.expovariate(1 / self._world.stay_seconds)
                await asyncio.wait(
                    [staying, self._world.closing],
                    timeout=None if self._world.is_closing else patience,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if self._world.is_closing and not staying.done():
                    # From here on nobody is cut off any more.
                    await asyncio.wait([staying])
                session.end()
                staying.cancel()
                self.is_subscribed = False
            await asyncio.sleep(self._random.uniform(0.05, 2.0))
