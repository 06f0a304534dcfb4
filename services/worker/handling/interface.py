"""What a worker asks the team's handlers, and what it hears.

Not here: app processes and how they are spoken to (`crew`), tries and their order (`lines`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from forebay.link import Kind, Side, SideKind, Verdict

__all__ = [
    "TRIES_AT_MOST",
    "TRYING_SECONDS_AT_MOST",
    "Handled",
    "Handling",
    "Kind",
    "NoHandling",
    "Question",
    "Side",
    "SideKind",
    "Verdict",
]

TRIES_AT_MOST = 3
TRYING_SECONDS_AT_MOST = 60.0
"""From the first try of an entry on; after it, or after the last try, the entry has failed."""


class Question(NamedTuple):
    """One entry that a handler is to look at."""

    kind: Kind
    line: str
    """Entries of one line are handled one after the other, in the order in which they were asked
    about: a channel's, or a client's."""
    name: str
    sender: bytes
    data: bytes
    key: str
    is_binary: bool = False


class Handled(NamedTuple):
    """What became of it; after all tries, if it took several."""

    verdict: Verdict
    """Never UNSTARTED, which is nobody's business but the lines'; FAILED after all tries."""
    data: bytes = b""
    code: int = 0
    text: str = ""
    trace: str = ""
    """Where a handler failed: a digest of its traceback."""
    attempts: int = 1
    sides: Sequence[Side] = ()


class Handling(Protocol):
    """The team's handlers."""

    def handles(self, kind: Kind, name: str) -> bool:
        """Tell whether there is a handler for it."""

    def ask(self, owner: object, question: Question, hear: Callable[[Handled], None]) -> None:
        """Have a handler look at an entry; `hear` is called once, later. Never waits.

        Within a line, `hear` is called in the order of asking. An entry that failed is tried again
        with its line waiting, and others going on.
        """

    def abandon(self, owner: object) -> None:
        """Tell this owner of nothing any more: what was not begun is not handled.

        What was begun goes on to its end, and what is asked next in its line comes after it.
        """

    async def ask_at_once(self, question: Question, timeout_seconds: float) -> Handled | None:
        """Have a handler answer a connect or a subscribe, tried once; None if there is no answer.

        Cancelling: it may be handled.
        """


class NoHandling:
    """There are no handlers."""

    def handles(self, kind: Kind, name: str) -> bool:
        """See `Handling.handles`."""
        return False

    def ask(self, owner: object, question: Question, hear: Callable[[Handled], None]) -> None:
        """See `Handling.ask`.

        Raises:
            AssertionError: always; whoever asks has been told that there is no handler.
        """
        raise AssertionError("nobody handles this")

    def abandon(self, owner: object) -> None:
        """See `Handling.abandon`."""

    async def ask_at_once(self, question: Question, timeout_seconds: float) -> Handled | None:
        """See `Handling.ask_at_once`."""
        return None
