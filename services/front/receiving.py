"""What becomes of a client's frame: its commands are carried out one after the other, in order.

Rules
- A session's commands never run side by side, so what a client does to one channel happens in the
  order in which it asked.
- First comes `connect`, once. If it fails, the rest of its frame is discarded silently: an SDK puts
  its subscribes into the same frame.
- What a frame holds before something that is no command is carried out first.
- Subscribes that stand together are looked at together, so that the team's handlers are asked about
  them at once: an SDK that comes back subscribes to all it had, and one after the other that would
  take longer than it waits. They are carried out in their turn all the same.

Not here: what a command does (the families), bytes to commands (`services.wire`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from services.front.attending import presence, presence_stats
from services.front.calling import call, send
from services.front.connecting import connect, refresh
from services.front.publishing import publish
from services.front.reading import history
from services.front.session import EndSession, Session, State
from services.front.subscribing import (
    Foreseen,
    foresee,
    refresh_subscription,
    subscribe,
    subscribe_as_foreseen,
    unsubscribe,
)
from services.front.view_partition import ViewNotReady
from services.wire.command import (
    Command,
    ConnectRequest,
    HistoryRequest,
    Malformed,
    PingRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    Request,
    RPCRequest,
    SendRequest,
    SubRefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
    method_of,
)
from services.wire.errors import Disconnect, ErrorCode, ProtocolError, Refusal
from services.wire.json_codec import decode_frame

# A command takes some 10 µs, so that a frame full of them holds up others by a millisecond; but for
# those that go through all of a channel's clients.
_COMMANDS_A_TURN: Final = 64
_LONG: Final = (PresenceRequest, PresenceStatsRequest)

# A question to a handler each, if there is one: all channels of a page in a few trips, and what one
# session may have under way of the 4,096 that a worker takes.
_SUBSCRIBES_TOGETHER: Final = 16

Decode = Callable[[bytes], list[Command]]
_Waiting = Callable[[Session, int, Any], Awaitable[None]]
_AtOnce = Callable[[Session, int, Any], None]


async def receive(session: Session, frame: bytes, decode: Decode = decode_frame) -> None:
    """Carry out a frame's commands; `decode` knows the encoding they came in.

    Cancelling: those not yet begun are not carried out.
    """
    try:
        commands = decode(frame)
    except ProtocolError as error:
        await _carry_out_all(session, error.commands)
        session.disconnect(error.disconnect, error.why)
        return
    await _carry_out_all(session, commands)


async def _carry_out_all(session: Session, commands: list[Command] | tuple[Command, ...]) -> None:
    session.parts.measures.commands.value += len(commands)
    is_connecting = session.state is State.CONNECTING
    may_ask = len(commands) > 1 and session.parts.permissions.may_ask_the_team
    in_turn = _foreseeing(session, commands) if may_ask else commands
    for number, command in enumerate(in_turn, 1):
        if session.is_over or (is_connecting and session.state is State.REFUSED):
            return
        await _carry_out(session, command)
        if number % _COMMANDS_A_TURN == 0 or isinstance(command.request, _LONG):
            await asyncio.sleep(0)


class _Foreseen(NamedTuple):
    """A subscribe in a frame, looked at ahead of its turn."""

    id: int
    request: Foreseen


def _foreseeing(session: Session, commands: Sequence[Command]) -> Iterator[Command | _Foreseen]:
    """Give the commands; each is looked at when all before those that it stands with are done."""
    at = 0
    while at < len(commands):
        command = commands[at]
        at += 1
        if not session.is_connected or not isinstance(command.request, SubscribeRequest):
            yield command
            continue
        together = [_Foreseen(command.id, foresee(session, command.request))]
        for command in commands[at : at + _SUBSCRIBES_TOGETHER - 1]:
            if not isinstance(command.request, SubscribeRequest):
                break
            together.append(_Foreseen(command.id, foresee(session, command.request)))
        at += len(together) - 1
        yield from together


async def _carry_out(session: Session, command: Command | _Foreseen) -> None:
    try:
        if session.state is not State.CONNECTED:
            await _carry_out_first(session, command)
            return
        request = command.request
        if request is None:
            session.take_pong()
            return
        kind = type(request)
        at_once = _AT_ONCE.get(kind)
        if at_once is not None:
            at_once(session, command.id, request)
        else:
            # Their replies can be large, and how large must not depend on what was asked before.
            await session.outbox.make_room()
            await _WAITING[kind](session, command.id, request)
    except Refusal as refusal:
        session.refuse(command.id, refusal.error)
    except ViewNotReady:
        session.refuse(command.id, ErrorCode.INTERNAL.explained("catching up"))
    except EndSession as end:
        session.disconnect(end.disconnect, end.why)


async def _carry_out_first(session: Session, command: Command | _Foreseen) -> None:
    """Carry out the command a session begins with.

    Raises:
        EndSession: it is no connect, or not the first.
    """
    request = command.request
    if session.state is not State.CONNECTING or not isinstance(request, ConnectRequest):
        raise EndSession(Disconnect.BAD_REQUEST, "a command before a successful connect")
    try:
        await connect(session, command.id, request)
    except (Refusal, ViewNotReady):
        # It may have ended while somebody was asked about it.
        if not session.is_over:
            session.state = State.REFUSED
            raise


def _connect_again(session: Session, command_id: int, request: ConnectRequest) -> None:
    raise EndSession(Disconnect.BAD_REQUEST, "a second connect")


def _refuse_ping(session: Session, command_id: int, request: PingRequest) -> None:
    raise EndSession(Disconnect.BAD_REQUEST, "a ping, which is the server's to send")


def _refuse_malformed(session: Session, command_id: int, request: Malformed) -> None:
    if not command_id or method_of(request) in ("connect", "ping"):
        raise EndSession(Disconnect.BAD_REQUEST, request.why)
    raise Refusal(ErrorCode.BAD_REQUEST.explained(request.why))


_AT_ONCE: Final[dict[type[Request | Foreseen], _AtOnce]] = {
    PublishRequest: publish,
    UnsubscribeRequest: unsubscribe,
    RefreshRequest: refresh,
    SubRefreshRequest: refresh_subscription,
    ConnectRequest: _connect_again,
    PingRequest: _refuse_ping,
    SendRequest: send,
    RPCRequest: call,
    Malformed: _refuse_malformed,
}

_WAITING: Final[dict[type[Request | Foreseen], _Waiting]] = {
    Foreseen: subscribe_as_foreseen,
    SubscribeRequest: subscribe,
    HistoryRequest: history,
    PresenceRequest: presence,
    PresenceStatsRequest: presence_stats,
}
