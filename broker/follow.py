"""Reads a stream on and on, over lost connections, without a gap and without a repetition.

Whoever resumes asks for the last record it knows, inclusive, and goes on only if the broker gives
exactly that one first. A stream asked for a position beyond its end stays silent, so silence is
checked against where the end is.

Rules: continuity that cannot be shown is never assumed; `ContinuityLost` says how it was lost.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

import structlog

from broker.errors import BrokerUnavailable, TopologyProblem
from broker.interface import Position, Since, StoredRecord, Stream

_log = structlog.get_logger(__name__)

RESUME_SECONDS = 3.0
"""How long the known record may take to arrive before silence is looked into."""

LAGGING_SECONDS = 15.0
"""How long a stream may seem to end before the known record: so it does on a replica that is still
catching up after its node came back."""

SILENCE_SECONDS = 5.0
"""How long records that are there may take to come."""

GONE_SECONDS = 2.0
"""How long it takes at most to see that a stream that was gone is there again."""

STALL_SECONDS = 17.0
"""Silence after which a reader is opened anew; an owner appends a Fence every 5 seconds."""


class Loss(Enum):
    """How a reader lost its place."""

    OVERTAKEN = "overtaken"
    """Retention took records that were not read yet; the log itself is whole."""
    REWRITTEN = "rewritten"
    """The log lost its tail or was made anew: what was read may no longer be in it."""


class ContinuityLost(Exception):
    """The stream cannot be read on from where it was."""

    def __init__(self, loss: Loss, known: Position) -> None:
        super().__init__(f"the log cannot be read on from position {known}: {loss.value}")
        self.loss = loss


class _Behind(Exception):
    """The stream ends before the known record, as far as this node knows."""


class Known(NamedTuple):
    """The last record read, enough to recognise it."""

    position: Position
    digest: str


def record_digest(body: bytes) -> str:
    """Tell a record apart from another at the same position of another log."""
    return blake2b(body, digest_size=16).hexdigest()


async def follow(
    stream: Stream,
    start: Position | Since,
    known: Known | None = None,
    prompt: "Prompt | None" = None,
) -> AsyncGenerator[Sequence[StoredRecord], None]:
    """Give the records from `start` on, or those after `known`, several at a time, for ever.

    Each time that `known` was found again, what followed it at once is given, even if nothing did.
    A stream that was read, and is gone, is waited for: somebody is making it anew.

    Raises:
        ContinuityLost: what follows the last record read cannot be had.
        TopologyProblem: there is no such stream, and nothing was read of it.

    Cancelling: nothing is lost; what was given last is what is known.
    """
    place = _Place(start, known)
    prompt = prompt or Prompt()
    while True:
        try:
            async with aclosing(_read_on(stream, place, prompt)) as batches:
                async for records in batches:
                    yield records
        except _Behind:
            await place.patience.wait_or_give_up(place.known)
        except (BrokerUnavailable, TimeoutError) as error:
            _log.debug("reading interrupted", reason=str(error))
            await asyncio.sleep(random.uniform(0.05, 0.3))
        except TopologyProblem as problem:
            if not place.has_read:
                raise
            _log.error("a stream is gone", reason=str(problem))
            place.patience.is_over = True
            await asyncio.sleep(random.uniform(GONE_SECONDS / 2, GONE_SECONDS))


class Prompt:
    """Has whoever follows a stream open it anew, and go on where it is.

    For who knows that there is more than was heard: a broker's node that changes its part in a
    stream may forget whom it has to tell, and say nothing of that.
    """

    def __init__(self) -> None:
        self._silence: asyncio.Timeout | None = None

    def reopen(self) -> None:
        """Open the stream anew, if nothing has come in this moment."""
        if self._silence is not None and not self._silence.expired():
            self._silence.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Wait for records within this; for too long, or until told otherwise.

        Raises:
            TimeoutError: none came.
        """
        async with asyncio.timeout(STALL_SECONDS) as self._silence:
            try:
                yield
            finally:
                self._silence = None


