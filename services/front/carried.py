"""Which of a log's orders were carried out here, however often that log is read. Pure.

A log that cannot be read on is read anew, from long before; sessions that came since are not meant
by the orders in there. But some may be orders that this front has missed.

Rules
- A record's orders are carried out once: positions rise within an epoch.
- What was in the log before this process had caught up with it for the first time is for nobody
  here; neither is what was written before this process began.
"""

from typing import Final

# A worker's clock may be behind ours by as much, and no order of its is passed over.
_SKEW_MS: Final = 60_000

# A log has a new epoch when it has lost something, which nobody sees often.
_EPOCHS_AT_MOST: Final = 64


class CarriedOut:
    """How far the orders of one partition's log were carried out."""

    def __init__(self, began_ms: int) -> None:
        """`began_ms` is when this process began, by its clock."""
        self._began_ms = began_ms
        self._latest: dict[str, int] = {}
        self._was_caught_up = False

    def note_caught_up(self) -> None:
        """Note that what is written from now on is for whoever is here."""
        self._was_caught_up = True

    def take(self, epoch: str, position: int, wall_ms: int, *, is_caught_up: bool) -> bool:
        """Tell whether a record's orders are to be carried out now; then they count as such."""
        if is_caught_up:
            self.note_caught_up()
        latest = self._latest.get(epoch)
        if latest is not None and position <= latest:
            return False
        if latest is None and len(self._latest) >= _EPOCHS_AT_MOST:
            del self._latest[next(iter(self._latest))]
        self._latest[epoch] = position
        if not self._was_caught_up:
            return False
        # Of an epoch without orders so far nobody knows how far it was read.
        is_known = latest is not None or is_caught_up
        return is_known or wall_ms >= self._began_ms - _SKEW_MS
