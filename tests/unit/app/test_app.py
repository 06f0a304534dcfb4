"""What an App takes as a handler, which one it calls, and what is opened for them."""

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest

from forebay import App, Call, Connect, Depends, Publication, State, WrongHandler
from forebay.app import REMEMBERED_AT_MOST
from forebay.link import HandlerSpec, Kind, Verdict
from tests.unit.app.trial import task, tried


def called(app: App, kind: Kind, name: str) -> str | None:
    handler = app.handler_for(kind, name)
    return handler.name.rpartition(".")[2] if handler is not None else None


def test_the_most_specific_pattern_is_called() -> None:
    app = App()

    @app.publish("*")
    def all_of_them(event: Publication) -> None: ...

    @app.publish(namespace="chat")
    def of_chat(event: Publication) -> None: ...

    @app.publish("chat:big:*")
    def of_big(event: Publication) -> None: ...

    @app.publish("chat:1")
    def exactly(event: Publication) -> None: ...

    names = ["chat:1", "chat:2", "chat:big:1", "news"]
    assert [called(app, Kind.PUBLISH, name) for name in names * 2] == [
        "exactly",
        "of_chat",
        "of_big",
        "all_of_them",
    ] * 2
    assert called(app, Kind.RPC, "chat:1") is None


def test_a_handler_that_comes_later_is_found_by_names_that_were_asked_for_before() -> None:
    app = App()
    assert called(app, Kind.RPC, "add") is None

    @app.rpc("add")
    def add(call: Call) -> None: ...

    assert called(app, Kind.RPC, "add") == "add"


def test_names_that_clients_make_up_are_not_all_remembered() -> None:
    app = App()

    @app.rpc("*")
    def anything(call: Call) -> None: ...

    for number in range(REMEMBERED_AT_MOST + 10):
        app.handler_for(Kind.RPC, f"method-{number}")
    assert len(app._remembered[Kind.RPC]) == 10


def test_an_app_says_what_it_has_handlers_for() -> None:
    app = App()
    app.publish("a:*")(lambda event: None)
    app.connect()(lambda event: None)
    assert set(map(tuple_of, app.specs)) == {(Kind.PUBLISH, "a:*"), (Kind.CONNECT, "*")}


def tuple_of(spec: HandlerSpec) -> tuple[Kind, str]:
    return spec.kind, spec.pattern


def passing(event: Publication) -> None: ...


@pytest.mark.parametrize(("one", "other"), [("chat:*", "chat:*"), ("a", "a"), ("a:*", "*:b")])
def test_two_handlers_for_one_thing_are_wrong(one: str, other: str) -> None:
    app = App()
    app.publish(one)(passing)
    with pytest.raises(WrongHandler, match="is for the same as passing"):
        app.publish(other)(passing)


def test_a_second_connect_handler_is_wrong() -> None:
    app = App()
    app.connect()(lambda event: None)
    with pytest.raises(WrongHandler):
        app.connect()(lambda event: None)


def without_event() -> None: ...
def keyword_event(*, event: Publication) -> None: ...
def of_another_kind(event: Call) -> None: ...
def unknown_parameter(event: Publication, pool: str) -> None: ...
def unread(event: Publication["Missing"]) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def wants_state(event: Publication, state: State[int]) -> None: ...
def generator(event: Publication) -> Iterator[int]:
    yield 1


async def async_generator(event: Publication) -> AsyncIterator[int]:
    yield 1


def unreadable(event: Publication[dict[str, Callable[[], int]]]) -> None: ...
def itself(
    value: Annotated[int, Depends(lambda: 1)], other: "Annotated[int, Depends(itself)]"
) -> int:
    return 0


def on_itself(event: Publication, value: Annotated[int, Depends(itself)]) -> None: ...
def needs_text(event: Publication[str]) -> int:
    return 0


def other_data(event: Publication[int], n: Annotated[int, Depends(needs_text)]) -> None: ...
def needs_call(event: Call) -> int:
    return 0


