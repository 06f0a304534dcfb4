"""Which dead letters a command is about.

Rules: pure; everything that is said must hold.
"""

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import blake2b

from broker.interface import DeadLetter, DeadReason

_DIGEST_BYTES = 8


def letter_id(letter: DeadLetter) -> str:
    """What people call a letter by: of what has no place in a log, a digest of its body."""
    return (
        letter.message_id or f"body/{blake2b(letter.body, digest_size=_DIGEST_BYTES).hexdigest()}"
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What holds for the letters that are meant; what is empty or None holds for all."""

    ids: Collection[str] = ()
    reasons: Collection[DeadReason] = ()
    channel: str = ""
    """A pattern as for file names: `*`, `?`, `[…]`."""
    set_aside_before: float | None = None
    """Unix seconds."""
    set_aside_after: float | None = None

    def is_about(self, letter: DeadLetter) -> bool:
        """Tell whether a letter is meant."""
        seconds = letter.set_aside_seconds
        return (
            (not self.ids or letter_id(letter) in self.ids)
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.channel or fnmatchcase(letter.channel, self.channel))
            and (self.set_aside_before is None or seconds <= self.set_aside_before)
            and (self.set_aside_after is None or seconds >= self.set_aside_after)
        )
