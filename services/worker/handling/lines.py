"""What one app process is given, in which order and how often: lines, tries, who is to blame.

A process takes many questions at once. When it dies, the shared page says whose handlers had begun.
If it was one, that one has failed a try; if they were several, nobody has, and all are suspects.
Suspects are tried again with nothing else under way, in groups of an eighth of them, and if it
happens again of an eighth of those, at last alone. So whoever kills its process is alone in it when
it fails for good, and no neighbour is failed for it.

Rules
- Pure: the time is given, and so is the page.
- Each question is heard once, and those of a line in the order of asking. What is under way of a
  line is without gaps, and is answered in order but for what was left unstarted.
- After a failure nothing of the line is given before all that was given with it is back, since the
  process may not have got to it yet.
- What was abandoned keeps its place until it is answered, or would have been given.

Not here: the process itself (`slot`), what an answer may be (`answers`).
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import chain
from operator import attrgetter

from forebay.link import TASKS_AT_MOST, Answer, Answers, Mark, Task
from services.wire.payload import one_line
from services.worker.counting import WorkerCounters
from services.worker.handling.answers import find_nonsense
from services.worker.handling.asked import Asked, Line, Marks
from services.worker.handling.interface import (
    TRYING_SECONDS_AT_MOST,
    Handled,
    Question,
    Verdict,
)

# Under way in one process: more would only wait there, and be done again if it dies.
GIVEN_AT_MOST = 1_024
"""Without those that somebody waits for at once, for whom the other places are kept."""

GIVEN_BYTES_AT_ONCE = 512 * 1024
"""A frame is closed when it has so much; one question is at most 8 MiB, the longest frame 16."""

PAUSES_SECONDS = (0.3, 1.5)
"""Before the second try and the third: a client that waits for its answer hears of a quick failure
within its four seconds."""

GROUPS = 8
"""In which suspects are tried. Of 1,000, the guilty one is found in some 30 turns, with four more
deaths; trying each alone would take 1,000 turns, in which all others wait."""

_PASSED = Handled(Verdict.PASSED)
_ABANDONED = Handled(Verdict.FAILED, text="nobody waits for it")

_by_order = attrgetter("order")


class NoAnswer(Exception):
    """A process said what answers nothing that it was given, and cannot be believed any more."""


def _tell_nobody(handled: Handled) -> None:
    """What becomes of the answer to an abandoned question."""


class Lines:
    """The questions of one app process, and of those that take its place."""

    def __init__(self, counters: WorkerCounters, jitter: Callable[[], float]) -> None:
        """Each pause is longer or shorter by the factor that `jitter` gives."""
        self._counters = counters
        self._jitter = jitter
        self._lines: dict[str, Line] = {}
        self._urgent: deque[Asked] = deque()
        self._ready: deque[Asked] = deque()
        self._suspects: deque[Asked] = deque()
        self._group: deque[Asked] = deque()
        self._is_alone = False
        self._pauses: list[tuple[float, int, Asked]] = []
        self._places = list(range(TASKS_AT_MOST))
        self._order = 0
        self._number = 0
        self._generation = 0
        self.under_way: dict[int, Asked] = {}
        """By number; for reading."""

    # ---- asking

    def ask(self, owner: object, question: Question, hear: Callable[[Handled], None]) -> None:
        """Put a question at the end of its line."""
        line = self._lines.get(question.line) or self._begin_line(question.line)
        line.pending += 1
        self._order += 1
        self._ready.append(Asked(owner, question, hear, line, self._order))

    def ask_once(self, question: Question, hear: Callable[[Handled], None]) -> Asked:
        """Ask what has one try and goes before all others, but for those of its own line."""
        line = self._lines.get(question.line)
        queue = self._urgent if line is None else self._ready
        line = line or self._begin_line(question.line)
        line.pending += 1
        self._order += 1
        asked = Asked(None, question, hear, line, self._order, 1)
        queue.append(asked)
        return asked

    def forget(self, asked: Asked) -> None:
        """Tell nobody of a question any more, and do not give it if it was not given yet."""
        asked.is_abandoned = asked.is_odd = True
        asked.hear = _tell_nobody

    def abandon(self, owner: object) -> None:
        """Forget all questions of an owner."""
        for asked in self._all():
            if asked.owner is owner:
                self.forget(asked)

    def _begin_line(self, name: str) -> Line:
        # Whatever failed before in a line of this name was of an earlier generation.
        line = self._lines[name] = Line(name, self._generation)
        return line

    def _all(self) -> Iterator[Asked]:
        queues = (self._urgent, self._ready, self._suspects, self._group, self.under_way.values())
        yield from chain.from_iterable(queues)
        yield from (asked for _, _, asked in self._pauses)
        yield from chain.from_iterable(line.back for line in self._lines.values())

    @property
    def pending(self) -> int:
        """Questions that are not heard yet."""
        return sum(line.pending for line in self._lines.values())

    # ---- giving

    @property
    def next_seconds(self) -> float | None:
        """When the next pause is over, after which there may be something to give."""
        return self._pauses[0][0] if self._pauses else None

    def give(self, now_seconds: float, marks: Marks) -> list[Task]:
        """Tell what the process is to be given now, a frame of it; there may be more."""
        while self._pauses and self._pauses[0][0] <= now_seconds:
            self._end_pause(heappop(self._pauses)[2])
        while True:
            tasks = self._give(now_seconds, marks)
            if tasks or self.under_way or not self._has_more():
                return tasks
            # All that came up were suspects, were abandoned, or let others go on.

    def _has_more(self) -> bool:
        return bool(self._urgent or self._ready or self._suspects or self._group)

    def _give(self, now_seconds: float, marks: Marks) -> list[Task]:
        if not (self.under_way or self._group):
            self._form_group()
        if self._is_alone:
            return self._give_from(self._group, TASKS_AT_MOST, now_seconds, marks)
        if self._suspects:
            return []
        if self._urgent:
            # Alone in a frame: what stands behind one of them in its line must not overtake it.
            return self._give_from(self._urgent, TASKS_AT_MOST, now_seconds, marks)
        return self._give_from(self._ready, GIVEN_AT_MOST, now_seconds, marks)

    def _give_from(
        self, queue: deque[Asked], at_most: int, now_seconds: float, marks: Marks
    ) -> list[Task]:
        tasks: list[Task] = []
        size_bytes = 0
        under_way = self.under_way
        while queue and len(under_way) < at_most and size_bytes < GIVEN_BYTES_AT_ONCE:
            asked = queue.popleft()
            line = asked.line
            if (line.is_held or asked.is_odd) and not self._may_be_given(asked, now_seconds):
                continue
            question = asked.question
            size_bytes += len(question.data)
            self._number = asked.number = number = self._number + 1
            asked.place = place = self._places.pop()
            marks[place] = 0
            asked.turn = line.given
            line.given += 1
            if not asked.first_seconds:
                asked.first_seconds = now_seconds
            under_way[number] = asked
            tasks.append(
                Task(
                    number,
                    place,
                    line.name,
                    line.generation,
                    question.kind,
                    question.name,
                    question.sender,
                    question.data,
                    question.key,
                    asked.failures + 1,
                    question.is_binary,
                )
            )
        return tasks

    def _may_be_given(self, asked: Asked, now_seconds: float) -> bool:
        """Look at what has come up; unless it may be given, put it where it is to wait."""
        line = asked.line
        if asked.is_abandoned:
            self._conclude(asked, _ABANDONED)
            return False
        if line.is_held and line.waits_for is not asked:
            line.back.append(asked)
            return False
        if not asked.is_odd:
            return True
        if line.answered != line.given:
            # What stands before it is heard first.
            line.is_held = True
            line.back.append(asked)
            return False
        if asked.final is not None:
            self._conclude(asked, asked.final)
            return False
        return self._may_be_tried(asked, now_seconds)

    def _may_be_tried(self, asked: Asked, now_seconds: float) -> bool:
        line = asked.line
        if asked.again_seconds > now_seconds:
            heappush(self._pauses, (asked.again_seconds, asked.order, asked))
        elif asked.alone_with and not self._is_alone:
            self._suspects.append(asked)
        else:
            return True
        line.is_held = True
        line.waits_for = asked
        return False

    def _end_pause(self, asked: Asked) -> None:
        asked.line.waits_for = None
        asked.line.back.append(asked)
        self._let_go_on(asked.line)

    def _form_group(self) -> None:
        """Choose those that are tried next with nothing else under way, if there are suspects."""
        size = self._suspects[0].alone_with if self._suspects else 0
        while len(self._group) < size and self._suspects:
            if self._suspects[0].alone_with != size:
                break
            self._group.append(self._suspects.popleft())
        self._is_alone = size > 0

    def _let_go_on(self, line: Line) -> None:
        """Put back in front what a held line kept, once nothing stands before it any more."""
        if line.waits_for is not None or line.answered != line.given:
            return
        line.is_held = False
        line.back.sort(key=_by_order, reverse=True)
        self._ready.extendleft(line.back)
        line.back = []

    # ---- hearing

    def hear(self, answers: Answers, now_seconds: float) -> None:
        """Take a frame of answers.

        Raises:
            NoAnswer: one of them is none; those before it were taken.
        """
        if not answers.others:
            numbers = sorted(answers.passed)
            self._observe(numbers, now_seconds)
            for number in numbers:
                self._pass(number)
            return
        others = {answer.number: answer for answer in answers.others}
        numbers = sorted([*answers.passed, *others])
        if len(answers.others) != len(others):
            raise NoAnswer("it answered twice")
        self._observe(numbers, now_seconds)
        for number in numbers:
            answer = others.get(number)
            if answer is None:
                self._pass(number)
            else:
                self._take(answer, now_seconds)

    def _observe(self, numbers: Sequence[int], now_seconds: float) -> None:
        """Take note how long the one that was given first has taken."""
        first = self.under_way.get(numbers[0]) if numbers else None
        if first is not None and not first.is_odd:
            self._counters.app_seconds.observe(now_seconds - first.first_seconds)

    def _pass(self, number: int) -> None:
        asked = self.under_way.get(number)
        if asked is None or asked.turn != asked.line.answered:
            raise NoAnswer("it answered what it was not asked")
        del self.under_way[number]
        self._places.append(asked.place)
        asked.line.answered += 1
        self._conclude(
            asked,
            Handled(Verdict.PASSED, attempts=asked.failures + 1) if asked.failures else _PASSED,
        )

    def _take(self, answer: Answer, now_seconds: float) -> None:
        asked = self.under_way.get(answer.number)
        if asked is None:
            raise NoAnswer("it answered what it was not asked")
        line = asked.line
        if answer.verdict is Verdict.UNSTARTED:
            if not line.is_held or line.waits_for is asked:
                raise NoAnswer("it left unstarted what nothing stood before")
        elif asked.turn != line.answered:
            raise NoAnswer("it answered out of order")
        del self.under_way[answer.number]
        self._places.append(asked.place)
        line.answered += 1
        match answer.verdict:
            case Verdict.UNSTARTED:
                self._bring_back(asked)
                self._let_go_on(line)
            case Verdict.FAILED:
                self._fail(asked, answer.text, answer.trace, now_seconds)
                self._let_go_on(line)
            case _:
                self._conclude(asked, _handled(asked, answer))

    def end(self, marks: Marks, why: str, now_seconds: float) -> None:
        """Take back all that is under way: the process is gone.

        To blame is the one whose handler had begun, or one of them. Nobody's had: one that has
        ended may have left behind what killed the process later.
        """
        begun = self._marked(marks, Mark.BEGUN)
        self._take_all_back(begun or self._marked(marks, Mark.ENDED), marks, why, now_seconds)

    def end_disbelieved(self, marks: Marks, why: str, now_seconds: float) -> None:
        """The same of a process that went mad, perhaps by a handler that has ended since."""
        suspects = self._marked(marks, Mark.BEGUN) | self._marked(marks, Mark.ENDED)
        self._take_all_back(suspects, marks, why, now_seconds)

    def _marked(self, marks: Marks, mark: Mark) -> set[int]:
        return {number for number, asked in self.under_way.items() if marks[asked.place] == mark}

    def _take_all_back(
        self, suspects: set[int], marks: Marks, why: str, now_seconds: float
    ) -> None:
        gone = sorted(self.under_way.values(), key=_by_order)
        self.under_way.clear()
        self._places = list(range(TASKS_AT_MOST))
        for asked in gone:
            asked.line.answered += 1
            if asked.number in suspects:
                self._suspect(asked, -(-len(suspects) // GROUPS))
            elif marks[asked.place] == Mark.ENDED:
                asked.deaths += 1
                if asked.deaths > 1:
                    # Once it was chance. Twice, and it may be why others die that come after it.
                    self._suspect(asked, 1)
            is_guilty = len(suspects) == 1 or asked.tries_at_most == 1
            if is_guilty and asked.number in suspects:
                self._fail(asked, why, "", now_seconds)
            else:
                self._bring_back(asked)
        # Each is put in front of all others, so the first comes last.
        for line in {asked.line.name: asked.line for asked in reversed(gone)}.values():
            self._let_go_on(line)

    def _suspect(self, asked: Asked, alone_with: int) -> None:
        asked.alone_with = alone_with
        asked.is_odd = True

    def _bring_back(self, asked: Asked) -> None:
        line = asked.line
        line.is_held = True
        line.back.append(asked)
        if line.waits_for is asked:
            line.waits_for = None

    def _fail(self, asked: Asked, text: str, trace: str, now_seconds: float) -> None:
        """Take note of a failed try, with the line held; hear of it if it was the last."""
        line = asked.line
        is_first = line.waits_for is asked or (line.waits_for is None and not line.back)
        if line.waits_for is asked:
            line.waits_for = None
        line.is_held = True
        self._generation += 1
        line.generation = self._generation
        self._counters.app_failures.value += 1
        asked.failures += 1
        asked.is_odd = True
        if not self._has_another_try(asked, now_seconds):
            asked.final = Handled(Verdict.FAILED, text=text, trace=trace, attempts=asked.failures)
            if is_first:
                self._conclude(asked, asked.final)
                return
        line.back.append(asked)

    def _has_another_try(self, asked: Asked, now_seconds: float) -> bool:
        if asked.failures >= asked.tries_at_most or asked.is_abandoned:
            return False
        pause_seconds = PAUSES_SECONDS[min(asked.failures, len(PAUSES_SECONDS)) - 1]
        asked.again_seconds = now_seconds + pause_seconds * self._jitter()
        return asked.again_seconds < asked.first_seconds + TRYING_SECONDS_AT_MOST

    def _conclude(self, asked: Asked, handled: Handled) -> None:
        """Tell whoever asked."""
        line = asked.line
        line.pending -= 1
        if not line.pending:
            del self._lines[line.name]
        elif line.is_held:
            if line.waits_for is asked:
                line.waits_for = None
            self._let_go_on(line)
        asked.hear(handled)


def _handled(asked: Asked, answer: Answer) -> Handled:
    question = asked.question
    nonsense = find_nonsense(question.kind, answer)
    attempts = asked.failures + 1
    if nonsense:
        # Not tried again: what stands behind it in its line may have been handled already.
        return Handled(
            Verdict.FAILED, text=f"the handler's answer is of no use: {nonsense}", attempts=attempts
        )
    data = answer.data if question.is_binary else one_line(answer.data)
    return Handled(
        answer.verdict, data, answer.code, answer.text, attempts=attempts, sides=answer.sides
    )
