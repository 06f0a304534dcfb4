"""The parked sessions of a process, and the way to those of others.

Rules: a session stays on the front where it began; requests that reach another one go there over
the bus, and the answer comes back the same way.

Not here: what a request gets (`parked`).
"""

import asyncio
from functools import partial
from typing import Final

from services.front.arrival import Arrival
from services.front.bus_messages import PollAbandoned, PollErrand
from services.front.errands import Answer, Errands
from services.front.parked import BEGIN_ANEW, Parked, Poll, Tell
from services.front.parts import Parts

# Beyond the time for which a request is held: for its way there and back.
WAY_SECONDS: Final = 3.0


class Parking:
    """Finds the session that a request is for."""

    def __init__(self, parts: Parts, errands: Errands) -> None:
        self._parts = parts
        self._errands = errands
        self._by_id: dict[str, Parked] = {}
        # Requests of others that wait here, by who forwarded them and the number there.
        self._forwarded: dict[tuple[str, int], tuple[Parked, Tell]] = {}
        errands.register(PollErrand, self._take_errand)
        errands.register(PollAbandoned, self._abandon)

    def __len__(self) -> int:
        return len(self._by_id)

    def begin(self, remote: str, arrival: Arrival | None) -> tuple[str, str]:
        """Begin a session; give the ids of this front and of it."""
        parked = Parked(self._parts, remote, self._forget)
        parked.session.arrival = arrival
        self._by_id[parked.id] = parked
        return self._errands.node_id, parked.id

    async def poll(self, node_id: str, session_id: str, poll: Poll) -> Answer:
        """Give a request's answer, wherever its session is.

        Cancelling: nobody is there any more to be answered; what was to be told is told to the next
        request.
        """
        if node_id != self._errands.node_id:
            return await self._forward(node_id, session_id, poll)
        parked = self._by_id.get(session_id)
        if parked is None:
            return BEGIN_ANEW
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        tell = partial(_tell, answer)
        parked.poll(poll, tell)
        try:
            return await answer
        finally:
            parked.abandon(tell)

    async def _forward(self, node_id: str, session_id: str, poll: Poll) -> Answer:
        node = self._errands.node_id
        errand = PollErrand(node, 0, session_id, poll.ack, poll.sent, poll.commands, poll.is_last)
        wait_seconds = self._parts.config.client.poll_wait + WAY_SECONDS
        return await self._errands.send(
            node_id, errand, wait_seconds, abandoned=partial(PollAbandoned, node)
        )

    def _take_errand(self, errand: PollErrand) -> None:
        parked = self._by_id.get(errand.session)
        if parked is None:
            self._errands.answer(errand, BEGIN_ANEW)
            return
        key = (errand.sender, errand.number)

        def tell(answer: Answer) -> None:
            self._forwarded.pop(key, None)
            self._errands.answer(errand, answer)

        self._forwarded[key] = parked, tell
        parked.poll(Poll(errand.ack, errand.sent, errand.commands, errand.is_last), tell)

    def _abandon(self, message: PollAbandoned) -> None:
        forwarded = self._forwarded.pop((message.sender, message.number), None)
        if forwarded is not None:
            parked, tell = forwarded
            parked.abandon(tell)

    def _forget(self, parked: Parked) -> None:
        self._by_id.pop(parked.id, None)


def _tell(waiting: asyncio.Future[Answer], answer: Answer) -> None:
    if not waiting.done():
        waiting.set_result(answer)
