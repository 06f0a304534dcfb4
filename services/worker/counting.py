"""What a worker counts about itself."""


class WorkerCounters:
    """Totals since the start, of all partitions; cheap enough to be bumped once a record."""

    __slots__ = ("dead", "deliveries_redelivered", "entries", "partitions_lost", "refused")

    def __init__(self) -> None:
        self.entries = 0
        self.refused = 0
        self.dead = 0
        self.deliveries_redelivered = 0
        self.partitions_lost = 0
