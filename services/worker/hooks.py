"""What fronts ask of this worker's app before they let a client in: asked, and answered.

Rules
- Nothing of it is in a log: who gets no answer asks another worker, or the client comes again. A
  handler is asked once.
- At most so many are under way, and answers wait within so many bytes; beyond that a front hears
  that this worker is busy, or nothing.
- Answers of one turn of the loop to the same front travel in one message.

Not here: whom fronts ask (`services.front.hooks`), the app (`handling`).
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

import structlog

from broker.errors import BrokerUnavailable
from broker.interface import Broker
from services.hook_messages import (
    ANSWER_BYTES_AT_MOST,
    MESSAGE_BYTES,
    Answered,
    Asked,
    Hook,
    HookAnswers,
    Said,
    decode_questions,
    encode_answers,
)
from services.worker.handling.interface import Handled, Handling, Kind, Question, Verdict

_log = structlog.get_logger(__name__)

UNDER_WAY_AT_MOST: Final = 4_096
"""As many as one app process takes; with handlers of 200 us it has answered them in a second."""

WAITING_BYTES_AT_MOST: Final = 8 * 1024 * 1024
"""Of answers that the broker does not take now."""

_KINDS: Final = {Hook.CONNECT: Kind.CONNECT, Hook.SUBSCRIBE: Kind.SUBSCRIBE}
_NO_KEY: Final = ""
_AROUND_BYTES: Final = 100


class Answering:
    """Answers fronts, by asking handlers."""

    def __init__(self, broker: Broker, handling: Handling) -> None:
        self._broker = broker
        self._handling = handling
        self._tasks: asyncio.TaskGroup | None = None
        self._under_way = 0
        self._waiting: dict[str, list[Answered]] = {}
        self._waiting_bytes = 0
        self._has_waiting = asyncio.Event()

    def hear(self, body: bytes) -> None:
        """Take what is on the bus; what is no question is passed over. Never waits."""
        message = decode_questions(body)
        if message is None:
            return
        for asked in message.questions:
            self._take(message.sender, asked, message.timeout_seconds)

    async def run(self) -> None:
        """Ask and answer until cancelled. Cancelling: what was not answered never is."""
        async with asyncio.TaskGroup() as self._tasks:
            try:
                await self._send()
            finally:
                self._tasks = None

    def _take(self, front: str, asked: Asked, timeout_seconds: float) -> None:
        if self._tasks is None or self._under_way >= UNDER_WAY_AT_MOST:
            self._answer(front, Answered(asked.number, Said.BUSY))
        elif not self._handling.handles(_KINDS[asked.hook], asked.channel):
            self._answer(front, Answered(asked.number, Said.ABSENT))
        else:
            self._under_way += 1
            self._tasks.create_task(self._ask(front, asked, timeout_seconds))

    async def _ask(self, front: str, asked: Asked, timeout_seconds: float) -> None:
        # A line of its own: the front carries out what it is told in the client's order.
        line = f"{asked.hook} {asked.client} {asked.channel}"
        kind = _KINDS[asked.hook]
        question = Question(kind, line, asked.channel, asked.sender, asked.data, _NO_KEY)
        try:
            handled = await self._handling.ask_at_once(question, timeout_seconds)
        finally:
            self._under_way -= 1
        self._answer(front, _conclude(asked, handled))

    def _answer(self, front: str, answered: Answered) -> None:
        size_bytes = _size_bytes(answered)
        if self._waiting_bytes + size_bytes > WAITING_BYTES_AT_MOST:
            return
        self._waiting_bytes += size_bytes
        self._waiting.setdefault(front, []).append(answered)
        self._has_waiting.set()

    async def _send(self) -> None:
        while True:
            await self._has_waiting.wait()
            self._has_waiting.clear()
            waiting, self._waiting = self._waiting, {}
            for front, answers in waiting.items():
                for message in _divide(answers):
                    body = encode_answers(HookAnswers(self._broker.node_id, message))
                    with suppress(BrokerUnavailable):
                        await self._broker.bus.send(front, body)
                    self._waiting_bytes -= sum(map(_size_bytes, message))


def _conclude(asked: Asked, handled: Handled | None) -> Answered:
    """What a front is told of what a handler has said."""
    number = asked.number
    if handled is None:
        return Answered(number, Said.UNANSWERED)
    match handled.verdict:
        case Verdict.PASSED:
            return Answered(number, Said.PASSED)
        case Verdict.REPLIED if len(handled.data) <= ANSWER_BYTES_AT_MOST:
            return Answered(number, Said.REPLIED, handled.data)
        case Verdict.REFUSED:
            return Answered(number, Said.REFUSED, code=handled.code, text=handled.text)
        case Verdict.FAILED:
            why, trace = handled.text, handled.trace
        case Verdict.REPLIED:
            why, trace = f"its answer is over {ANSWER_BYTES_AT_MOST} bytes", ""
        case _:
            why, trace = "its answer does not fit what was asked", ""
    _log.error(
        "a handler failed", hook=asked.hook.value, channel=asked.channel, why=why, trace=trace
    )
    return Answered(number, Said.FAILED)


def _size_bytes(answered: Answered) -> int:
    # In a message its bytes are told in base64.
    return 4 * len(answered.data) // 3 + len(answered.text.encode()) + _AROUND_BYTES


def _divide(answers: Iterable[Answered]) -> Iterator[list[Answered]]:
    """Messages of at most so many bytes, or of one answer."""
    message: list[Answered] = []
    size_bytes = 0
    for answered in answers:
        if message and size_bytes + _size_bytes(answered) > MESSAGE_BYTES:
            yield message
            message, size_bytes = [], 0
        message.append(answered)
        size_bytes += _size_bytes(answered)
    yield message
