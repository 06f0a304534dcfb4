"""One handler, ready to be called: what its event is, and what its result means.

Rules
- Everything about its signature was found out when it was decorated.
- A result that means nothing here is a failure of the handler, never taken for something near.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args, get_origin

import msgspec

from forebay.dependency import Resources, WrongHandler, bind, name_of
from forebay.event import Call, Connect, Event, Left, Message, Publication, Subscribe, WithData
from forebay.hooks import ConnectReply, ServerSubscription, SubscribeReply, decode_hook, encode_hook
from forebay.link import ANSWER_BYTES_AT_MOST, Answer, Kind, Task, Verdict
from forebay.outcome import SWALLOW, Admission, Welcome
from forebay.pattern import Pattern
from forebay.payload import encode_data, encode_json, encode_part, reader_of, unix_seconds

EVENTS: Final[dict[Kind, type[Event]]] = {
    Kind.PUBLISH: Publication,
    Kind.RPC: Call,
    Kind.SEND: Message,
    Kind.DISCONNECT: Left,
    Kind.CONNECT: Connect,
    Kind.SUBSCRIBE: Subscribe,
}


@dataclass(frozen=True, slots=True)
class Handler:
    """What to call for some names of one kind."""

    kind: Kind
    pattern: Pattern
    name: str
    read: Callable[[Task], Event]
    """Makes the event; raises InvalidData for what the handler does not take."""
    call: Callable[[Any], Any]
    """Takes the event; gives a result, or what is to be awaited for it."""


def make_handler(
    kind: Kind, pattern: Pattern, function: Callable[..., Any], resources: Resources
) -> Handler:
    """Bind a function to what it is for.

    Raises:
        WrongHandler: it could never be called; the text says why.
    """
    name = name_of(function)
    event = EVENTS[kind]
    call, annotation = bind(function, event, resources)
    return Handler(kind, pattern, name, _read_of(name, event, annotation), call)


def _read_of(name: str, event: type[Event], annotation: Any) -> Callable[[Task], Event]:
    if event != (get_origin(annotation) or annotation):
        raise WrongHandler(
            f"{name}: its first parameter is annotated with another type than"
            f" {event.__name__}, which is what it is given"
        )
    types = get_args(annotation)
    if not types or types[0] is Any or not issubclass(event, WithData):
        return event
    try:
        decode = reader_of(types[0])
    except Exception as error:  # noqa: BLE001 - msgspec and pydantic have their own for each reason
        raise WrongHandler(f"{name}: data cannot be read as {types[0]!r}: {error}") from None
    make: type[WithData[Any]] = event

    def read(task: Task) -> Event:
        made = make(task)
        made.read(decode)
        return made

    return read


class Nonsense(TypeError):
    """A handler gave a result that means nothing."""


def conclude(task: Task, event: Event, result: object) -> Answer:
    """Say what a handler's result means.

    Raises:
        Nonsense: nothing.
        TypeError: it cannot be written as JSON.
        ValueError: the same, or it is too large.
    """
    verdict, data = _MEANINGS[task.kind](task, result)
    return bounded(Answer(task.number, verdict, data, sides=event.sides or []))


def bounded(answer: Answer) -> Answer:
    """The answer, if a worker takes one of its size.

    Raises:
        ValueError: it does not.
    """
    size = len(answer.data) + len(answer.text.encode())
    if answer.sides:
        size += sum(len(side.data) + len(side.target) for side in answer.sides)
    if size > ANSWER_BYTES_AT_MOST:
        raise ValueError(f"the answer has {size} bytes, and may have {ANSWER_BYTES_AT_MOST}")
    return answer


def _of_publish(task: Task, result: object) -> tuple[Verdict, bytes]:
    if result is None:
        return Verdict.PASSED, b""
    if result is SWALLOW:
        return Verdict.SWALLOWED, b""
    return Verdict.CHANGED, encode_data(_sendable(result), is_binary=task.is_binary)


def _of_rpc(_task: Task, result: object) -> tuple[Verdict, bytes]:
    return Verdict.REPLIED, encode_json(_sendable(result))


def _of_notice(_task: Task, result: object) -> tuple[Verdict, bytes]:
    if result is not None:
        raise Nonsense(f"it returned a {type(result).__name__}, and nobody waits for an answer")
    return Verdict.PASSED, b""


def _of_connect(_task: Task, result: object) -> tuple[Verdict, bytes]:
    if result is None:
        return Verdict.PASSED, b""
    if not isinstance(result, Welcome):
        raise Nonsense(f"it returned a {type(result).__name__}: a Welcome or None is wanted")
    reply = ConnectReply(
        user=result.user,
        info=encode_part(result.info),
        data=encode_part(result.data),
        expire_at=None if result.expire_at is None else unix_seconds(result.expire_at),
        subs=_subscriptions_of(result),
    )
    return Verdict.REPLIED, _written(reply)


def _of_subscribe(_task: Task, result: object) -> tuple[Verdict, bytes]:
    if result is None:
        return Verdict.PASSED, b""
    if not isinstance(result, Admission):
        raise Nonsense(f"it returned a {type(result).__name__}: an Admission or None is wanted")
    reply = SubscribeReply(
        info=encode_part(result.info),
        data=encode_part(result.data),
        expire_at=None if result.expire_at is None else unix_seconds(result.expire_at),
        override=dict(result.override),
    )
    return Verdict.REPLIED, _written(reply)


# By kind, in a list: hashing a member of an enum takes longer than most of these.
_BY_KIND: Final[dict[Kind, Callable[[Task, object], tuple[Verdict, bytes]]]] = {
    Kind.PUBLISH: _of_publish,
    Kind.RPC: _of_rpc,
    Kind.SEND: _of_notice,
    Kind.DISCONNECT: _of_notice,
    Kind.CONNECT: _of_connect,
    Kind.SUBSCRIBE: _of_subscribe,
}
_MEANINGS: Final = [_BY_KIND[kind] for kind in Kind]


_NO_DATA: Final = (Welcome, Admission, Event, Exception)


def _sendable(result: object) -> object:
    """A result that is data; the values that mean something elsewhere are none."""
    if result is SWALLOW or isinstance(result, _NO_DATA):
        raise Nonsense(f"it returned a {type(result).__name__}, which is no data")
    return result


def _subscriptions_of(welcome: Welcome) -> dict[str, ServerSubscription]:
    if isinstance(welcome.channels, str):
        raise Nonsense("channels is a text, and has to be a list of names")
    if not isinstance(welcome.channels, Mapping):
        return dict.fromkeys(welcome.channels, ServerSubscription())
    return {
        channel: ServerSubscription(
            info=encode_part(admission.info),
            data=encode_part(admission.data),
            override=dict(admission.override),
        )
        for channel, admission in welcome.channels.items()
    }


def _written(reply: ConnectReply | SubscribeReply) -> bytes:
    """The reply as bytes, if a front can read them: nothing checks what a team puts where."""
    data = encode_hook(reply)
    try:
        decode_hook(data, type(reply))
    except msgspec.DecodeError as error:
        raise Nonsense(f"the reply is of no use: {error}") from None
    return data
