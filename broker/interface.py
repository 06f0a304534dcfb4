"""What the services may ask of a broker, and what it promises.

Two implementations keep these promises: `broker.rabbitmq` and, inside one process,
`broker.embedded`. One contract suite (`tests/contract/`) runs over both.

Rules:
- These are the only broker types the services use; no client library's type or exception leaves
  an implementation. Failures are those of `broker.errors`.
- Nothing here reconnects behind its caller's back: what an interrupted call did is unknown, and
  only the caller knows what to do about it. Opening something anew waits some seconds for the
  connection, and then raises BrokerUnavailable.
- One body is one AMQP message; what is in it is `broker.batch`'s and `broker.record`'s business.

Not here: numbering, resending, fences (`broker.producer`, `services.view`, `services.worker`).
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from broker.partition import Partition

Position = int
"""Where a record is in its stream: positions rise, but with holes."""


class StoredRecord(NamedTuple):
    """A record as a stream gave it back."""

    position: Position
    body: bytes


@dataclass(frozen=True, slots=True)
class Since:
    """Start reading somewhat before this moment; at the next record if all are older."""

    unix_seconds: float


class Delivery(NamedTuple):
    """A batch, and the right to settle it once."""

    tag: int
    body: bytes
    is_redelivered: bool


class DeadReason(Enum):
    """Why something was set aside for a person to look at."""

    UNDECODABLE = "undecodable"
    """A delivery whose body is no batch."""
    REFUSED = "refused"
    """An entry that was answered as queued and refused afterwards."""
    FAILED = "failed"
    """An entry whose handler raised, took too long or crashed, as often as it was tried."""


class DeadLetter(NamedTuple):
    """What could not be handled, and all that a person needs to know about it."""

    body: bytes
    """A batch of the one entry; of what is undecodable, whatever it was."""
    reason: DeadReason
    explanation: str
    channel: str = ""
    attempts: int = 0
    """How often it was tried; 0 if it was not even begun."""
    message_id: str = ""
    """The same each time, of what may be set aside twice; empty for what has no place in a log."""
    set_aside_seconds: int = 0
    """Unix time; 0 for the moment in which it is kept."""


class StreamReader(Protocol):
    """An open read of one stream; iterating gives what has arrived, several records at a time.

    Promises: records come in order of position, each once, from the asked position on (or from
    the first one kept, if that one is gone). Asked for a position past the end, it stays silent
    until the stream has grown past it. The iteration ends only with BrokerUnavailable.
    """

    def __aiter__(self) -> AsyncIterator[Sequence[StoredRecord]]: ...


class Stream(Protocol):
    """One append-only sequence of records that any number of readers follow."""

    async def append(self, body: bytes, *, entries: int) -> None:
        """Add a record and wait until the broker has confirmed it.

        Only reading it back tells that it is there to stay, and where.

        Raises:
            SubmitRefused: it is certainly not in the stream.
            BrokerUnavailable: it may or may not be in the stream, now or a little later.

        Cancelling: it may or may not be in the stream.
        """

    def read(self, start: Position | Since) -> AbstractAsyncContextManager[StreamReader]:
        """Follow the stream from `start` on, inclusive; closing the context ends the read.

        Raises:
            BrokerUnavailable: on entering, if there is no connection.
            TopologyProblem: on entering, if there is no such stream.
        """

    async def end(self) -> Position:
        """Tell the position of a record at or shortly before the end of the stream.

        Every record confirmed before the call is at or before `end` or in the same chunk as it.

        Raises:
            StreamEmpty: it gave no record for some seconds.
            BrokerUnavailable: there is no connection.
            TopologyProblem: there is no such stream.
        """


class Intake(Protocol):
    """The deliveries of one inbound queue, from one consume to its end.

    Promises: the active intake gets deliveries in order. Of several intakes of a queue one is
    active; when it is closed, everything it has not settled goes back in its place first, and
    then the one that has waited longest is active. No more than `at_most` are unsettled.
    """

    async def take(self) -> Sequence[Delivery]:
        """Wait for deliveries; give those that have arrived.

        Raises:
            BrokerUnavailable: the intake is closed; what was unsettled is delivered again.

        Cancelling: nothing is lost; what had arrived comes with the next call.
        """

    async def settle(self, delivery: Delivery) -> None:
        """Tell the broker that the delivery is done with: once, and never from two tasks at once.

        Raises:
            BrokerUnavailable: the intake is closed; the delivery may come again.
        """


class Inbound(Protocol):
    """One partition's pool of entries waiting for a worker."""

    async def submit(self, body: bytes, *, entries: int, message_id: str) -> None:
        """Put a batch into the pool and wait until the broker has it safe.

        Raises:
            SubmitRefused: the pool is full or missing: it certainly does not have the batch.
            NeverSubmitted: nor does it, for want of a connection.
            BrokerUnavailable: it may or may not have the batch.

        Cancelling: it may or may not have the batch.
        """

    def intake(self, at_most: int) -> AbstractAsyncContextManager[Intake]:
        """Consume, with at most `at_most` deliveries unsettled; leaving closes the AMQP channel.

        Raises:
            BrokerUnavailable: on entering, if there is no connection.
            TopologyProblem: on entering, if there is no such queue.
        """


