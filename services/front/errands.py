"""Requests that reached a front and are another one's to answer: sent there, and its answers.

Rules
- The bus may lose both: who asks waits for a bounded time, and no longer than the other front
  lives. That no answer came says nothing about what was done.
- Errands to one front are sent in the order in which they were given.
- At most so many are under way in a process; more are answered at once that it is busy.

Not here: what is asked (`bus_messages`), who answers it (`uplinks`, `parked`).
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple, TypeVar

import msgspec

from services.front.bus_messages import Errand, ErrandAnswer, Message
from services.front.neighbours import Neighbours

# What is answered takes some milliseconds; a busy loop or broker some hundred.
ANSWER_SECONDS: Final = 2.0

UNDER_WAY_AT_MOST: Final = 10_000

# How soon it is noticed that the other front is gone.
_LOOK_SECONDS: Final = 1.0


class Answer(NamedTuple):
    """What a client is told."""

    status: HTTPStatus
    body: bytes = b""


NOT_FOUND: Final = Answer(HTTPStatus.NOT_FOUND)
BUSY: Final = Answer(HTTPStatus.SERVICE_UNAVAILABLE)

Sent = TypeVar("Sent", bound=Message)


class Errands:
    """Asks other fronts, and answers them."""

    def __init__(self, neighbours: Neighbours) -> None:
        self.node_id: Final = neighbours.id
        self._neighbours = neighbours
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._last_number = 0
        neighbours.register(ErrandAnswer, self._hear)

    def register(self, kind: type[Sent], handler: Callable[[Sent], None]) -> None:
        """Have `handler`, which neither waits nor raises, called for what others ask here."""
        self._neighbours.register(kind, handler)

    async def send(
        self,
        node_id: str,
        errand: Errand,
        answer_seconds: float = ANSWER_SECONDS,
        *,
        abandoned: Callable[[int], Message] | None = None,
    ) -> Answer:
        """Have another front answer; 404 if there is none of that id, 503 if no answer came.

        Cancelling: the answer is not waited for, and the other front told so by what `abandoned`
        makes of the errand's number; it may be done all the same.
        """
        if not self._may_live(node_id):
            return NOT_FOUND
        if len(self._waiting) >= UNDER_WAY_AT_MOST:
            return BUSY
        self._last_number += 1
        number = self._last_number
        if not self._neighbours.send(node_id, msgspec.structs.replace(errand, number=number)):
            return BUSY
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            return await self._wait(node_id, answer, answer_seconds)
        except asyncio.CancelledError:
            if abandoned is not None:
                self._neighbours.send(node_id, abandoned(number))
            raise
        finally:
            del self._waiting[number]

    def answer(self, errand: Errand, answer: Answer) -> None:
        """Answer what another front asked."""
        message = ErrandAnswer(errand.number, int(answer.status), answer.body)
        self._neighbours.send(errand.sender, message)

    async def _wait(
        self, node_id: str, answer: asyncio.Future[Answer], answer_seconds: float
    ) -> Answer:
        while answer_seconds > 0:
            await asyncio.wait((answer,), timeout=min(_LOOK_SECONDS, answer_seconds))
            if answer.done():
                return answer.result()
            if not self._may_live(node_id):
                return NOT_FOUND
            answer_seconds -= _LOOK_SECONDS
        return BUSY

    def _may_live(self, node_id: str) -> bool:
        # Who has just started does not know all others yet.
        return not self._neighbours.is_settled or node_id in self._neighbours.fronts()

    def _hear(self, message: ErrandAnswer) -> None:
        waiting = self._waiting.get(message.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(Answer(HTTPStatus(message.status), message.body))
