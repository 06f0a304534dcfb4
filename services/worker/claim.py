"""The right to append to a log, and whether what was appended counts.

A claim begins with a Fence of one's own, read back: what stands before it is all that others have
settled. From then on, one record at a time is appended after the last that counted. Everybody's
judgement of the log is the same, so the first sign that somebody else appends ends the claim.

Rules: no record is ever appended twice; a claim that is lost is not regained, another is made.
"""

import asyncio
import secrets
import time
from typing import Protocol

from broker.batch import FORMAT_VERSION
from broker.errors import BrokerUnavailable
from broker.interface import Position, StoredRecord, Stream
from broker.record import Fence, Record, encode_fence
from services.view.ledger import Judgement
from services.view.partition import Change, PartitionView

CONFIRM_SECONDS = 5.0
"""How long the broker may take to confirm a record; the loop of a busy one is 1 s."""

UNREAD_SECONDS = 1.5
"""After which a confirmed record that was not read makes the reader suspect, which opens the log
anew; and ends the claim, if that does not help for as long again."""

FENCE_EVERY_SECONDS = 5.0
FENCE_EVERY_BYTES = 8 * 1024 * 1024
"""Of records: half a segment of the log, so that whatever retention leaves has a Fence in it. Who
starts there knows nothing before the first one."""

_EPOCH_BYTES = 4


class ClaimLost(Exception):
    """Somebody else may append now, or what happened to an append cannot be known."""


class Hearing(Protocol):
    """How the log is heard, as far as a claim knows it; see `LogReader`."""

    def reopen(self) -> None:
        """Open the log anew: there should be more than was heard."""

    def doubt(self, unread: bytes) -> None:
        """Count as caught up only when this record, which must be there, was read."""


class Claim:
    """One worker's claim on one log."""

    def __init__(self, worker_id: str, partitions: int, log: Stream, hearing: Hearing) -> None:
        """Tell `hearing` when a record is in the log for sure and is not read."""
        self._hearing = hearing
        self._worker_id = worker_id
        self._partitions = partitions
        self._log = log
        self._has_begun = False
        self._in_flight: bytes | None = None
        self._read_back: asyncio.Future[None] | None = None
        self._lost: str | None = None
        self._fenced_seconds = 0.0
        self._unfenced_bytes = 0

    @property
    def is_lost(self) -> bool:
        """Whether the log has shown that the claim is over."""
        return self._lost is not None

    @property
    def seconds_to_fence(self) -> float:
        """How long until a fresh Fence is due for the sake of those who watch for it."""
        return max(0.0, self._fenced_seconds + FENCE_EVERY_SECONDS - time.monotonic())

    @property
    def is_fence_due(self) -> bool:
        """Whether a fresh Fence is due, by time or by what was appended since the last."""
        return self._unfenced_bytes >= FENCE_EVERY_BYTES or self.seconds_to_fence == 0

    async def fence(
        self, view: PartitionView, *, epoch_to_end: str | None = None, followed: Position = -1
    ) -> None:
        """Append a fresh Fence and wait until it has been read.

        `followed` is how far sequels are done, which it says too.

        Raises:
            ClaimLost: it was not read back, or something came after it.
        """
        epoch = view.ledger.epoch
        is_cut = not epoch or epoch == epoch_to_end
        if is_cut:
            epoch = secrets.token_hex(_EPOCH_BYTES)
        body = encode_fence(
            Fence(
                FORMAT_VERSION,
                self._worker_id,
                secrets.token_hex(8),
                epoch,
                self._partitions,
                int(time.time()),
                is_cut,
                view.ledger.head,
                followed,
            )
        )
        await self._append(body, 0)
        self._fenced_seconds = time.monotonic()
        self._unfenced_bytes = 0
        if view.ledger.epoch != epoch:
            # Written before the last cut was read. A fresh Fence names the right epoch.
            raise ClaimLost("the log's epoch changed")

    async def append(self, body: bytes, entries: int) -> None:
        """Append a record and wait until it has been read and counts.

        Raises:
            ClaimLost: it does not count, or whether it does is not known.
        """
        self._unfenced_bytes += len(body)
        await self._append(body, entries)

    async def _append(self, body: bytes, entries: int) -> None:
        if self._lost is not None:
            raise ClaimLost(self._lost)
        self._in_flight = body
        self._read_back = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await self._log.append(body, entries=entries)
            await self._wait_until_read(body, self._read_back)
        except (BrokerUnavailable, TimeoutError) as error:
            why = str(error) or "no confirm came in time"
            self._lose(f"an append is not known to be in the log: {why}")
            raise ClaimLost(why) from error
        finally:
            self._in_flight = None

    async def _wait_until_read(self, body: bytes, read_back: asyncio.Future[None]) -> None:
        await asyncio.wait((read_back,), timeout=UNREAD_SECONDS)
        if not read_back.done():
            self._hearing.reopen()
            await asyncio.wait((read_back,), timeout=UNREAD_SECONDS)
        if not read_back.done():
            # At once: a moment later it may have been read, and would be waited for in vain.
            self._hearing.doubt(body)
            self._lose("a record was not read back in time")
        await read_back

    def look_at(self, stored: StoredRecord, record: Record, change: Change) -> None:
        """Take note of a record that was read."""
        is_ours = stored.body == self._in_flight
        if isinstance(record, Fence):
            if is_ours:
                self._has_begun = True
                self._confirm()
            elif self._has_begun:
                # Also a second copy of our own: a client library that sends twice must not let
                # a record between the two count.
                self._lose("another Fence follows ours")
        elif is_ours:
            if change.judgement is Judgement.COUNTS:
                self._confirm()
            else:
                self._lose("a record of ours does not count")
        elif self._has_begun and change.judgement is Judgement.COUNTS:
            self._lose("somebody else's record counts after our Fence")

    def abandon(self, why: str) -> None:
        """End the claim: the log that it was made on cannot be read on."""
        self._lose(why)

    def _confirm(self) -> None:
        self._in_flight = None
        if self._read_back is not None and not self._read_back.done():
            self._read_back.set_result(None)

    def _lose(self, why: str) -> None:
        if self._lost is None:
            self._lost = why
        if self._read_back is not None and not self._read_back.done():
            self._read_back.set_exception(ClaimLost(why))
            # Nobody may be waiting any more; the claim's state says the same.
            self._read_back.exception()
