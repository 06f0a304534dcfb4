"""What a worker counts about itself.

Rules: attributes that are added to in passing; see `services.metrics`.
"""

from services.metrics import LabelledTally, Measure, Tally


class WorkerCounters:
    """A worker process's counters, over all its partitions."""

    def __init__(self) -> None:
        self.entries = Tally("worker_entries", "Entries of deliveries that were settled.")
        self.refused = Tally("worker_refused", "Entries among them that were refused.")
        self.refusals = LabelledTally("worker_refusals", "The same, by why.", "code")
        self.dead = Tally("worker_dead", "Deliveries and entries that were set aside.")
        self.redelivered = Tally("worker_redelivered", "Deliveries that came again.")
        self.claims = Tally("worker_claims", "Partitions claimed.")
        self.losses = Tally("worker_losses", "Partitions left without being told to.")

    def all(self) -> list[Measure]:
        """Every one of them."""
        return list(vars(self).values())
