"""One try of one task: finds its handler, calls it, and says what became of it.

Rules
- Never raises: whatever a handler does is an answer. None means passed, which is what most are.
- No more is done for a try than its handler needs: this is the cost of each entry.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Coroutine
from functools import partial
from typing import Any, Final

from forebay.app import App
from forebay.event import Event
from forebay.handler import bounded, conclude
from forebay.host.failing import text_of, trace_of
from forebay.link import Answer, Kind, Task, Verdict
from forebay.outcome import Disconnect, Refuse

Tried = Answer | None

# A handler that forks and comes back makes two hosts of one socket; the second one must not be.
_FORKED_EXIT_CODE: Final = 70

# Looking a member up in its enum takes as long as calling a handler.
_PUBLISH: Final = Kind.PUBLISH
_HOOKS: Final = (Kind.CONNECT, Kind.SUBSCRIBE)


def try_task(app: App, task: Task) -> Tried | Coroutine[Any, Any, Tried]:
    """Call the handler; a coroutine if it is to be awaited."""
    event: Event | None = None
    try:
        handler = app.handler_for(task.kind, task.name)
        if handler is None:
            return _without_handler(task)
        event = handler.read(task)
        result = handler.call(event)
        if _Forks.is_child:
            os._exit(_FORKED_EXIT_CODE)
        if result is None:
            if event.sides is None and task.kind is _PUBLISH:
                return None
        elif hasattr(type(result), "__await__"):
            return _await_result(task, event, result)
        return conclude(task, event, result)
    except BaseException as error:  # noqa: BLE001 - SystemExit too costs its own entry
        return _explain(task, event, error)


async def _await_result(task: Task, event: Event, awaited: Awaitable[object]) -> Tried:
    try:
        result = await awaited
        if _Forks.is_child:
            os._exit(_FORKED_EXIT_CODE)
        if result is None and event.sides is None and task.kind is _PUBLISH:
            return None
        return conclude(task, event, result)
    except BaseException as error:  # noqa: BLE001 - as above
        return _explain(task, event, error)


class _Forks:
    is_child = False


def end_forks() -> None:
    """From now on, end a process that a handler forks when it comes back from the handler."""
    os.register_at_fork(after_in_child=partial(setattr, _Forks, "is_child", True))


def _explain(task: Task, event: Event | None, error: BaseException) -> Answer:
    if _Forks.is_child:
        os._exit(_FORKED_EXIT_CODE)
    match error:
        case Refuse():
            return _refuse(task, event, error)
        case Disconnect() if task.kind in _HOOKS:
            return Answer(task.number, Verdict.REFUSED, code=error.code, text=error.reason)
        case asyncio.CancelledError():
            return failure(task, "it was cancelled", trace_of(error))
        case _:
            return failure(task, text_of(error), trace_of(error))


def _refuse(task: Task, event: Event | None, refusal: Refuse) -> Answer:
    """A refusal is a decision, not a failure: what else the handler did comes to be with it."""
    sides = (event and event.sides) or []
    answer = Answer(task.number, Verdict.REFUSED, code=refusal.code, text=refusal.text, sides=sides)
    try:
        return bounded(answer)
    except ValueError as error:
        return failure(task, text_of(error), "")


def _without_handler(task: Task) -> Tried:
    """A worker asks for what there are handlers; an App that is changed may have fewer."""
    match task.kind:
        case Kind.PUBLISH:
            return None
        case Kind.SEND | Kind.DISCONNECT:
            return Answer(task.number, Verdict.PASSED)
        case Kind.RPC:
            return Answer(task.number, Verdict.REFUSED, code=104, text="method not found")
        case Kind.CONNECT | Kind.SUBSCRIBE:
            return failure(task, "there is no handler for it", "")


def failure(task: Task, text: str, trace: str) -> Answer:
    """The answer for what has failed."""
    return Answer(task.number, Verdict.FAILED, text=text, trace=trace)
