"""What was set aside, in memory, for a person (or a test) to look at."""

from collections.abc import Callable, Sequence

from broker.errors import SubmitRefused
from broker.interface import DeadLetter

_LETTER_BYTES = 64


class StoredDead:
    """All dead letters; what would take them beyond `limit_bytes` is refused."""

    def __init__(self, limit_bytes: int, wall_clock: Callable[[], float]) -> None:
        self._limit_bytes = limit_bytes
        self._wall_clock = wall_clock
        self._bytes = 0
        self._letters: list[DeadLetter] = []

    def store(self, letter: DeadLetter) -> None:
        """Keep a letter.

        Raises:
            SubmitRefused: there is no room for it.
        """
        size = len(letter.body) + len(letter.explanation.encode()) + _LETTER_BYTES
        if self._bytes + size > self._limit_bytes:
            raise SubmitRefused("no room for dead letters")
        self._bytes += size
        if not letter.set_aside_seconds:
            letter = letter._replace(set_aside_seconds=int(self._wall_clock()))
        self._letters.append(letter)

    def letters(self) -> Sequence[DeadLetter]:
        """All of them, oldest first."""
        return list(self._letters)