class _Place:
    """Where in a stream a reader is."""

    def __init__(self, start: Position | Since, known: Known | None) -> None:
        self.start = start
        self.patience = _Patience()
        self.has_read = False
        self._known = known
        self._last: StoredRecord | None = None

    @property
    def known(self) -> Known | None:
        """The last record that was read, or that the reader was told of."""
        if self._last is not None:
            self._known = Known(self._last.position, record_digest(self._last.body))
            self._last = None
        return self._known

    def was_found(self) -> None:
        """Note that the known record is where it was."""
        self.has_read = True
        self.patience = _Patience()

    def go_past(self, records: Sequence[StoredRecord]) -> None:
        """Note what is about to be given."""
        if records:
            self.has_read = True
            self._last = records[-1]


async def _read_on(
    stream: Stream, place: _Place, prompt: Prompt
) -> AsyncGenerator[Sequence[StoredRecord], None]:
    known = place.known
    async with stream.read(place.start if known is None else known.position) as reader:
        batches = aiter(reader)
        if known is not None:
            rest = await _resume(stream, batches, known)
            place.was_found()
            place.go_past(rest)
            yield rest
        while True:
            async with prompt.listening():
                records = await anext(batches)
            place.go_past(records)
            yield records


async def verify(stream: Stream, known: Known) -> None:
    """Check that a stream can be read on from a record.

    Raises:
        ContinuityLost: it is gone, or is another.
        BrokerUnavailable: that could not be found out.
        TopologyProblem: there is no such stream.
    """
    patience = _Patience()
    while True:
        try:
            async with stream.read(known.position) as reader:
                await _resume(stream, aiter(reader), known)
                return
        except _Behind:
            await patience.wait_or_give_up(known)
        except TimeoutError as error:
            raise BrokerUnavailable(f"no record came at position {known.position}") from error


class _Patience:
    """With a stream that seems to have lost its tail."""

    def __init__(self) -> None:
        self._since_seconds: float | None = None
        self.is_over = False
        """Whether the stream was seen to be gone; the one that is there now is another."""

    async def wait_or_give_up(self, known: Known | None) -> None:
        """Wait before another look.

        Raises:
            ContinuityLost: it has seemed so for too long.
        """
        now = time.monotonic()
        if self._since_seconds is None:
            self._since_seconds = now
        if self.is_over or now - self._since_seconds >= LAGGING_SECONDS:
            raise ContinuityLost(Loss.REWRITTEN, known.position if known else 0)
        await asyncio.sleep(random.uniform(0.05, 0.3))


async def _resume(
    stream: Stream, batches: AsyncIterator[Sequence[StoredRecord]], known: Known
) -> Sequence[StoredRecord]:
    """Check that the known record comes first; give what came after it at once."""
    try:
        async with asyncio.timeout(RESUME_SECONDS):
            records = await anext(batches)
    except TimeoutError:
        if await stream.end() < known.position:
            raise _Behind from None
        raise
    first = records[0]
    if first.position > known.position:
        raise ContinuityLost(Loss.OVERTAKEN, known.position)
    if record_digest(first.body) != known.digest:
        raise ContinuityLost(Loss.REWRITTEN, known.position)
    return records[1:]


async def read_to_end(
    stream: Stream, start: Position = 0, end: Position | None = None
) -> AsyncIterator[StoredRecord]:
    """Give what is in a stream now, from `start` on; `end` is what `Stream.end` gave, if known.

    Raises:
        BrokerUnavailable: the connection was lost half-way, or the stream has no such end any more.
        TopologyProblem: there is no such stream.
    """
    end = await stream.end() if end is None else end
    async with stream.read(start) as reader:
        batches = aiter(reader)
        while True:
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    records = await anext(batches)
            except TimeoutError as error:
                raise BrokerUnavailable(f"no record came before position {end}") from error
            for record in records:
                yield record
            if records[-1].position >= end:
                return
