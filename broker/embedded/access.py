"""One process's access to the embedded node: the `Broker` it is given, and the parts of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from broker.embedded.bus import EmbeddedListener, SharedBus
from broker.embedded.dead import EmbeddedLetters, StoredDead
from broker.embedded.link import Link
from broker.embedded.pool import EmbeddedIntake, StoredPool, WaitingBatch
from broker.embedded.stream import EmbeddedReader, StoredStream
from broker.errors import SubmitRefused, TopologyProblem
from broker.interface import DeadLetter, Position, Publishing, Since
from broker.partition import Partition


class PartitionStore(NamedTuple):
    """What the node keeps of one partition."""

    pool: StoredPool
    log: StoredStream
    tops: StoredStream


class NodeStore(NamedTuple):
    """What the node keeps, for all processes."""

    partitions: dict[Partition, PartitionStore]
    dead: StoredDead
    bus: SharedBus


class EmbeddedAccess:
    """One process's `Broker`."""

    def __init__(self, link: Link, store: NodeStore) -> None:
        self._link = link
        self._store = store

    @property
    def node_id(self) -> str:
        """This process's address on the bus."""
        return self._link.node_id

    @property
    def is_connected(self) -> bool:
        """Whether publishing has a connection at this moment."""
        return self._link.is_up

    @property
    def publishing(self) -> Publishing:
        """Whether what is published now is likely to be confirmed soon."""
        if not self._link.is_up:
            return Publishing.AWAY
        return Publishing.BLOCKED if self._link.is_blocked else Publishing.OPEN

    def inbound(self, partition: Partition) -> "EmbeddedInbound":
        """The partition's pool."""
        store = self._store.partitions.get(partition)
        return EmbeddedInbound(self._link, store and store.pool, f"inbound.{partition.name}")

    def log(self, partition: Partition) -> "EmbeddedStream":
        """The partition's log."""
        store = self._store.partitions.get(partition)
        return EmbeddedStream(self._link, store and store.log, f"log.{partition.name}")

    def tops(self, partition: Partition) -> "EmbeddedStream":
        """The partition's snapshots."""
        store = self._store.partitions.get(partition)
        return EmbeddedStream(self._link, store and store.tops, f"tops.{partition.name}")

    @property
    def dead(self) -> "EmbeddedDead":
        """What could not be handled."""
        return EmbeddedDead(self._link, self._store.dead)

    @property
    def bus(self) -> "EmbeddedBus":
        """Messages between processes."""
        return EmbeddedBus(self._link, self._store.bus)


def _missing(name: str) -> TopologyProblem:
    return TopologyProblem(
        f"the embedded broker has no {name}", "Give it the lane and enough partitions"
    )


class EmbeddedStream:
    """A stream as one process reaches it; the promises are those of `Stream`."""

    def __init__(self, link: Link, stored: StoredStream | None, name: str) -> None:
        self._link = link
        self._stored = stored
        self._name = name

    async def append(self, body: bytes, *, entries: int) -> None:
        """Add a record and wait until the node has confirmed it.

        Raises:
            SubmitRefused, BrokerUnavailable: as `Stream.append` says.

        Cancelling: it may or may not be in the stream.
        """

        def store() -> None:
            stored = self._stored
            if stored is None or stored.is_deleted:
                raise SubmitRefused(f"there is no {self._name}")
            stored.store(body, entries)

        await self._link.publish(store)

    @asynccontextmanager
    async def read(self, start: Position | Since) -> AsyncIterator[EmbeddedReader]:
        """Follow the stream from `start` on, inclusive.

        Raises:
            BrokerUnavailable, TopologyProblem: as `Stream.read` says.
        """
        reader = (await self._reach()).open_reader(start, self._link.travel)
        self._link.attach(reader)
        try:
            yield reader
        finally:
            self._link.detach(reader)

    async def end(self) -> Position:
        """Tell the last record's position.

        Raises:
            BrokerUnavailable, TopologyProblem: as `Stream.end` says.
        """
        return (await self._reach()).end()

    async def _reach(self) -> StoredStream:
        await self._link.reach()
        if self._stored is None or self._stored.is_deleted:
            raise _missing(self._name)
        return self._stored


class EmbeddedInbound:
    """A pool as one process reaches it; the promises are those of `Inbound`."""

    def __init__(self, link: Link, stored: StoredPool | None, name: str) -> None:
        self._link = link
        self._stored = stored
        self._name = name

    async def submit(self, body: bytes, *, entries: int, message_id: str) -> None:
        """Put a batch into the pool and wait until the node has it.

        Raises:
            SubmitRefused, BrokerUnavailable: as `Inbound.submit` says.

        Cancelling: it may or may not have the batch.
        """

        def store() -> None:
            if self._stored is None:
                raise SubmitRefused(f"there is no {self._name}")
            self._stored.store(WaitingBatch(body, entries, message_id))

        await self._link.publish(store)

    @asynccontextmanager
    async def intake(self, at_most: int) -> AsyncIterator[EmbeddedIntake]:
        """Consume; leaving gives back what is unsettled.

        Raises:
            BrokerUnavailable, TopologyProblem: as `Inbound.intake` says.
        """
        await self._link.reach()
        if self._stored is None:
            raise _missing(self._name)
        intake = self._stored.open_intake(at_most, self._link.node_id, self._link.travel)
        self._link.attach(intake)
        try:
            yield intake
        finally:
            self._link.detach(intake)


class EmbeddedDead:
    """Dead letters as one process reaches them; the promises are those of `DeadLetters`."""

    def __init__(self, link: Link, stored: StoredDead) -> None:
        self._link = link
        self._stored = stored

    async def set_aside(self, letter: DeadLetter) -> None:
        """Keep a letter for a person to look at.

        Raises:
            SubmitRefused, BrokerUnavailable: as `Inbound.submit` says.

        Cancelling: it may or may not be kept.
        """
        await self._link.publish(lambda: self._stored.store(letter))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[EmbeddedLetters]:
        """Look at all that is there.

        Raises:
            DeadLettersInUse, BrokerUnavailable: as `DeadLetters.read` says.
        """
        await self._link.reach()
        reader = self._stored.open_reader(self._link.travel)
        self._link.attach(reader)
        try:
            yield reader
            reader.verify_is_open()
        finally:
            self._link.detach(reader)


class EmbeddedBus:
    """The bus as one process reaches it; the promises are those of `Bus`.

    A memory or disk alarm holds messages to processes back as it does everything published.
    """

    def __init__(self, link: Link, shared: SharedBus) -> None:
        self._link = link
        self._shared = shared

    async def broadcast(self, body: bytes) -> None:
        """Send to every process that listens, this one too.

        Raises:
            BrokerUnavailable: it may have reached some.

        Cancelling: it may have reached some.
        """
        await self._link.publish(lambda: self._shared.broadcast(body))

    async def send(self, node_id: str, body: bytes) -> None:
        """Send to one process; silently lost if that one does not listen.

        Raises:
            BrokerUnavailable: it may have arrived.

        Cancelling: it may have arrived.
        """
        await self._link.publish(lambda: self._shared.send(node_id, body))

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[EmbeddedListener]:
        """Receive what is sent to all and to this process.

        Raises:
            BrokerUnavailable: on entering, if there is no connection.
        """
        await self._link.reach()
        listener = self._shared.open_listener(self._link.node_id, self._link.travel)
        self._link.attach(listener)
        try:
            yield listener
        finally:
            self._link.detach(listener)
