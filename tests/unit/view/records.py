"""Records as they are read from a log, made by hand."""

from collections.abc import Sequence

from broker.batch import FORMAT_VERSION
from broker.record import Done, Fence, Outcome, Outcomes, Published, Settled

PARTITIONS = 1


def fence(
    epoch: str = "e1", *, wall_seconds: int = 0, cut: bool = False, writer: str = "worker"
) -> Fence:
    return Fence(FORMAT_VERSION, writer, "nonce", epoch, PARTITIONS, wall_seconds, cut)


def published(channel: str, offset: int, *, period: int = 0, payload: bytes = b"{}") -> Published:
    return Published(channel, period, offset, len(payload))


def outcomes(
    producer: str, number: int, made: Sequence[Outcome], *, size: int | None = None, first: int = 0
) -> Outcomes:
    return Outcomes(producer, number, first + len(made) if size is None else size, first, [*made])


def settled(
    after: int, *batches: Outcomes, wall_ms: int = 0, keys: Sequence[tuple[str, str]] = ()
) -> Settled:
    payloads = [
        b"x" * outcome.payload_bytes
        for batch in batches
        for outcome in batch.outcomes
        if isinstance(outcome, Published)
    ]
    return Settled(after, wall_ms, [*batches], payloads, keys=[*keys])


def done(after: int) -> Settled:
    """A Settled of no consequence."""
    return settled(after, outcomes("producer", 1, [Done()]))
