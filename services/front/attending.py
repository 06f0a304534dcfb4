"""The commands `presence` and `presence_stats`: who is in a channel, and how many.

Rules: a reply is bounded by the room in the outbox; a client that asks for more than it can take
is told so, and stays.
"""

from services.front.presence import TooBusy, TooMany, Unanswered
from services.front.session import Session
from services.permissions import Who
from services.wire.command import PresenceRequest, PresenceStatsRequest
from services.wire.errors import ErrorCode, Refusal
from services.wire.reply import PresenceResult, PresenceStatsResult

# What stands around an entry in a reply: quotes, a colon and a comma.
_AROUND_BYTES = 4


async def presence(session: Session, command_id: int, request: PresenceRequest) -> None:
    """Answer with everybody in a channel.

    Raises:
        Refusal: it may not, there are too many, or it is not known now.
    """
    _check(session, request.channel)
    try:
        clients = await session.parts.presence.clients(request.channel)
    except (Unanswered, TooMany, TooBusy) as error:
        raise _refusal(error) from None
    if session.is_over:
        return
    size_bytes = sum(len(id_) + len(info) + _AROUND_BYTES for id_, info in clients.items())
    if size_bytes > session.outbox.room_bytes // 2:
        raise _refusal(TooMany())
    session.answer(command_id, PresenceResult(clients))


async def presence_stats(session: Session, command_id: int, request: PresenceStatsRequest) -> None:
    """Answer with how many are in a channel.

    Raises:
        Refusal: it may not, there are too many, or it is not known now.
    """
    _check(session, request.channel)
    try:
        tally = await session.parts.presence.tally(request.channel)
    except (Unanswered, TooMany, TooBusy) as error:
        raise _refusal(error) from None
    if not session.is_over:
        session.answer(command_id, PresenceStatsResult(tally.clients, tally.users))


def _check(session: Session, channel: str) -> None:
    """Whether the client may ask.

    Raises:
        Refusal: it may not.
    """
    address = session.parts.addresses.find(channel)
    who = Who(session.user, is_subscribed=session.subscription(channel) is not None)
    denial = session.parts.permissions.may_ask_presence(who, address.channel)
    if denial is not None:
        raise Refusal(denial.error)


def _refusal(error: Unanswered | TooMany | TooBusy) -> Refusal:
    match error:
        case Unanswered():
            return Refusal(ErrorCode.INTERNAL.explained("a front did not answer in time"))
        case TooMany():
            return Refusal(ErrorCode.LIMIT_EXCEEDED.explained("too many clients to list"))
        case TooBusy():
            return Refusal(ErrorCode.TOO_MANY_REQUESTS.explained("too much presence is asked"))
