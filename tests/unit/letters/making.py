"""Dead letters made by hand."""

from broker.batch import NO_SENDER, Entry, EntryKind, encode_batch
from broker.interface import DeadLetter, DeadReason, HeldLetter


def letter(
    channel: str = "a",
    place: str = "0a.main.0/1/0",
    payload: bytes = b"{}",
    *,
    key: str = "",
    kind: EntryKind = EntryKind.PUBLISH,
    seconds: int = 1_000,
) -> DeadLetter:
    """A letter about one entry that was refused at some place of a log."""
    entry = Entry(kind, channel, NO_SENDER, payload, key)
    body = encode_batch("front", 1, [entry])
    return DeadLetter(body, DeadReason.REFUSED, "107 bad request", channel, 0, place, seconds)


def held(*letters: DeadLetter) -> list[HeldLetter]:
    return [HeldLetter(tag, each) for tag, each in enumerate(letters, 1)]
