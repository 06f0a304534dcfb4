"""What a worker answers fronts that ask its app."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from broker.embedded import EmbeddedAccess, EmbeddedBroker
from services.front.bus_messages import decode_message, encode_message
from services.hook_messages import (
    ANSWER_BYTES_AT_MOST,
    Answered,
    Asked,
    Hook,
    HookAnswers,
    HookQuestions,
    Said,
    encode_answers,
)
from services.worker.handling.interface import Handled, Kind, Question, Verdict
from services.worker.hooks import Answering
from tests.unit.front.handlers import Handler, Handlers, passes

LARGE = b'"' + b"x" * (ANSWER_BYTES_AT_MOST - 2) + b'"'


class Front:
    """Asks a worker by the bus."""

    def __init__(self, access: EmbeddedAccess) -> None:
        self.access = access
        self.messages: list[HookAnswers] = []

    @property
    def answers(self) -> dict[int, Answered]:
        return {each.number: each for message in self.messages for each in message.answers}

    async def ask(self, *questions: Asked) -> None:
        message = HookQuestions(self.access.node_id, 1.0, list(questions))
        await self.access.bus.send("worker", encode_message(message))

    async def listen(self) -> None:
        async with self.access.bus.listen() as bodies:
            async for body in bodies:
                message = decode_message(body)
                assert isinstance(message, HookAnswers)
                self.messages.append(message)

    async def hears(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.answers) < count:  # noqa: ASYNC110  (nothing tells)
                await asyncio.sleep(0.001)


@asynccontextmanager
async def asking(
    *handlers: tuple[Kind, Handler],
) -> AsyncIterator[Front]:
    broker = EmbeddedBroker({"main": 1})
    async with broker.open("front") as for_front, broker.open("worker") as for_worker:
        answering, front = Answering(for_worker, Handlers(dict(handlers))), Front(for_front)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(answering.run()),
                tasks.create_task(_hear(for_worker, answering)),
                tasks.create_task(front.listen()),
            ]
            await asyncio.sleep(0.01)
            yield front
            for each in running:
                each.cancel()


async def _hear(access: EmbeddedAccess, answering: Answering) -> None:
    async with access.bus.listen() as bodies:
        async for body in bodies:
            answering.hear(body)


def connect(number: int, data: bytes = b"{}") -> Asked:
    return Asked(number, Hook.CONNECT, f"client {number}", "", b"null", data)


def subscribe(number: int, channel: str) -> Asked:
    return Asked(number, Hook.SUBSCRIBE, "client", channel, b"null", b"{}")


@pytest.mark.parametrize(
    ("handled", "answered"),
    [
        (Handled(Verdict.PASSED), Answered(1, Said.PASSED)),
        (Handled(Verdict.REPLIED, b'{"a":1}'), Answered(1, Said.REPLIED, b'{"a":1}')),
        (Handled(Verdict.REPLIED, LARGE), Answered(1, Said.REPLIED, LARGE)),
        (Handled(Verdict.REPLIED, LARGE + b" "), Answered(1, Said.FAILED)),
        (Handled(Verdict.REFUSED, code=1, text="no"), Answered(1, Said.REFUSED, b"", 1, "no")),
        (Handled(Verdict.FAILED, text="it raised"), Answered(1, Said.FAILED)),
        (Handled(Verdict.CHANGED, b"1"), Answered(1, Said.FAILED)),
        (Handled(Verdict.SWALLOWED), Answered(1, Said.FAILED)),
    ],
)
async def test_a_front_hears_what_the_handler_says(handled: Handled, answered: Answered) -> None:
    async with asking((Kind.CONNECT, lambda question: handled)) as front:
        await front.ask(connect(1))
        await front.hears(1)
    assert front.answers[1] == answered


async def test_a_handler_that_gave_no_answer_is_told_as_that() -> None:
    async with asking((Kind.CONNECT, lambda question: None)) as front:
        await front.ask(connect(1))
        await front.hears(1)
    assert front.answers[1].said is Said.UNANSWERED


async def test_a_front_hears_that_there_is_no_such_handler() -> None:
    async with asking((Kind.SUBSCRIBE, passes)) as front:
        await front.ask(connect(1), subscribe(2, "a"))
        await front.hears(2)
    assert [front.answers[number].said for number in (1, 2)] == [Said.ABSENT, Said.PASSED]


async def test_a_handler_is_told_which_channel_and_each_is_a_line_of_its_own() -> None:
    questions: list[Question] = []

    def hear(question: Question) -> Handled:
        questions.append(question)
        return Handled(Verdict.PASSED)

    async with asking((Kind.SUBSCRIBE, hear)) as front:
        await front.ask(subscribe(1, "a"), subscribe(2, "b"))
        await front.hears(2)
    assert [question.name for question in questions] == ["a", "b"]
    assert len({question.line for question in questions}) == 2
    assert {question.key for question in questions} == {""}


async def test_more_than_may_be_under_way_is_answered_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.worker.hooks.UNDER_WAY_AT_MOST", 2)
    async with asking((Kind.CONNECT, passes)) as front:
        await front.ask(*(connect(number) for number in range(1, 5)))
        await front.hears(4)
        said = [front.answers[number].said for number in range(1, 5)]
        assert said == [Said.PASSED, Said.PASSED, Said.BUSY, Said.BUSY]
        await front.ask(connect(5))
        await front.hears(5)
        assert front.answers[5].said is Said.PASSED


async def test_answers_of_one_turn_travel_together_as_far_as_they_fit() -> None:
    def reply(question: Question) -> Handled:
        return Handled(Verdict.REPLIED, question.data)

    async with asking((Kind.CONNECT, reply)) as front:
        await front.ask(*(connect(number) for number in range(1, 101)))
        await front.hears(100)
        assert len(front.messages) == 1
        await front.ask(*(connect(number, LARGE) for number in range(101, 105)))
        await front.hears(104)
        assert len(front.messages) == 5


async def test_answers_that_the_broker_does_not_take_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.worker.hooks.WAITING_BYTES_AT_MOST", 2 * len(LARGE))
    async with asking((Kind.CONNECT, lambda question: Handled(Verdict.REPLIED, LARGE))) as front:
        await front.ask(*(connect(number) for number in range(1, 5)))
        await front.hears(1)
        numbers = itertools.count(5)
        async with asyncio.timeout(5):
            while len(front.answers) < 2:
                # As soon as the broker has taken the first.
                await front.ask(connect(next(numbers)))
                await asyncio.sleep(0)
        assert not front.answers.keys() & {2, 3, 4}


async def test_what_else_is_on_the_bus_is_passed_over() -> None:
    async with asking((Kind.CONNECT, passes)) as front:
        for body in (b"", b"{}", b'{"kind":"moved"}', encode_answers(HookAnswers("x", []))):
            await front.access.bus.send("worker", body)
        await front.ask(connect(1))
        await front.hears(1)
    assert len(front.messages) == 1
