"""What a team writes: an `App`, and its functions on it.

    app = App(lifespan=lifespan)

    @app.publish("chat:*")
    async def moderate(publication: Publication[Chat]) -> Chat | None: ...

Rules
- What cannot work is said where it is written, when it is decorated.
- An App holds functions and what its lifespan made; a process serves one (`forebay.host`).
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Concatenate, Final, TypeVar

from forebay.dependency import Resources, WrongHandler, name_of
from forebay.event import Call, Connect, Left, Message, Publication, Subscribe
from forebay.handler import Handler, make_handler
from forebay.link import HandlerSpec, Kind
from forebay.outcome import Admission, Welcome
from forebay.pattern import ANY, Pattern

OnPublish = TypeVar("OnPublish", bound=Callable[Concatenate[Publication[Any], ...], object])
OnCall = TypeVar("OnCall", bound=Callable[Concatenate[Call[Any], ...], object])
OnMessage = TypeVar(
    "OnMessage", bound=Callable[Concatenate[Message[Any], ...], Awaitable[None] | None]
)
OnConnect = TypeVar(
    "OnConnect",
    bound=Callable[Concatenate[Connect[Any], ...], Awaitable[Welcome | None] | Welcome | None],
)
OnSubscribe = TypeVar(
    "OnSubscribe",
    bound=Callable[
        Concatenate[Subscribe[Any], ...], Awaitable[Admission | None] | Admission | None
    ],
)
OnDisconnect = TypeVar(
    "OnDisconnect", bound=Callable[Concatenate[Left, ...], Awaitable[None] | None]
)
OnProcess = TypeVar("OnProcess", bound=Callable[[], Awaitable[None] | None])

# So many names' handlers are remembered, some 100 bytes each; then they are looked for anew. With
# 100,000 channels in turn, 10,000 cost an entry twice as much.
REMEMBERED_AT_MOST: Final = 100_000


class App:
    """Handlers, and what is opened for them.

    `lifespan` is called with the App and gives an async context manager, entered before the first
    handler is called and left after the last; what it yields is what `State` parameters get.
    """

    def __init__(
        self, *, lifespan: Callable[[App], AbstractAsyncContextManager[object]] | None = None
    ) -> None:
        self._lifespan = lifespan
        self._resources = Resources(has_lifespan=lifespan is not None)
        self._handlers: dict[Kind, list[Handler]] = {kind: [] for kind in Kind}
        # By kind, then by name; hashing a member of an enum would cost as much as all the rest.
        self._remembered: list[dict[str, Handler | None]] = [{} for _ in Kind]
        self._at_start: list[Callable[[], object]] = []
        self._at_end: list[Callable[[], object]] = []

    def publish(
        self, pattern: str | None = None, *, namespace: str | None = None
    ) -> Callable[[OnPublish], OnPublish]:
        """Decorate what looks at publications, to the channels of a pattern or a namespace.

        Raises:
            WrongHandler: the function could never be called, or another is for the same.
        """
        return self._decorator(Kind.PUBLISH, _channels(pattern, namespace))

    def rpc(self, method: str) -> Callable[[OnCall], OnCall]:
        """Decorate what answers calls of a method, or of all methods that match a pattern.

        Raises:
            WrongHandler: as `publish`.
        """
        return self._decorator(Kind.RPC, method)

    def send(self) -> Callable[[OnMessage], OnMessage]:
        """Decorate what takes messages that want no reply.

        Raises:
            WrongHandler: as `publish`.
        """
        return self._decorator(Kind.SEND, ANY)

    def connect(self) -> Callable[[OnConnect], OnConnect]:
        """Decorate what says whether a client may connect, and as whom.

        Raises:
            WrongHandler: as `publish`.
        """
        return self._decorator(Kind.CONNECT, ANY)

    def subscribe(
        self, pattern: str | None = None, *, namespace: str | None = None
    ) -> Callable[[OnSubscribe], OnSubscribe]:
        """Decorate what says whether a client may have a channel of a pattern or a namespace.

        Raises:
            WrongHandler: as `publish`.
        """
        return self._decorator(Kind.SUBSCRIBE, _channels(pattern, namespace))

    def disconnect(self) -> Callable[[OnDisconnect], OnDisconnect]:
        """Decorate what is told when a client's session has ended.

        Raises:
            WrongHandler: as `publish`.
        """
        return self._decorator(Kind.DISCONNECT, ANY)

    def on_startup(self, function: OnProcess) -> OnProcess:
        """Decorate what is called before the first handler; it takes nothing."""
        self._at_start.append(_without_parameters(function))
        return function

    def on_shutdown(self, function: OnProcess) -> OnProcess:
        """Decorate what is called after the last handler; it takes nothing."""
        self._at_end.append(_without_parameters(function))
        return function

    @property
    def specs(self) -> list[HandlerSpec]:
        """What there are handlers for."""
        return [
            HandlerSpec(handler.kind, handler.pattern.text)
            for handlers in self._handlers.values()
            for handler in handlers
        ]

    def handler_for(self, kind: Kind, name: str) -> Handler | None:
        """The most specific handler for a name, if there is any."""
        remembered = self._remembered[kind]
        try:
            return remembered[name]
        except KeyError:
            if len(remembered) >= REMEMBERED_AT_MOST:
                remembered.clear()
            matching = (each for each in self._handlers[kind] if each.pattern.is_match(name))
            found = max(matching, key=lambda each: each.pattern.rank, default=None)
            remembered[name] = found
            return found

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open what handlers need, and close it again.

        Cancelling: what was opened is closed.
        """
        async with self._living() as state, AsyncExitStack() as at_end:
            self._resources.state = state
            for function in self._at_start:
                await _call(function)
            # All of them are called, in their order, even if one fails.
            for function in reversed(self._at_end):
                at_end.push_async_callback(_call, function)
            yield

    @asynccontextmanager
    async def _living(self) -> AsyncIterator[object]:
        if self._lifespan is None:
            yield None
            return
        async with self._lifespan(self) as state:
            yield state

    def _decorator(self, kind: Kind, pattern: str) -> Callable[[Any], Any]:
        if not isinstance(pattern, str):
            raise WrongHandler(f"{name_of(pattern)}: write @app.{kind.name.lower()}(…) above it")
        wanted = Pattern(pattern)

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            if not callable(function):
                raise WrongHandler(f"a {type(function).__name__} cannot be called")
            for other in self._handlers[kind]:
                if wanted.is_ambiguous_with(other.pattern):
                    raise WrongHandler(
                        f"{name_of(function)}: {pattern!r} is for the same as {other.name},"
                        f" which has {other.pattern.text!r}"
                    )
            self._handlers[kind].append(make_handler(kind, wanted, function, self._resources))
            self._remembered[kind].clear()
            return function

        return decorate


def _channels(pattern: str | None, namespace: str | None) -> str:
    if (pattern is None) == (namespace is None):
        raise WrongHandler("give a pattern of channels, or a namespace; '*' is for all channels")
    return f"{namespace}:{ANY}" if pattern is None else pattern


def _without_parameters(function: Any) -> Callable[[], object]:
    required = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]
    if required:
        raise WrongHandler(f"{name_of(function)}: it is called without arguments")
    return function  # type: ignore[no-any-return]  # what it gives is looked at after the call


async def _call(function: Callable[[], object]) -> None:
    given = function()
    if inspect.isawaitable(given):
        await given
