"""Finds out, all the time, whether what is published now would be confirmed soon.

RabbitMQ says that an alarm blocks a connection only when something is published on it, and a node
that is frozen or overwhelmed says nothing at all. Whoever waits for the next publication of a
client to find out has taken it by then, and cannot say any more that it was not made. So there is
a pulse: an empty message that no queue gets, and its answer.

Not here: what follows from it (`broker.producer`).
"""

import asyncio
from collections.abc import Awaitable, Callable

from broker.errors import BrokerUnavailable, SubmitRefused

# Together less than a second: so soon is a publisher to hear that the pool is shut. A beat costs
# this process and the broker some 0.3 ms each.
EVERY_SECONDS = 0.25
LATE_SECONDS = 0.45

# After a stall of our own the answer may have arrived, and not been read yet.
_READING_SECONDS = 0.1


class Pulse:
    """The pulse of one publishing connection; `beat` publishes what no queue gets.

    So each is refused, or fails with BrokerUnavailable.
    """

    def __init__(self, beat: Callable[[], Awaitable[None]]) -> None:
        self._beat = beat
        self._timer: asyncio.TimerHandle
        self.is_late = False
        """Whether an answer is overdue."""

    async def run(self) -> None:
        """Beat until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._timer = loop.call_later(LATE_SECONDS, self._look_again)
            try:
                await self._beat()
            except SubmitRefused:
                # No queue gets it, and this is how that is answered.
                self.is_late = False
            except BrokerUnavailable:
                # No answer: the connection was lost, or there is none.
                pass
            finally:
                self._timer.cancel()
            await asyncio.sleep(EVERY_SECONDS)

    def _look_again(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_READING_SECONDS, self._become_late)

    def _become_late(self) -> None:
        self.is_late = True
