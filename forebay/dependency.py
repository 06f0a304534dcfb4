"""What handlers are passed besides the event: what the lifespan made, and what functions give.

    async def get_pool(state: State[Resources]) -> Pool: ...

    async def keep(event: Publication[Chat], pool: Annotated[Pool, Depends(get_pool)]) -> None: ...

Rules
- Each function is called once an event, before the handler; those it needs itself before it.
- Generators end after the handler, last begun first. What the handler raises is raised in them, at
  their `yield`; what they raise fails the handler; they cannot make its failure undone.
- Signatures are read when a handler is decorated, and never again.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints

from forebay.event import Event


class WrongHandler(TypeError):
    """A handler, or what it depends on, that could never be called; said when it is decorated."""


@dataclass(frozen=True, slots=True)
class Depends:
    """Marks a parameter: `Annotated[Pool, Depends(get_pool)]` is what `get_pool` gives."""

    function: Callable[..., object]


class _FromLifespan:
    """Marks a parameter that is given what the lifespan yields."""


_T = TypeVar("_T")

State = Annotated[_T, _FromLifespan()]
"""`State[Resources]` is what the lifespan yields, which is a `Resources`."""


class Resources:
    """What the lifespan has yielded, from the start of the app to its end."""

    def __init__(self, *, has_lifespan: bool) -> None:
        self.has_lifespan: Final = has_lifespan
        self.state: object = None


class _Way(Enum):
    """How a function gives its value."""

    PLAIN = auto()
    ASYNC = auto()
    GENERATOR = auto()
    ASYNC_GENERATOR = auto()


# Where an argument comes from: these, or the place of a step's value.
_EVENT: Final = -1
_STATE: Final = -2


@dataclass(frozen=True, slots=True)
class _Step:
    call: Callable[..., Any]
    way: _Way
    sources: tuple[tuple[str, int], ...]


def bind(
    function: Callable[..., Any], event: type[Event], resources: Resources
) -> tuple[Callable[[Any], Any], Any]:
    """Make a handler callable with its event alone.

    Gives what to call, which may give something to be awaited, and what the event is annotated
    with.

    Raises:
        WrongHandler: its signature cannot be satisfied.
    """
    name = name_of(function)
    way = _way_of(function)
    if way in (_Way.GENERATOR, _Way.ASYNC_GENERATOR):
        raise WrongHandler(f"{name}: a handler returns, it does not yield")
    hints = hints_of(function)
    parameters = _parameters_of(function)
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise WrongHandler(f"{name}: its first parameter has to be the event, {event.__name__}")
    first, *others = parameters
    annotation = hints.get(first.name, event)
    plan = _Plan(event, annotation, resources)
    sources = plan.sources_of(name, others, hints)
    if not sources:
        return function, annotation
    step = _Step(function, way, sources)
    call = _plain_call if way is _Way.PLAIN and plan.is_plain else _async_call
    return call(plan.steps, step, resources), annotation


class _Plan:
    """The functions that one handler depends on, each after those that it needs itself."""

    def __init__(self, event: type[Event], annotation: Any, resources: Resources) -> None:
        self._event = event
        self._annotation = annotation
        self._resources = resources
        self._places: dict[Callable[..., object], int | None] = {}
        self.steps: list[_Step] = []

    @property
    def is_plain(self) -> bool:
        """Whether nothing in it is to be awaited."""
        return all(step.way in (_Way.PLAIN, _Way.GENERATOR) for step in self.steps)

    def sources_of(
        self, name: str, parameters: list[inspect.Parameter], hints: dict[str, Any]
    ) -> tuple[tuple[str, int], ...]:
        """Where a function's arguments come from; those with a default are left to it."""
        found = []
        for parameter in parameters:
            source = self._source_of(name, parameter.name, hints.get(parameter.name))
            if source is not None:
                found.append((parameter.name, source))
            elif parameter.default is inspect.Parameter.empty:
                raise WrongHandler(
                    f"{name}: nothing says where `{parameter.name}` comes from; annotate it with"
                    " Annotated[…, Depends(…)] or State[…]"
                )
        return tuple(found)

    def _source_of(self, name: str, parameter: str, annotation: Any) -> int | None:
        if isinstance(annotation, Depends) or annotation is Depends:
            raise WrongHandler(f"{name}: `{parameter}` has to be Annotated[…, Depends(…)]")
        if get_origin(annotation) is Annotated:
            for mark in get_args(annotation)[1:]:
                if isinstance(mark, Depends):
                    return self._place_of(mark.function)
                if isinstance(mark, _FromLifespan):
                    return self._state_for(name)
        kind = get_origin(annotation) or annotation
        if isinstance(kind, type) and issubclass(kind, Event):
            return self._event_for(name, annotation, kind)
        return None

    def _state_for(self, name: str) -> int:
        if not self._resources.has_lifespan:
            raise WrongHandler(f"{name}: it wants what the lifespan yields, and the App has none")
        return _STATE

    def _event_for(self, name: str, annotation: Any, kind: type[Event]) -> int:
        types = get_args(annotation)
        if not issubclass(self._event, kind):
            raise WrongHandler(
                f"{name}: it takes a {kind.__name__}, and the handler's event is a"
                f" {self._event.__name__}"
            )
        if types and types[0] is not Any and annotation != self._annotation:
            raise WrongHandler(f"{name}: its event has data of another type than the handler's")
        return _EVENT

    def _place_of(self, function: Callable[..., object]) -> int:
        name = name_of(function)
        if not callable(function):
            raise WrongHandler(f"Depends({name}): only what can be called can be depended on")
        if function in self._places:
            place = self._places[function]
            if place is None:
                raise WrongHandler(f"{name} depends on itself")
            return place
        self._places[function] = None
        sources = self.sources_of(name, _parameters_of(function), hints_of(function))
        self.steps.append(_step_of(function, sources))
        self._places[function] = len(self.steps) - 1
        return len(self.steps) - 1


