"""One process's connection to the embedded node: whether it is up, and what ends with it.

Rules: a call that was under way while the connection was lost fails, even if the connection is
back by the time it looks: connections are counted, not only up or down. What was on its way when
its sender gave up may arrive yet, if a test says so.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

from broker.embedded.signal import Signal
from broker.embedded.travel import Leg, Travel
from broker.errors import BrokerUnavailable, NeverSubmitted, SubmitRefused

# As long as a test or a demonstration is patient with; who retries in a loop must not spin.
_OPEN_SECONDS = 1.0

# Each may be a batch of half a megabyte.
_STRAYS_AT_MOST = 16


class Closable(Protocol):
    """What ends when its connection does: an intake, a reader, a listener."""

    def close(self) -> None:
        """End it; closing twice is harmless."""


Opened = TypeVar("Opened")


class Gate:
    """Something that passes everything, until it is told to hold it back."""

    def __init__(self) -> None:
        self._is_held = False
        self.is_announced = False
        """Whether those are told who would pass."""
        self._signal = Signal()

    def hold(self) -> None:
        """Hold everything back from now on."""
        self._is_held = True

    def release(self) -> None:
        """Let everything pass again."""
        self._is_held = self.is_announced = False
        self._signal.wake()

    def look_again(self) -> None:
        """Have who waits see whether its connection is still there."""
        self._signal.wake()

    async def wait_to_pass(self, verify: Callable[[], None]) -> None:
        """Wait until nothing is held back, raising as soon as `verify` does."""
        while self._is_held:
            await self._signal.wait()
            verify()


class Strays:
    """Messages on the way to the node whose senders wait for them no longer."""

    def __init__(self) -> None:
        self._stores: deque[Callable[[], None]] = deque(maxlen=_STRAYS_AT_MOST)

    def add(self, store: Callable[[], None]) -> None:
        """Let a message be lost, or arrive late; of too many the oldest is lost."""
        self._stores.append(store)

    def arrive(self) -> None:
        """Let all of them reach the node."""
        stores = list(self._stores)
        self._stores.clear()
        for store in stores:
            with suppress(SubmitRefused):
                store()


class Link:
    """One process's connection. `alarm` keeps messages from the node, `confirms` its answers."""

    def __init__(
        self, node_id: str, travel: Travel, *, alarm: Gate, confirms: Gate, strays: Strays
    ) -> None:
        self.node_id = node_id
        self.travel = travel
        self.is_up = True
        self._has_left = False
        self._connections = 1
        self._restored = Signal()
        self._open: dict[Closable, None] = {}
        self._alarm = alarm
        self._confirms = confirms
        self._strays = strays

    def attach(self, opened: Closable) -> None:
        """Have `opened` closed when the connection is lost."""
        self.verify_is_up()
        self._open[opened] = None

    def detach(self, opened: Closable) -> None:
        """Close `opened` and forget it."""
        self._open.pop(opened, None)
        opened.close()

    def drop(self) -> None:
        """Lose the connection and all that was opened through it."""
        self.is_up = False
        opened, self._open = list(self._open), {}
        for each in opened:
            each.close()
        self._alarm.look_again()
        self._confirms.look_again()

    def close_all(self, kind: type[Closable]) -> None:
        """Close what was opened of one kind; the connection stays."""
        for each in self.opened(kind):
            each.close()

    def opened(self, kind: type[Opened]) -> list[Opened]:
        """Give what is open of one kind."""
        return [opened for opened in self._open if isinstance(opened, kind)]

    def leave(self) -> None:
        """Lose the connection for good."""
        self._has_left = True
        self.drop()
        self._restored.wake()

    def restore(self) -> None:
        """Connect again; what had been opened stays closed."""
        if not self.is_up and not self._has_left:
            self.is_up = True
            self._connections += 1
            self._restored.wake()

    @property
    def is_blocked(self) -> bool:
        """Whether the node has said that it takes no messages for now."""
        return self._alarm.is_announced

    def verify_is_up(self) -> None:
        """Raise BrokerUnavailable if there is no connection."""
        if not self.is_up:
            raise BrokerUnavailable("the connection to the embedded broker is away")

    async def reach(self) -> None:
        """Take the way to the node to open something there, waiting a little for the connection.

        Raises:
            BrokerUnavailable: there is none.

        Cancelling: loses nothing.
        """
        await self.travel(Leg.OPENING)
        with suppress(TimeoutError):
            async with asyncio.timeout(_OPEN_SECONDS):
                while not self.is_up and not self._has_left:
                    await self._restored.wait()
        self.verify_is_up()

    async def publish(self, store: Callable[[], None]) -> None:
        """Have the node run `store`, and wait for its confirm.

        Raises:
            SubmitRefused: `store` says so; nothing is kept.
            NeverSubmitted: the connection is away.
            BrokerUnavailable: it was lost before the confirm.

        Cancelling: it may or may not be stored.
        """
        if not self.is_up:
            raise NeverSubmitted("the connection to the embedded broker is away")
        verify = self._verifying()
        try:
            await self.travel(Leg.SENDING)
            verify()
            await self._alarm.wait_to_pass(verify)
        except BaseException:
            self._strays.add(store)
            raise
        store()
        await self.travel(Leg.CONFIRMING)
        verify()
        await self._confirms.wait_to_pass(verify)

    def _verifying(self) -> Callable[[], None]:
        """Give a function that raises once the present connection is no longer the one in use."""
        self.verify_is_up()
        connection = self._connections

        def verify() -> None:
            if not self.is_up or self._connections != connection:
                raise BrokerUnavailable("the connection to the embedded broker was lost")

        return verify
