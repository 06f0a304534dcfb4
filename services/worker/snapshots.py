"""Writes what a log adds up to into its `tops` stream, now and then, by whoever owns it.

Rules: a snapshot is a short cut and never needed: one that cannot be written is left out.
"""

import asyncio
import secrets
import time

import structlog

from broker.errors import BrokerError
from broker.follow import record_digest
from broker.interface import StoredRecord, Stream
from services.view.partition import PartitionView
from services.view.settled import SettledNumbers
from services.view.snapshot import Snapshot, encode_snapshot

_log = structlog.get_logger(__name__)

# A reader folds some 10,000 records a second, so a start reads a fraction of a second of them; a
# snapshot of 50,000 channels costs some 50 ms, which is a small part of what 2,000 records cost.
EVERY_RECORDS = 2_000
EVERY_SECONDS = 60.0
"""After which few records are reason enough."""
AT_MOST_EVERY_SECONDS = 10.0


class SnapshotWriter:
    """One partition's snapshots."""

    def __init__(self, tops: Stream, name: str) -> None:
        self._tops = tops
        self._name = name
        self._records = 0
        self._written_seconds = time.monotonic()
        self._due = asyncio.Event()
        self._snapshot: Snapshot | None = None

    def count_record(self) -> None:
        """Take note that the log has another record that counts."""
        self._records += 1

    @property
    def is_due(self) -> bool:
        """Whether it is time for another."""
        age_seconds = time.monotonic() - self._written_seconds
        return age_seconds >= AT_MOST_EVERY_SECONDS and (
            self._records >= EVERY_RECORDS or (self._records > 0 and age_seconds >= EVERY_SECONDS)
        )

    def postpone(self) -> None:
        """Take none now, though it is time; see `AT_MOST_EVERY_SECONDS`."""
        self._written_seconds = time.monotonic()

    def take(self, last: StoredRecord, view: PartitionView, settled: SettledNumbers) -> None:
        """Copy the state as it is after `last`, the record that counted last, to be written."""
        if self._snapshot is not None:
            return
        self._records = 0
        self._written_seconds = time.monotonic()
        self._snapshot = Snapshot(
            last.position,
            record_digest(last.body),
            view.ledger.state(),
            view.tops.rows(),
            settled.states(),
            view.keys.rows(),
        )
        self._due.set()

    async def run(self) -> None:
        """Write what was taken, until cancelled. Cancelling: the snapshot under way is torn."""
        while True:
            await self._due.wait()
            self._due.clear()
            if self._snapshot is not None:
                await self._write(self._snapshot)
                self._snapshot = None

    async def _write(self, snapshot: Snapshot) -> None:
        snapshot_id = secrets.token_hex(8)
        try:
            for body in encode_snapshot(snapshot_id, snapshot):
                await self._tops.append(body, entries=0)
        except BrokerError as error:
            _log.warning("snapshot not written", partition=self._name, reason=str(error))
        else:
            _log.debug("snapshot written", partition=self._name, channels=len(snapshot.channels))