def _plain_call(
    steps: list[_Step], handler: _Step, resources: Resources
) -> Callable[[Event], object]:
    def call(event: Event) -> object:
        values: list[Any] = []
        failure: BaseException
        with ExitStack() as generators:
            try:
                for step in steps:
                    value = step.call(**_arguments(step, event, values, resources))
                    if step.way is _Way.GENERATOR:
                        value = generators.enter_context(value)
                    values.append(value)
                return handler.call(event, **_arguments(handler, event, values, resources))
            except BaseException as error:
                failure = error
                raise
        raise failure  # a generator has caught it, and is not asked whether it matters

    return call


def _async_call(
    steps: list[_Step], handler: _Step, resources: Resources
) -> Callable[[Event], Awaitable[object]]:
    async def call(event: Event) -> object:
        values: list[Any] = []
        failure: BaseException
        async with AsyncExitStack() as generators:
            try:
                for step in steps:
                    value = step.call(**_arguments(step, event, values, resources))
                    values.append(await _settled(step.way, value, generators))
                result = handler.call(event, **_arguments(handler, event, values, resources))
                return await result if handler.way is _Way.ASYNC else result
            except BaseException as error:
                failure = error
                raise
        raise failure  # as above

    return call


async def _settled(way: _Way, value: Any, generators: AsyncExitStack) -> Any:
    match way:
        case _Way.PLAIN:
            return value
        case _Way.ASYNC:
            return await value
        case _Way.GENERATOR:
            return generators.enter_context(value)
        case _Way.ASYNC_GENERATOR:
            return await generators.enter_async_context(value)


def _arguments(
    step: _Step, event: Event, values: list[Any], resources: Resources
) -> dict[str, Any]:
    return {
        name: values[source] if source >= 0 else event if source == _EVENT else resources.state
        for name, source in step.sources
    }


def _step_of(function: Callable[..., Any], sources: tuple[tuple[str, int], ...]) -> _Step:
    way = _way_of(function)
    if way is _Way.GENERATOR:
        return _Step(contextmanager(function), way, sources)
    if way is _Way.ASYNC_GENERATOR:
        return _Step(asynccontextmanager(function), way, sources)
    return _Step(function, way, sources)


def _way_of(function: Callable[..., Any]) -> _Way:
    # What is called may be an object with a `__call__`; what a decorator wraps says how it gives.
    called = inspect.unwrap(function)
    if not (inspect.isroutine(called) or isinstance(called, type | partial)):
        called = type(called).__call__
    if inspect.iscoroutinefunction(called):
        return _Way.ASYNC
    if inspect.isgeneratorfunction(called):
        return _Way.GENERATOR
    return _Way.ASYNC_GENERATOR if inspect.isasyncgenfunction(called) else _Way.PLAIN


def _annotations_of(function: object) -> dict[str, Any]:
    annotations: dict[str, Any] = getattr(function, "__annotations__", {})
    return annotations


def name_of(function: object) -> str:
    """What a person calls it."""
    name: str = getattr(function, "__qualname__", type(function).__qualname__)
    return name.replace("<locals>.", "")


def _parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Those that can be given a value by what is here; `*args` and `**kwargs` stay empty.

    Raises:
        WrongHandler: nothing says what it takes.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise WrongHandler(f"{name_of(function)}: it does not say what it takes") from None
    unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [parameter for parameter in parameters if parameter.kind not in unnamed]


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """What its parameters are annotated with.

    Raises:
        WrongHandler: an annotation names something that is not there.
    """
    annotated: Any = inspect.unwrap(function)
    while isinstance(annotated, partial):
        annotated = annotated.func
    if not inspect.isroutine(annotated):
        annotated = getattr(annotated, "__init__" if isinstance(annotated, type) else "__call__")
    # What it returns is nobody's business here, and may be imported for type checkers alone.
    named = {key: value for key, value in _annotations_of(annotated).items() if key != "return"}
    parameters = type("parameters", (), {"__annotations__": named})
    try:
        return get_type_hints(
            parameters, getattr(annotated, "__globals__", None), include_extras=True
        )
    except (NameError, TypeError, AttributeError) as error:
        raise WrongHandler(
            f"{name_of(function)}: its annotations cannot be read: {error}"
        ) from None