class HeldLetter(NamedTuple):
    """A dead letter, and the right to drop it once."""

    tag: int
    letter: DeadLetter


class LetterReader(Protocol):
    """An open read of the dead letters; iterating gives those that were there when it began.

    Promises: they come oldest first, each once, and the iteration ends after the last of them. What
    was not dropped is back in its place, for the next reader, when the read has ended, in whatever
    way; it can be read in vain a million times.
    """

    def __aiter__(self) -> AsyncIterator[HeldLetter]: ...

    async def drop(self, held: HeldLetter) -> None:
        """Take a letter out for good; certain only when the context was left without an error.

        Raises:
            BrokerUnavailable: the read is closed; the letter may still be there.
        """


class DeadLetters(Protocol):
    """Where a worker puts what cannot be handled, with the reason, and where a person finds it."""

    async def set_aside(self, letter: DeadLetter) -> None:
        """Keep a letter for a person to look at, and wait until the broker has it safe.

        Raises:
            SubmitRefused, BrokerUnavailable: as for `Inbound.submit`.
        """

    def read(self) -> AbstractAsyncContextManager[LetterReader]:
        """Look at all that is there; leaving puts back what was not dropped.

        One at a time: what a reader holds another cannot see, and would get the rest out of order.

        Raises:
            DeadLettersInUse: on entering, if somebody else reads them.
            BrokerUnavailable: on entering, if there is no connection; on leaving, if what was
                dropped may still be there.
            TopologyProblem: on entering, if they are not there, or not for us.
        """


class Bus(Protocol):
    """Small messages between processes, at most once; for what can be asked or said again."""

    async def broadcast(self, body: bytes) -> None:
        """Send to every process that listens, this one too.

        Raises:
            BrokerUnavailable: it may have reached some.
        """

    async def send(self, node_id: str, body: bytes) -> None:
        """Send to one process; silently lost if that one does not listen.

        Raises:
            BrokerUnavailable: it may have arrived.
        """

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Receive what is sent to all and to this process; it ends only with BrokerUnavailable.

        One listener a process: several would share what comes, or not, as the broker likes.
        """


class Publishing(Enum):
    """Whether what is submitted now is likely to be confirmed soon."""

    OPEN = "open"
    BLOCKED = "blocked"
    """The broker holds publishers back (memory or disk alarm), or is too slow to tell from that. Of
    a producer also that a pool is full."""
    AWAY = "away"


class Broker(Protocol):
    """One process's access to the broker."""

    @property
    def node_id(self) -> str:
        """This process's address on the bus: random, new at each start."""

    @property
    def is_connected(self) -> bool:
        """Whether publishing has a connection at this moment."""

    @property
    def publishing(self) -> Publishing:
        """Whether what is published now is likely to be confirmed soon, whichever queue it is for.

        Known within a second, also to a process that publishes nothing.
        """

    def inbound(self, partition: Partition) -> Inbound:
        """The partition's pool."""

    def log(self, partition: Partition) -> Stream:
        """The partition's log: what happened to every entry, in order."""

    def tops(self, partition: Partition) -> Stream:
        """The partition's snapshots."""

    @property
    def dead(self) -> DeadLetters:
        """What could not be handled."""

    @property
    def bus(self) -> Bus:
        """Messages between processes."""