def other_event(event: Publication, n: Annotated[int, Depends(needs_call)]) -> None: ...
def plain_depends(event: Publication, n: Depends(without_event)) -> None: ...  # type: ignore[valid-type]
def no_function(event: Publication, n: Annotated[int, Depends(3)]) -> None: ...


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (without_event, "its first parameter has to be the event, Publication"),
        (keyword_event, "its first parameter has to be the event"),
        (of_another_kind, "annotated with another type than Publication"),
        (unknown_parameter, "nothing says where `pool` comes from"),
        (unread, "its annotations cannot be read"),
        (wants_state, "the App has none"),
        (generator, "it does not yield"),
        (async_generator, "it does not yield"),
        (unreadable, "data cannot be read as"),
        (on_itself, "depends on itself"),
        (other_data, "data of another type"),
        (other_event, "it takes a Call"),
        (plain_depends, "has to be Annotated"),
        (no_function, "only what can be called"),
        (print, "does not say what it takes|first parameter"),
        (7, "cannot be called"),
    ],
)
def test_what_could_never_be_called_is_wrong_when_it_is_decorated(function: Any, why: str) -> None:
    with pytest.raises(WrongHandler, match=why):
        App().publish("*")(function)


def test_a_decorator_without_its_parentheses_is_wrong() -> None:
    with pytest.raises(WrongHandler, match=r"write @app\.publish\(…\) above it"):
        App().publish(passing)  # type: ignore[arg-type]


def test_a_pattern_and_a_namespace_exclude_each_other() -> None:
    with pytest.raises(WrongHandler):
        App().publish("a", namespace="b")
    with pytest.raises(WrongHandler):
        App().subscribe()


def test_what_wants_arguments_is_wrong_as_a_startup_hook() -> None:
    with pytest.raises(WrongHandler, match="without arguments"):
        App().on_startup(passing)  # type: ignore[type-var]


class Moderator:
    def __init__(self) -> None:
        self.seen: list[str] = []

    async def look(self, event: Publication[str]) -> None:
        self.seen.append(event.data)

    async def __call__(self, event: Publication[str], *rest: int, mood: str = "calm") -> str:
        return event.data + mood


async def test_methods_objects_and_partials_are_handlers() -> None:
    app, moderator = App(), Moderator()
    app.publish("a")(moderator.look)
    app.publish("b")(moderator)
    app.publish("c")(functools.partial(moderator, mood="wild"))
    answers = [await tried(app, task(1, b'"hi "', name=name)) for name in "abc"]
    assert moderator.seen == ["hi "]
    assert [answer.data for answer in answers] == [b"", b'"hi calm"', b'"hi wild"']


async def test_what_a_handler_returns_may_be_known_to_type_checkers_alone() -> None:
    app = App()

    @app.publish("*")
    def answers(event: "Publication[int]") -> "Unheard | None":  # type: ignore[name-defined]  # noqa: F821
        return None

    assert (await tried(app, task(1, b"1"))).verdict is Verdict.PASSED
    assert (await tried(app, task(1, b'"1"'))).verdict is Verdict.REFUSED


async def test_a_handler_behind_an_unsuspecting_decorator_is_awaited() -> None:
    app = App()

    def logged(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @app.rpc("add")
    @logged
    async def add(call: Call[list[int]]) -> int:
        return sum(call.data)

    answer = await tried(app, task(1, b"[1,2]", kind=Kind.RPC, name="add"))
    assert (answer.verdict, answer.data) == (Verdict.REPLIED, b"3")


async def test_what_is_opened_is_closed_in_the_other_order() -> None:
    told: list[str] = []

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[str]:
        told.append("lifespan begins")
        yield "state"
        told.append("lifespan ends")

    app = App(lifespan=lifespan)

    @app.on_startup
    async def begin() -> None:
        told.append("startup")

    @app.on_shutdown
    def end() -> None:
        told.append("shutdown")
        raise ValueError("it went wrong")

    @app.on_shutdown
    def end_more() -> None:
        told.append("shutdown more")

    @app.rpc("state")
    def state(call: Call, state: State[str]) -> str:
        return state

    with pytest.raises(ValueError, match="it went wrong"):
        await run(app)
    assert told == ["lifespan begins", "startup", "shutdown", "shutdown more"]


async def run(app: App) -> None:
    async with app.running():
        answer = await tried(app, task(1, kind=Kind.RPC, name="state"))
        assert answer.data == b'"state"'


async def test_hooks_get_their_question_as_typed_data() -> None:
    app = App()

    @app.connect()
    def connect(event: Connect[dict[str, int]]) -> None:
        assert event.data == {"room": 1}
        assert (event.user, event.client, event.has_token) == ("ada", "c9", True)
        assert (event.transport, event.remote, event.headers) == ("sse", "::1", {"cookie": "a"})

    asked = (
        b'{"user":"ada","client":"c9","has_token":true,"data":{"room":1},"transport":"sse",'
        b'"remote":"::1","headers":{"cookie":"a"}}'
    )
    answer = await tried(app, task(1, asked, kind=Kind.CONNECT, name=""))
    assert answer.verdict is Verdict.PASSED, answer
