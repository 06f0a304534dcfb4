"""One process's connection to the embedded node: whether it is up, and what ends with it.

Rules: a call that was under way while the connection was lost fails, even if the connection is
back by the time it looks: connections are counted, not only up or down.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from broker.embedded.signal import Signal
from broker.errors import BrokerUnavailable

# As long as a test or a demonstration is patient with; who retries in a loop must not spin.
_OPEN_SECONDS = 1.0


class Closable(Protocol):
    """What ends when its connection does: an intake, a reader, a listener."""

    def close(self) -> None:
        """End it; closing twice is harmless."""


class Gate:
    """Something that passes everything, until it is told to hold it back."""

    def __init__(self) -> None:
        self._is_held = False
        self._signal = Signal()

    def hold(self) -> None:
        """Hold everything back from now on."""
        self._is_held = True

    def release(self) -> None:
        """Let everything pass again."""
        self._is_held = False
        self._signal.wake()

    def look_again(self) -> None:
        """Have who waits see whether its connection is still there."""
        self._signal.wake()

    async def wait_to_pass(self, verify: Callable[[], None]) -> None:
        """Wait until nothing is held back, raising as soon as `verify` does."""
        while self._is_held:
            await self._signal.wait()
            verify()


class Link:
    """One process's connection. `alarm` keeps messages from the node, `confirms` its answers."""

    def __init__(self, node_id: str, *, alarm: Gate, confirms: Gate) -> None:
        self.node_id = node_id
        self.is_up = True
        self._has_left = False
        self._connections = 1
        self._restored = Signal()
        self._open: dict[Closable, None] = {}
        self._alarm = alarm
        self._confirms = confirms

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
        await asyncio.sleep(0)
        with suppress(TimeoutError):
            async with asyncio.timeout(_OPEN_SECONDS):
                while not self.is_up and not self._has_left:
                    await self._restored.wait()
        self.verify_is_up()

    async def publish(self, store: Callable[[], None]) -> None:
        """Have the node run `store`, and wait for its confirm.

        Raises:
            SubmitRefused: `store` says so; nothing is kept.
            BrokerUnavailable: the connection is away, or was lost before the confirm.

        Cancelling: it may or may not be stored.
        """
        verify = self._verifying()
        await asyncio.sleep(0)
        verify()
        await self._alarm.wait_to_pass(verify)
        store()
        await asyncio.sleep(0)
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
