"""What handlers are passed besides the event."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest

from forebay import App, Depends, Event, Publication, Refuse, State
from forebay.link import Answer, Verdict
from tests.unit.app.trial import task, tried


@pytest.fixture
def told() -> list[str]:
    return []


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[dict[str, int]]:
    yield {"pool": 7}


async def answer_of(app: App, data: bytes = b'"hi"') -> Answer:
    async with app.running():
        return await tried(app, task(1, data))


async def test_each_way_of_giving_a_value_gives_it(told: list[str]) -> None:
    app = App(lifespan=lifespan)

    def plain(state: State[dict[str, int]]) -> int:
        return state["pool"]

    async def awaited(value: Annotated[int, Depends(plain)]) -> int:
        return value + 1

    def generated(event: Event) -> Iterator[str]:
        yield event.user
        told.append("generated ends")

    async def generated_slowly(value: Annotated[int, Depends(awaited)]) -> AsyncIterator[int]:
        yield value + 1
        told.append("generated slowly ends")

    class Service:
        def __init__(self, state: State[dict[str, int]], mood: str = "calm") -> None:
            self.words = f"{mood} {state['pool']}"

    @app.publish("*")
    async def handler(
        event: Publication[str],
        a: Annotated[int, Depends(plain)],
        b: Annotated[int, Depends(awaited)],
        c: Annotated[str, Depends(generated)],
        d: Annotated[int, Depends(generated_slowly)],
        service: Annotated[Service, Depends(Service)],
        state: State[dict[str, int]],
        option: int = 3,
    ) -> list[Any]:
        told.append("handler")
        return [event.data, a, b, c, d, service.words, state, option]

    answer = await answer_of(app)
    assert answer.data == b'["hi",7,8,"ada",9,"calm 7",{"pool":7},3]', answer
    assert told == ["handler", "generated slowly ends", "generated ends"]


async def test_a_plain_handler_may_depend_on_what_is_awaited() -> None:
    app = App()

    async def awaited() -> int:
        return 5

    @app.publish("*")
    def handler(event: Publication, value: Annotated[int, Depends(awaited)]) -> int:
        return value

    assert (await answer_of(app)).data == b"5"


async def test_plain_dependencies_of_a_plain_handler_are_not_awaited(told: list[str]) -> None:
    app = App()

    def generated() -> Iterator[int]:
        yield 5
        told.append("ends")

    @app.publish("*")
    def handler(event: Publication, value: Annotated[int, Depends(generated)]) -> int:
        return value

    assert isinstance(handler_result := app.handler_for(task(1).kind, "a"), object)
    assert handler_result is not None
    assert handler_result.call(handler_result.read(task(1))) == 5
    assert told == ["ends"]


async def test_what_several_need_is_made_once_an_event(told: list[str]) -> None:
    app = App()

    def made() -> int:
        told.append("made")
        return len(told)

    def other(value: Annotated[int, Depends(made)]) -> int:
        return value

    @app.publish("*")
    def handler(
        event: Publication, a: Annotated[int, Depends(made)], b: Annotated[int, Depends(other)]
    ) -> list[int]:
        return [a, b]

    assert (await answer_of(app)).data == b"[1,1]"
    assert (await answer_of(app)).data == b"[2,2]"


@pytest.mark.parametrize(
    ("error", "verdict"), [(Refuse("no"), Verdict.REFUSED), (KeyError("x"), Verdict.FAILED)]
)
async def test_what_a_handler_raises_is_raised_in_generators(
    told: list[str], error: Exception, verdict: Verdict
) -> None:
    app = App()

    async def transaction() -> AsyncIterator[None]:
        try:
            yield
        except type(error):
            told.append("rolled back")
            raise

    @app.publish("*")
    async def handler(event: Publication, _: Annotated[None, Depends(transaction)]) -> None:
        raise error

    assert (await answer_of(app)).verdict is verdict
    assert told == ["rolled back"]


async def test_a_generator_cannot_undo_a_failure() -> None:
    app = App()

    async def careless() -> AsyncIterator[None]:
        try:
            yield
        except KeyError:
            return

    @app.publish("*")
    async def handler(event: Publication, _: Annotated[None, Depends(careless)]) -> None:
        raise KeyError("x")

    answer = await answer_of(app)
    assert (answer.verdict, answer.text) == (Verdict.FAILED, "KeyError: 'x'")


async def test_what_goes_wrong_after_a_handler_fails_it() -> None:
    app = App()

    def pool() -> Iterator[int]:
        yield 1
        raise OSError("cannot commit")

    @app.publish("*")
    def handler(event: Publication, value: Annotated[int, Depends(pool)]) -> int:
        return value

    answer = await answer_of(app)
    assert (answer.verdict, answer.text) == (Verdict.FAILED, "OSError: cannot commit")


async def test_a_dependency_may_refuse() -> None:
    app = App()

    def only_ada(event: Event) -> None:
        if event.user != "ada":
            raise Refuse("only ada", code=1_000)

    @app.publish("*")
    def handler(event: Publication, _: Annotated[None, Depends(only_ada)]) -> None: ...

    assert (await answer_of(app)).verdict is Verdict.PASSED
    refused = await tried(app, task(1, sender=b"null"))
    assert (refused.verdict, refused.code) == (Verdict.REFUSED, 1_000)
