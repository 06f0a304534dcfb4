"""What is asked at once, of processes that have not started yet."""

import asyncio
from collections.abc import Callable

import pytest

from services.settings import AppConfig
from services.worker.counting import WorkerCounters
from services.worker.handling.asked import Asked
from services.worker.handling.crew import Crew
from services.worker.handling.interface import Handled, Kind, Question, Verdict

QUESTION = Question(Kind.CONNECT, "connect c1", "", b"null", b"", "")


async def test_an_answer_in_the_turn_in_which_nobody_waits_any_more_harms_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crew = Crew(AppConfig(path="team:app"), WorkerCounters())
    (slot,) = crew.slots
    ask_once, under_way = slot.ask_once, list[Asked]()

    def ask(question: Question, hear: Callable[[Handled], None]) -> Asked:
        under_way.append(ask_once(question, hear))
        return under_way[-1]

    monkeypatch.setattr(slot, "ask_once", ask)
    asking = asyncio.ensure_future(crew.ask_at_once(QUESTION, 5.0))
    await asyncio.sleep(0)
    asking.cancel()
    under_way[0].hear(Handled(Verdict.PASSED))
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_what_is_not_answered_in_time_has_no_answer() -> None:
    crew = Crew(AppConfig(path="team:app"), WorkerCounters())
    assert await crew.ask_at_once(QUESTION, 0.01) is None
