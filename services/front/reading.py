"""The command `history`: what a channel keeps, and where it stands."""

from services.front.payloads import check_readable
from services.front.session import Session
from services.front.view_partition import ChannelState
from services.permissions import Who
from services.view.history import Publication
from services.wire.command import HistoryRequest
from services.wire.errors import ErrorCode, Refusal
from services.wire.reply import HistoryResult


async def history(session: Session, command_id: int, request: HistoryRequest) -> None:
    """Answer with what a channel keeps, and where it stands.

    Without `since` it begins at the oldest, with `reverse` at the newest. A reply is bounded by the
    room in the outbox as well as by its limit; a client reads on from the last one it got.

    Raises:
        Refusal: it may not, cannot be told what is there, or the position is none of this channel.
    """
    parts = session.parts
    address = parts.addresses.find(request.channel)
    who = Who(session.user, is_subscribed=session.subscription(request.channel) is not None)
    denial = parts.permissions.may_read_history(who, address.channel)
    if denial is not None:
        raise Refusal(denial.error)
    check_readable(session.encoding, address.options)
    since = request.since
    if request.reverse and since is not None and since.offset <= 0:
        raise Refusal(ErrorCode.BAD_REQUEST.explained("nothing comes before offset 0"))
    position = (since.epoch, since.offset) if since is not None else ()
    state = await parts.view.follow(request.channel, *position)
    if since is not None and since.epoch and since.epoch != state.epoch:
        raise Refusal(ErrorCode.UNRECOVERABLE_POSITION.error)
    publications = _fitting(session, _asked_for(session, request, state))
    encoded = [session.encoding.encode_stored(p, state.epoch) for p in publications]
    session.answer(command_id, HistoryResult(encoded, state.epoch, state.offset))


def _asked_for(session: Session, request: HistoryRequest, state: ChannelState) -> list[Publication]:
    view, most = session.parts.view, session.parts.config.client.history_max_publication_limit
    at_most = most if request.limit < 0 else min(request.limit, most)
    if at_most == 0:
        return []
    if request.reverse:
        before = request.since.offset if request.since is not None else state.offset + 1
        return view.history_before(request.channel, before, at_most)
    after = request.since.offset if request.since is not None else 0
    return view.history_after(request.channel, max(0, after), at_most)


def _fitting(session: Session, publications: list[Publication]) -> list[Publication]:
    """As many as there is room for, but one at least."""
    room_bytes = session.outbox.room_bytes // 2
    for count, publication in enumerate(publications):
        room_bytes -= publication.size_bytes
        if room_bytes < 0:
            return publications[: max(1, count)]
    return publications
