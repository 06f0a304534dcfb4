"""A client that publishes at a steady rate and finds out what became of each publication.

Rules: a payload's id is used for one attempt only. A refused attempt (111, temporary) is followed
by another with a new id, later; one of unknown outcome is left alone, for the checker to judge.
An unsound publication is one that only the worker can tell to be no JSON that everybody reads; it
is attempted once.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import NamedTuple

import orjson

from tests.faults.journal import (
    Acknowledged,
    Attempted,
    Interrupted,
    Journal,
    Refused,
    RefusedLate,
    Unresolved,
)
from tests.faults.progress import Progress
from tests.system.connection import (
    Connection,
    ConnectionLost,
    Reconnection,
    Reply,
    UnexpectedReply,
    connected,
)

INTERNAL_ERROR = 100
BAD_REQUEST = 107
TOO_MANY_REQUESTS = 111
OUTCOME_UNKNOWN = 400

# The server answers "outcome unknown" after 4 s and SDKs give up after 5 s. A front that leaves a
# publish unanswered for this long is as good as gone.
ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Workload:
    """What one publisher has to do."""

    channels: Sequence[str]
    publications: int
    window: int
    """How many may be unanswered at a time."""
    per_second: float
    unsound_every: int = 0
    """One in so many publications is unsound; 0: none."""


class _Publication(NamedTuple):
    channel: str
    number: int
    tries: int
    is_sound: bool

    def payload(self, attempt: str) -> orjson.Fragment:
        """What is sent: of an unsound one, with a number that is beyond what a double can be."""
        beyond = b"" if self.is_sound else b',"beyond":1e999'
        return orjson.Fragment(b'{"attempt":"%b"%b}' % (attempt.encode(), beyond))

    def again(self) -> "_Publication":
        return self._replace(tries=self.tries + 1)


class Publisher:
    """One publishing client; `run` returns when the fate of every publication is decided."""

    def __init__(
        self,
        name: str,
        workload: Workload,
        reconnection: Reconnection,
        progress: Progress,
        random: Random,
    ) -> None:
        self.journal = Journal(name)
        self.window = workload.window
        self._pace_seconds = 1 / workload.per_second
        self._reconnection = reconnection
        self._progress = progress
        self._random = random
        self._session = 0
        self._command_ids = count(2)  # 1 is the connect command's
        self._next_at = 0.0
        self._answered = asyncio.Event()
        self._unanswered: dict[int, tuple[_Publication, str]] = {}
        self._to_be_refused: defaultdict[str, deque[str]] = defaultdict(deque)
        self._workload = workload
        self._numbers = iter(range(workload.publications))
        self._waiting: deque[_Publication] = deque()
        self._load()

    @property
    def unanswered(self) -> int:
        """How many attempts wait for their answer now."""
        return len(self._unanswered)

    @property
    def is_done(self) -> bool:
        """Whether every publication was acknowledged or has an unknown fate."""
        return not self._waiting and not self._unanswered and not any(self._to_be_refused.values())

    def finish(self) -> None:
        """Attempt nothing more; wait for the answers that are still to come."""
        self._numbers = iter(range(0))
        self._waiting.clear()
        self._answered.set()

    def _load(self) -> None:
        """Take the next publication, if there is one."""
        number = next(self._numbers, None)
        if number is None:
            return
        channels, unsound_every = self._workload.channels, self._workload.unsound_every
        is_sound = not unsound_every or number % unsound_every != unsound_every - 1
        # Not the channel's turn alone: all of one channel would be unsound.
        turn = number + number // len(channels) if unsound_every else number
        self._waiting.append(_Publication(channels[turn % len(channels)], number, 1, is_sound))

    async def run(self) -> None:
        """Publish everything, over as many connections as it takes."""
        while not self.is_done:
            try:
                async with connected(self._reconnection.next_front()) as connection:
                    self._reconnection.succeeded()
                    self._session += 1
                    await self._use(connection)
            except* ConnectionLost as lost:
                self._give_up_unanswered(str(lost.exceptions[0]))
                await self._reconnection.pause()

    async def _use(self, connection: Connection) -> None:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read_answers(connection))
            await self._publish_waiting(connection)
            reading.cancel()

    async def _publish_waiting(self, connection: Connection) -> None:
        while not self.is_done:
            if self._waiting and len(self._unanswered) < self.window:
                await self._wait_for_turn()
                await self._attempt(connection)
            else:
                self._answered.clear()
                await self._answered.wait()

    async def _wait_for_turn(self) -> None:
        now = asyncio.get_running_loop().time()
        # What a stall held back is not caught up in a burst.
        self._next_at = max(self._next_at + self._pace_seconds, now)
        await asyncio.sleep(self._next_at - now)

    async def _attempt(self, connection: Connection) -> None:
        if not self._waiting:  # finished during the wait
            return
        publication = self._waiting.popleft()
        if not self._waiting:
            self._load()
        attempt = f"{self.journal.client}-{publication.number}.{publication.tries}"
        command_id = next(self._command_ids)
        self._unanswered[command_id] = (publication, attempt)
        channel = publication.channel
        self.journal.note(Attempted(channel, attempt, self._session, publication.is_sound))
        self._progress.attempted += 1
        self._progress.changed()
        publish = {"channel": channel, "data": publication.payload(attempt)}
        await connection.send({"id": command_id, "publish": publish})

    async def _read_answers(self, connection: Connection) -> None:
        while True:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    replies = await connection.receive()
            except TimeoutError:
                if self._unanswered:
                    raise ConnectionLost("the front answers nothing") from None
                continue
            for reply in replies:
                self._resolve(reply)
            self._answered.set()
            self._progress.changed()

    def _resolve(self, reply: Reply) -> None:
        if "message" in reply.get("push", {}):
            self._note_late_refusal(reply["push"]["message"]["data"]["refused"])
            return
        if reply.get("id") not in self._unanswered:
            raise UnexpectedReply(reply)
        publication, attempt = self._unanswered.pop(reply["id"])
        code = reply.get("error", {}).get("code")
        if "publish" in reply:
            self.journal.note(Acknowledged(attempt))
            self._progress.acknowledged += 1
            if not publication.is_sound:
                self._to_be_refused[publication.channel].append(attempt)
        elif code == BAD_REQUEST and not publication.is_sound:
            self.journal.note(Refused(attempt, code))
        elif code == TOO_MANY_REQUESTS:
            self.journal.note(Refused(attempt, code))
            self._waiting.append(publication.again())
            self._rest()
        elif code in (OUTCOME_UNKNOWN, INTERNAL_ERROR):
            self.journal.note(Unresolved(attempt, str(reply["error"])))
        else:
            raise UnexpectedReply(reply)

    def _note_late_refusal(self, refused: Reply) -> None:
        """A late refusal does not say which it is; of one channel they come in order."""
        owed = self._to_be_refused[refused["channel"]]
        if not owed:
            raise UnexpectedReply(refused)
        self.journal.note(RefusedLate(owed.popleft(), refused["error"]["code"]))

    def _rest(self) -> None:
        """Attempt nothing for a moment: the server said that it has too much to do."""
        pause_seconds = self._random.uniform(0.1, 0.5)
        self._next_at = asyncio.get_running_loop().time() + pause_seconds

    def _give_up_unanswered(self, why: str) -> None:
        self.journal.note(Interrupted(why))
        for _, attempt in self._unanswered.values():
            self.journal.note(Unresolved(attempt, why))
        self._unanswered.clear()
        self._to_be_refused.clear()
        self._progress.changed()
