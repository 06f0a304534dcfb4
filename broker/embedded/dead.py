"""What was set aside, in memory, for a person (or a test) to look at."""

from collections.abc import AsyncIterator, Callable, Sequence

from broker.embedded.travel import Leg, Travel, one_turn
from broker.errors import BrokerUnavailable, DeadLettersInUse, SubmitRefused
from broker.interface import DeadLetter, HeldLetter

_LETTER_BYTES = 64


class StoredDead:
    """All dead letters; what would take them beyond `limit_bytes` is refused."""

    def __init__(self, limit_bytes: int, wall_clock: Callable[[], float]) -> None:
        self._limit_bytes = limit_bytes
        self._wall_clock = wall_clock
        self._bytes = 0
        self._last_tag = 0
        self._letters: dict[int, DeadLetter] = {}
        self._reader: EmbeddedLetters | None = None

    def store(self, letter: DeadLetter) -> None:
        """Keep a letter.

        Raises:
            SubmitRefused: there is no room for it.
        """
        size = _size_bytes(letter)
        if self._bytes + size > self._limit_bytes:
            raise SubmitRefused("no room for dead letters")
        self._bytes += size
        if not letter.set_aside_seconds:
            letter = letter._replace(set_aside_seconds=int(self._wall_clock()))
        self._last_tag += 1
        self._letters[self._last_tag] = letter

    def drop(self, tag: int) -> None:
        """Keep a letter no longer."""
        self._bytes -= _size_bytes(self._letters.pop(tag))

    def letters(self) -> Sequence[DeadLetter]:
        """All of them, oldest first."""
        return list(self._letters.values())

    def open_reader(self, travel: Travel = one_turn) -> "EmbeddedLetters":
        """Read what is there now, until the reader is closed.

        Raises:
            DeadLettersInUse: another reader is open.
        """
        if self._reader is not None:
            raise DeadLettersInUse
        held = [HeldLetter(tag, letter) for tag, letter in self._letters.items()]
        self._reader = EmbeddedLetters(self, held, travel)
        return self._reader

    def forget(self, reader: "EmbeddedLetters") -> None:
        """Let others read after a closed reader."""
        if self._reader is reader:
            self._reader = None


class EmbeddedLetters:
    """An open read of the dead letters."""

    def __init__(self, dead: StoredDead, held: Sequence[HeldLetter], travel: Travel) -> None:
        self._dead = dead
        self._coming = iter(held)
        self._undropped = {each.tag for each in held}
        self._travel = travel
        self._is_closed = False

    def __aiter__(self) -> AsyncIterator[HeldLetter]:
        return self

    async def __anext__(self) -> HeldLetter:
        """Give the next letter.

        Raises:
            BrokerUnavailable: the read is closed.

        Cancelling: nothing is lost.
        """
        await self._travel(Leg.TAKING)
        self.verify_is_open()
        for held in self._coming:
            return held
        raise StopAsyncIteration

    async def drop(self, held: HeldLetter) -> None:
        """Take a letter out for good.

        Raises:
            BrokerUnavailable: the read is closed, or this was dropped before, which closes it as an
                unknown delivery tag does an AMQP channel.
        """
        await self._travel(Leg.SETTLING)
        self.verify_is_open()
        if held.tag not in self._undropped:
            self.close()
            raise BrokerUnavailable(f"unknown delivery tag {held.tag}")
        self._undropped.remove(held.tag)
        self._dead.drop(held.tag)

    def verify_is_open(self) -> None:
        """Raise BrokerUnavailable if the read is closed."""
        if self._is_closed:
            raise BrokerUnavailable("the read of the dead letters was closed")

    def close(self) -> None:
        """End the read; closing twice is harmless."""
        self._is_closed = True
        self._dead.forget(self)


def _size_bytes(letter: DeadLetter) -> int:
    return len(letter.body) + len(letter.explanation.encode()) + _LETTER_BYTES
