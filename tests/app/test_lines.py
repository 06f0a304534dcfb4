"""Whatever handlers do and however tasks arrive: each line keeps its order, each task one answer.

Random handlers (they pass, wait, raise, take too long, cancel themselves) are given random tasks in
random frames, by a worker that goes on while answers are under way; judged by what it heard alone.
"""

import asyncio
import random
import socket
from collections import defaultdict
from mmap import mmap

import pytest

from forebay import App, Publication
from forebay.host.lines import open_lines
from forebay.host.speaking import Speaking
from forebay.link import (
    LENGTH,
    TASKS_AT_MOST,
    Answers,
    Kind,
    Mark,
    Task,
    Tasks,
    Verdict,
    decode_to_worker,
    encode,
)

TASKS = 400
TIMEOUT_SECONDS = 0.05


class Handlers:
    """An App whose handlers do what chance says, and what they saw."""

    def __init__(self, chance: random.Random) -> None:
        self.app = App()
        self.called: list[str] = []
        self._chance = chance
        self._under_way: set[str] = set()
        self.overlaps: list[str] = []
        self.app.publish("waits:*")(self.wait)
        self.app.publish("plain:*")(self.run)

    async def wait(self, event: Publication) -> None:
        self.called.append(event.key)
        if event.channel in self._under_way:
            self.overlaps.append(event.channel)
        self._under_way.add(event.channel)
        try:
            for _ in range(self._chance.randrange(3)):
                await asyncio.sleep(self._chance.choice([0, 0, 0.001, 0.004]))
            match self._chance.randrange(30):
                case 0:
                    raise ValueError("broken")
                case 1:
                    await asyncio.sleep(10)
                case 2 if (own := asyncio.current_task()) is not None:
                    own.cancel()
        finally:
            self._under_way.discard(event.channel)

    def run(self, event: Publication) -> None:
        self.called.append(event.key)
        if not self._chance.randrange(30):
            raise KeyError("broken")


class Worker:
    """The other end: gives tasks, and tries lines that failed again in a later generation."""

    def __init__(self, end: socket.socket, chance: random.Random) -> None:
        self._end = end
        self._chance = chance
        self._heard = bytearray()
        self._generations: defaultdict[str, int] = defaultdict(int)
        self.given: dict[int, Task] = {}
        self.told: dict[int, Verdict] = {}

    async def give_some(self) -> None:
        tasks = [self._make() for _ in range(self._chance.randrange(1, 40))]
        frame = encode(Tasks(tasks))
        await asyncio.get_running_loop().sock_sendall(self._end, frame)

    def _make(self) -> Task:
        number = len(self.given) + 1
        name = f"{self._chance.choice(['waits', 'plain'])}:{self._chance.randrange(12)}"
        place = number % TASKS_AT_MOST
        key = str(number)
        task = Task(
            number, place, name, self._generations[name], Kind.PUBLISH, name, b"null", b"1", key, 1
        )
        self.given[number] = task
        return task

    async def hear(self, count: int) -> None:
        while len(self.told) < count:
            received = await asyncio.get_running_loop().sock_recv(self._end, 1 << 16)
            assert received
            self._heard += received
            self._take_frames()

    def _take_frames(self) -> None:
        while len(self._heard) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._heard)[0]
            if len(self._heard) < end:
                return
            message = decode_to_worker(bytes(self._heard[LENGTH.size : end]))
            del self._heard[:end]
            assert isinstance(message, Answers)
            # A frame does not say in which order those that passed and the others were answered.
            said = [(number, Verdict.PASSED) for number in message.passed]
            said += [(answer.number, answer.verdict) for answer in message.others]
            for number, verdict in sorted(said):
                self._note(number, verdict)

    def _note(self, number: int, verdict: Verdict) -> None:
        assert number not in self.told, "answered twice"
        self.told[number] = verdict
        task = self.given[number]
        if verdict is Verdict.FAILED:
            self._generations[task.line] = task.generation + 1

    def check_lines(self, called: list[str]) -> None:
        """Each line was handled and answered in order, and waited after a failure, not longer."""
        for line in {task.line for task in self.given.values()}:
            handled = [int(key) for key in called if self.given[int(key)].line == line]
            assert handled == sorted(handled)
            numbers = [number for number in self.told if self.given[number].line == line]
            assert numbers == sorted(numbers)
            failed = -1
            for number in numbers:
                task, verdict = self.given[number], self.told[number]
                assert (verdict is Verdict.UNSTARTED) == (task.generation <= failed)
                if verdict is Verdict.FAILED:
                    failed = task.generation


@pytest.mark.parametrize("seed", range(12))
async def test_lines_keep_their_order_whatever_handlers_do(seed: int) -> None:
    chance = random.Random(seed)
    handlers = Handlers(chance)
    ours, theirs = socket.socketpair()
    with ours, theirs, mmap(-1, TASKS_AT_MOST) as marks:
        ours.setblocking(False)
        theirs.setblocking(False)
        worker = Worker(ours, chance)
        speaking = Speaking(theirs, lambda message: lines.give(message.tasks))
        async with open_lines(handlers.app, marks, speaking, TIMEOUT_SECONDS) as lines:
            speaking.open()
            while len(worker.given) < TASKS:
                await worker.give_some()
                if chance.randrange(2):
                    await worker.hear(chance.randrange(len(worker.given)))
            await worker.hear(len(worker.given))
        speaking.close()
        begun = {str(number) for number, how in worker.told.items() if how is not Verdict.UNSTARTED}
        assert sorted(handlers.called) == sorted(begun)
        assert not handlers.overlaps
        worker.check_lines(handlers.called)
        assert set(worker.told.values()) == {Verdict.PASSED, Verdict.FAILED, Verdict.UNSTARTED}
        for number, verdict in worker.told.items():
            expected = Mark.WAITING if verdict is Verdict.UNSTARTED else Mark.ENDED
            assert marks[number % TASKS_AT_MOST] == expected
