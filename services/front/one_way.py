"""Clients of the one-way transports: one connect request, and they are told things from then on.

What they follow is what the server puts them into, as on every transport, and what they ask for in
the request's `subs`, by the permissions of a subscribe. They come back with their positions there.

Rules
- Whatever would have been answered with an error ends the session: there is no other way to say it.
  One channel that the client may not follow does, too: it would never learn which it has not got.
- Such a client cannot subscribe again, so all its subscriptions are as if made by the server: one
  that is lost, or has expired, ends the session, and the client comes back.
- What it sends later is passed over, as in Centrifugo.

Not here: bytes (`services.wire.one_way`), connections (`transports.one_way`).
"""

from functools import partial
from typing import Final

from services.auth import Identity, ServerSubscription
from services.front.admission import hear_subscribe, info_of, settle_terms
from services.front.connecting import connect, time_to_live
from services.front.enrolling import Place, find_places
from services.front.session import EndSession, Session, State
from services.front.subscribing import Wish, end_of_terms, wish_for
from services.front.view_partition import ViewNotReady
from services.wire.command import ConnectRequest, SubscribeRequest
from services.wire.errors import Disconnect, Error, ErrorCode, ProtocolError, Refusal
from services.wire.json_codec import decode_connect

_NO_COMMAND: Final = 0

# The protocol's own errors are below.
_FIRST_OF_OURS: Final = 400

# As Centrifugo has it; all others are INTERNAL, upon which clients try again.
_ENDS: Final = {
    ErrorCode.TOKEN_EXPIRED.code: Disconnect.CONNECTION_EXPIRED,
    ErrorCode.EXPIRED.code: Disconnect.CONNECTION_EXPIRED,
    ErrorCode.TOO_MANY_REQUESTS.code: Disconnect.TOO_MANY_REQUESTS,
    ErrorCode.PERMISSION_DENIED.code: Disconnect.PERMISSION_DENIED,
}


async def receive(session: Session, frame: bytes) -> None:
    """Take what a client sends: its connect request, and nothing after it.

    Cancelling: the client is not let in.
    """
    if session.state is not State.CONNECTING:
        return
    session.parts.measures.commands.value += 1
    try:
        await connect(session, _NO_COMMAND, decode_connect(frame), _find_places)
    except ProtocolError as error:
        session.disconnect(error.disconnect, error.why)
    except Refusal as refusal:
        _turn_away(session, refusal.error)
    except ViewNotReady:
        _turn_away(session, ErrorCode.INTERNAL.explained("catching up"))
    except EndSession as end:
        session.disconnect(end.disconnect, end.why)


def _turn_away(session: Session, error: Error) -> None:
    session.refuse(_NO_COMMAND, error)
    # By any other code the team's handlers said no.
    is_no = error.code >= _FIRST_OF_OURS
    others = Disconnect.PERMISSION_DENIED if is_no else Disconnect.INTERNAL
    session.disconnect(_ENDS.get(error.code, others), error.message)


async def _find_places(
    session: Session, identity: Identity, request: ConnectRequest
) -> list[Place]:
    """Say where a client belongs, and what it may follow of what it asks for.

    Raises:
        Refusal: it may not follow a channel, or there is no such channel.
        EndSession: there are more than a session may have, or a token is somebody else's.
    """
    places = await find_places(session, identity, request)
    if session.is_over:
        return places
    given = {place.request.channel for place in places}
    asked = {channel: each for channel, each in request.subs.items() if channel not in given}
    if len(given) + len(asked) > session.parts.config.client.channel_limit:
        raise EndSession(Disconnect.CHANNEL_LIMIT, "more channels than client.channel_limit")
    # All handlers are asked before the first answer is waited for.
    info = partial(info_of, session, identity)
    wishes = [
        wish_for(
            session,
            identity.user,
            _request_for(channel, each),
            session.parts.addresses.find(channel),
            info,
        )
        for channel, each in asked.items()
    ]
    return places + [await _place(session, wish) for wish in wishes]


def _request_for(channel: str, wish: SubscribeRequest) -> SubscribeRequest:
    return SubscribeRequest(
        channel,
        token=wish.token,
        recover=wish.recover,
        epoch=wish.epoch,
        offset=wish.offset,
        data=wish.data,
        positioned=wish.positioned,
        recoverable=wish.recoverable,
        join_leave=wish.join_leave,
    )


async def _place(session: Session, wish: Wish) -> Place:
    request, address, who, grant, asking = wish
    terms = settle_terms(grant, await hear_subscribe(session, asking))
    return Place(
        address,
        ServerSubscription(terms.info, terms.data, terms.override),
        request,
        session.parts.permissions.tracking(who, address.channel, request, terms.override),
        has_token=who.has_token,
        ttl=0 if terms.is_fixed else time_to_live(session, terms.expire_at),
        expires_seconds=end_of_terms(session, terms),
    )
