"""What is said of tasks: gathered for a moment, then written in one frame.

Rules
- Nothing that is decided waits longer than the turn of the loop in which it was; nor, if handlers
  make that a long one, longer than `GATHERING_SECONDS` and the handler that is being called.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from forebay.host.speaking import Speaking
from forebay.link import Answer, Answers

# A frame costs both sides some 10 µs. Beyond this, clients would notice that they wait.
GATHERING_SECONDS: Final = 0.005

# Answers that are not passed take up to 1 MiB each; a frame has to stay below 16.
_GATHERED_BYTES_AT_MOST: Final = 1024 * 1024


class Answering:
    """The answers that are not yet written."""

    def __init__(self, speaking: Speaking) -> None:
        self._speaking = speaking
        self._loop = asyncio.get_running_loop()
        self._passed: list[int] = []
        self._others: list[Answer] = []
        self._bytes = 0
        self._due_at = 0.0
        self._is_gathering = False

    def let_pass(self, number: int) -> bool:
        """Say that a task is passed; True if it is time to let the loop turn."""
        self._passed.append(number)
        if self._is_gathering:
            return monotonic() >= self._due_at and self._write_in_time()
        return self._begin()

    def answer(self, answer: Answer) -> bool:
        """Say what became of a task; True if it is time to let the loop turn."""
        self._others.append(answer)
        self._bytes += len(answer.data)
        if answer.sides:
            self._bytes += sum(len(side.data) for side in answer.sides)
        if self._bytes > _GATHERED_BYTES_AT_MOST:
            return self._write_in_time()
        if self._is_gathering:
            return monotonic() >= self._due_at and self._write_in_time()
        return self._begin()

    def write(self) -> None:
        """Write what is gathered."""
        self._is_gathering = False
        if self._passed or self._others:
            answers = Answers(self._passed, self._others)
            self._passed, self._others, self._bytes = [], [], 0
            self._speaking.say(answers)

    def _begin(self) -> bool:
        self._is_gathering = True
        self._due_at = monotonic() + GATHERING_SECONDS
        self._loop.call_soon(self.write)
        return False

    def _write_in_time(self) -> bool:
        self.write()
        return True
