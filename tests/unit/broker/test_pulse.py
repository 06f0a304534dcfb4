"""The pulse tells within a second that the broker answers no more, and at once that it does."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from broker.errors import BrokerUnavailable, NeverSubmitted, SubmitRefused
from broker.rabbitmq.pulse import Pulse

WAIT_SECONDS = 5.0


class Node:
    """Answers each beat as it is told to, or holds its answers back."""

    def __init__(self, answer: type[Exception]) -> None:
        self.answer = answer
        self.beats = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def beat(self) -> None:
        self.beats += 1
        await self.answers.wait()
        raise self.answer("no queue gets it")


@asynccontextmanager
async def beating(node: Node) -> AsyncIterator[Pulse]:
    pulse = Pulse(node.beat)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(pulse.run())
        yield pulse
        running.cancel()


async def until_late(pulse: Pulse, *, expected: bool = True) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while pulse.is_late is not expected:  # noqa: ASYNC110 - a flag, looked at by who publishes
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.rabbitmq.pulse.EVERY_SECONDS", 0.01)


@pytest.mark.parametrize("answer", [SubmitRefused, BrokerUnavailable, NeverSubmitted])
async def test_nothing_is_late_that_fails_or_is_answered_at_once(answer: type[Exception]) -> None:
    node = Node(answer)
    async with beating(node) as pulse:
        async with asyncio.timeout(WAIT_SECONDS):
            while node.beats < 5:  # noqa: ASYNC110 - a count, and nobody's news
                await asyncio.sleep(0.01)
        assert not pulse.is_late


async def test_a_missing_answer_is_noticed_and_not_asked_for_again() -> None:
    node = Node(SubmitRefused)
    node.answers.clear()
    async with beating(node) as pulse:
        await until_late(pulse)
        assert node.beats == 1


async def test_a_late_answer_makes_good_at_once() -> None:
    node = Node(SubmitRefused)
    node.answers.clear()
    async with beating(node) as pulse:
        await until_late(pulse)
        node.answers.set()
        await until_late(pulse, expected=False)


async def test_a_beat_that_never_left_makes_nothing_good() -> None:
    node = Node(NeverSubmitted)
    node.answers.clear()
    async with beating(node) as pulse:
        await until_late(pulse)
        node.answers.set()
        async with asyncio.timeout(WAIT_SECONDS):
            while node.beats < 5:  # noqa: ASYNC110 - a count, and nobody's news
                await asyncio.sleep(0.01)
        assert pulse.is_late
        node.answer = SubmitRefused
        await until_late(pulse, expected=False)


async def test_a_stall_of_ones_own_is_not_taken_for_the_brokers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("broker.rabbitmq.pulse.LATE_SECONDS", 0.01)
    node = Node(SubmitRefused)
    node.answers.clear()
    async with beating(node) as pulse:
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(node.answers.set)  # it has come, and nobody reads it
        time.sleep(0.05)  # noqa: ASYNC251 - the stall
        for _ in range(10):
            await asyncio.sleep(0)
            assert not pulse.is_late
