"""The way to the team's handlers: calls, messages to the server, and notes of who has left.

Each is an entry for the pool. All of one client's go to one partition, so that they are handled in
the order in which they happened, its leaving last.

Not here: commands and what they are answered (`calling`), when a client has left (`session`).
"""

from typing import Final

import msgspec

from broker.batch import Entry, EntryKind
from broker.departures import Waiter
from broker.partition import Partition, partition_number
from broker.producer import Producer
from broker.record import Outcome
from forebay.hooks import LeaveNote, encode_hook
from services.front.measures import Measures
from services.settings import Config


class Calls:
    """Offers such entries."""

    def __init__(self, config: Config, producer: Producer, measures: Measures) -> None:
        self._lane: Final = config.app.lane
        self._partitions: Final = config.lanes[config.app.lane].partitions
        self._producer = producer
        self._forgetting = _Unheard(measures)

    def offer(
        self,
        kind: EntryKind,
        client: str,
        method: str,
        sender: bytes,
        payload: bytes,
        waiter: Waiter,
    ) -> bool:
        """Take an entry of a client's, or answer False: the pool does not take it now."""
        partition = Partition(self._lane, partition_number(client, self._partitions))
        entry = Entry(kind, method, msgspec.Raw(sender), payload)
        return self._producer.offer(partition, entry, waiter)

    def tell_left(self, client: str, sender: bytes, code: int, reason: str) -> None:
        """Have the team told that a client has left; once, or if that is impossible not at all."""
        note = encode_hook(LeaveNote(code=code, reason=reason))
        if not self.offer(EntryKind.LEFT, client, "", sender, note, self._forgetting):
            self._forgetting.refused()


class _Unheard:
    """Nobody waits for what becomes of it; that it was lost is counted."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures

    def confirmed(self) -> None:
        """See `Waiter.confirmed`."""

    def settled(self, outcome: Outcome) -> None:
        """See `Waiter.settled`."""

    def refused(self) -> None:
        """See `Waiter.refused`."""
        self._measures.lost_leavings.value += 1

    def given_up(self) -> None:
        """See `Waiter.given_up`."""
