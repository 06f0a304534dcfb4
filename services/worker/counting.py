"""What a worker counts about itself.

Rules: attributes that are added to in passing; see `services.metrics`.
"""

from services.metrics import LabelledTally, Measure, Spread, Tally


class WorkerCounters:
    """A worker process's counters, over all its partitions."""

    def __init__(self) -> None:
        self.entries = Tally("worker_entries", "Entries of deliveries that were settled.")
        self.refused = Tally("worker_refused", "Entries among them that were refused.")
        self.refusals = LabelledTally("worker_refusals", "The same, by why.", "code")
        self.dead = Tally("worker_dead", "Deliveries and entries that were set aside.")
        self.follow_waits = Tally(
            "worker_follow_waits", "Times that what follows from entries could not be done yet."
        )
        self.redelivered = Tally("worker_redelivered", "Deliveries that came again.")
        self.claims = Tally("worker_claims", "Partitions claimed.")
        self.losses = Tally("worker_losses", "Partitions left without being told to.")
        self.app_handled = LabelledTally(
            "worker_app_handled", "Entries that handlers have looked at, by verdict.", "verdict"
        )
        self.app_failures = Tally("worker_app_failures", "Tries of handlers that failed.")
        self.app_deaths = Tally("worker_app_deaths", "App processes that ended unasked.")
        self.app_starts = Tally("worker_app_starts", "App processes started.")
        self.app_seconds = Spread(
            "worker_app_seconds",
            "How long the first entry of each answer from an app process was under way.",
            (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
        )

    def all(self) -> list[Measure]:
        """Every one of them."""
        return list(vars(self).values())
