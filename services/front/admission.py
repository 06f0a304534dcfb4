"""What the team's app says before a client is let in, or into a channel, and what it changes.

Rules
- The connect handler is asked after the token was verified; it cannot let in who has a bad one.
- The subscribe handler is asked for what a client asks to follow, again each time. It lets in whom
  nothing else does, but where a channel's name keeps a client out (private without a token, others'
  names), nobody is asked.
- A handler that failed lets nobody in. Without an answer the settings decide (`hook_unanswered`):
  a temporary error, or what would be without a handler.
- What a handler says of an expiry holds: the client is not told of it, and no token changes it.
  When it is over the client comes again, and the handler is asked again.

Not here: the way to the handlers (`hooks`), the commands (`connecting`, `subscribing`).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

import msgspec
import structlog

from forebay.hooks import (
    DISCONNECT_CODES,
    ConnectAsk,
    ConnectReply,
    SubscribeAsk,
    SubscribeReply,
    decode_hook,
    encode_hook,
)
from services.auth import (
    CLAIM_BYTES_AT_MOST,
    OVERRIDABLE,
    Identity,
    ServerSubscription,
    SubscriptionGrant,
)
from services.front.addresses import Address
from services.front.arrival import NOWHERE
from services.front.payloads import check_readable, take_json
from services.front.session import EndSession, Session
from services.hook_messages import Answered, Hook, Said
from services.permissions import Who
from services.wire.command import ConnectRequest, SubscribeRequest
from services.wire.errors import ErrorCode, Refusal, find_ending, find_error
from services.wire.json_codec import encode_client_info
from services.wire.payload import one_line, validate_payload
from services.wire.reply import ClientInfo

_log = structlog.get_logger(__name__)

_NO_CHANNEL: Final = b""

# Beside the time for the answer: for what else a connect waits for.
_CONNECT_SECONDS: Final = 10.0


class Admission(NamedTuple):
    """Whom a client is let in as."""

    identity: Identity
    data: bytes = b""
    """What it is told with it; raw JSON, empty for nothing."""
    has_fixed_term: bool = False
    """Whether the handler says when it expires, and no token."""


class Word(NamedTuple):
    """What a handler says of a subscription that may be made; None where it says nothing."""

    info: bytes | None = None
    data: bytes | None = None
    expire_at: float | None = None
    """0 for never."""
    override: Mapping[str, bool] = {}


SILENCE: Final = Word()


class Terms(NamedTuple):
    """What holds of a subscription: what its token says, and before that what a handler does."""

    info: bytes = b""
    data: bytes = b""
    expire_at: float | None = None
    override: Mapping[str, bool] = {}
    is_fixed: bool = False
    """Whether the handler says when it expires, and no token."""


NO_TERMS: Final = Terms()


class _Nonsense(Exception):
    """What a handler answered cannot be carried out; the text says why."""


# ---- connecting


async def admit_client(session: Session, identity: Identity, request: ConnectRequest) -> Admission:
    """Ask the connect handler, if there is one, about a client whose token was verified.

    Raises:
        Refusal: it may not come in, or that is not known now.
        EndSession: it may not come in.

    Cancelling: the handler may be asked all the same.
    """
    if not session.parts.config.app.connect_handler:
        return Admission(identity)
    answered = await _ask_connect(session, identity, request)
    match answered.said:
        case Said.PASSED:
            return Admission(identity)
        case Said.REPLIED:
            return _read_connect(identity, answered.data)
        case Said.UNANSWERED | Said.ABSENT | Said.BUSY if _allows_unanswered(session):
            return Admission(identity)
        case _:
            raise _denial(session, Hook.CONNECT, answered)


def _ask_connect(
    session: Session, identity: Identity, request: ConnectRequest
) -> Awaitable[Answered]:
    arrival = session.arrival or NOWHERE
    ask = ConnectAsk(
        user=identity.user,
        client=session.choose_id(),
        info=_given(identity.info),
        has_token=bool(request.token),
        data=_sent(request.data),
        name=request.name,
        version=request.version,
        transport=arrival.transport,
        remote=session.remote,
        origin=arrival.origin,
        headers=dict(arrival.headers),
    )
    _let_wait(session)
    sender = info_of(session, identity, _NO_CHANNEL)
    return session.parts.hooks.ask(Hook.CONNECT, session.id, "", sender, encode_hook(ask))


def _let_wait(session: Session) -> None:
    # A client that has to wait for its answer is not one that never sent its connect.
    session.allow_seconds(session.parts.config.app.hook_timeout + _CONNECT_SECONDS)


def info_of(session: Session, identity: Identity, chan_info: bytes) -> bytes:
    """A client as others would see it, which is not connected yet; see `Session.info`."""
    return encode_client_info(
        ClientInfo(identity.user, session.choose_id(), _given(identity.info), _given(chan_info))
    )


def _read_connect(identity: Identity, data: bytes) -> Admission:
    """What a handler has made of a client.

    Raises:
        Refusal: nobody can make sense of it.
    """
    try:
        reply = decode_hook(data, ConnectReply)
        channels = {
            name: ServerSubscription(
                _claim(each.info) or b"", _payload(each.data) or b"", _override(each.override)
            )
            for name, each in reply.subs.items()
        }
        known = Identity(
            identity.user if reply.user is None else reply.user,
            identity.info if reply.info is None else _claim(reply.info) or b"",
            identity.expire_at if reply.expire_at is None else reply.expire_at or None,
            {**identity.channels, **channels},
        )
        return Admission(known, _payload(reply.data) or b"", reply.expire_at is not None)
    except (msgspec.DecodeError, UnicodeDecodeError, _Nonsense) as error:
        raise _nonsense(Hook.CONNECT, error) from None


# ---- subscribing


class Asking(NamedTuple):
    """A subscribe handler that is asked, and what holds without its answer."""

    answer: Awaitable[Answered] | None
    """None: nobody is asked."""
    denial: ErrorCode | None
    channel: str = ""
    user: str = ""
    mark: int = 0
    """Which orders to leave were carried out before; see `LeavingOrders`."""


_NOBODY_ASKED: Final = Asking(None, None)


def ask_subscribe(
    session: Session,
    request: SubscribeRequest,
    who: Who,
    address: Address,
    info: Callable[[bytes], bytes],
) -> Asking:
    """Ask whether a client may follow a channel; `hear_subscribe` takes the answer.

    Several that are asked without waiting in between travel together. `info` gives the client as
    others see it, encoded.

    Raises:
        Refusal: it may not, whatever a handler says; cannot be told what is there; or sent what is
            no data.
    """
    permissions = session.parts.permissions
    denial = permissions.may_subscribe(who, address.channel)
    is_asked = address.options.subscribe_handler and permissions.may_be_let_in(who, address.channel)
    if denial is not None and not is_asked:
        raise Refusal(denial.error)
    check_readable(session.encoding, address.options)
    if not is_asked:
        return _NOBODY_ASKED
    _let_wait(session)
    client_info = info(_NO_CHANNEL)
    ask = SubscribeAsk(
        channel=request.channel,
        user=who.user,
        client=session.choose_id(),
        info=_conn_info_of(client_info),
        has_token=who.has_token,
        data=_sent(request.data),
    )
    answer = session.parts.hooks.ask(
        Hook.SUBSCRIBE, session.id, request.channel, client_info, encode_hook(ask)
    )
    mark = session.parts.ordering.leaving.mark
    return Asking(answer, denial, request.channel, who.user, mark)


async def hear_subscribe(session: Session, asking: Asking) -> Word:
    """Wait for what the handler says.

    Raises:
        Refusal: the client may not follow the channel, or that is not known now.
        EndSession: it is not to stay at all.

    Cancelling: the handler may be asked all the same.
    """
    if asking.answer is None:
        return SILENCE
    answered = await asking.answer
    session.excuse()
    ordered_out = session.parts.ordering.leaving.denial_since(
        asking.mark, asking.user, session.id, asking.channel
    )
    if ordered_out is not None:
        raise Refusal(ordered_out.error)
    match answered.said:
        case Said.PASSED:
            return SILENCE
        case Said.REPLIED:
            return _read_subscribe(answered.data)
        case Said.UNANSWERED | Said.ABSENT | Said.BUSY if _allows_unanswered(session):
            if asking.denial is not None:
                raise Refusal(asking.denial.error)
            return SILENCE
        case _:
            raise _denial(session, Hook.SUBSCRIBE, answered)


def settle_terms(grant: SubscriptionGrant | None, word: Word) -> Terms:
    """Put together what a token and a handler say."""
    if grant is None and word is SILENCE:
        return NO_TERMS
    token = grant or SubscriptionGrant("")
    return Terms(
        token.info if word.info is None else word.info,
        token.data if word.data is None else word.data,
        token.expire_at if word.expire_at is None else word.expire_at or None,
        {**token.override, **word.override},
        is_fixed=word.expire_at is not None,
    )


def _read_subscribe(data: bytes) -> Word:
    """What a handler says of a subscription.

    Raises:
        Refusal: nobody can make sense of it.
    """
    try:
        reply = decode_hook(data, SubscribeReply)
        return Word(
            _claim(reply.info), _payload(reply.data), reply.expire_at, _override(reply.override)
        )
    except (msgspec.DecodeError, UnicodeDecodeError, _Nonsense) as error:
        raise _nonsense(Hook.SUBSCRIBE, error) from None


# ---- both


def _allows_unanswered(session: Session) -> bool:
    return session.parts.config.app.hook_unanswered == "allow"


def _denial(session: Session, hook: Hook, answered: Answered) -> Refusal | EndSession:
    """What ends the command of a client that is not let in."""
    if answered.said is not Said.REFUSED:
        parts = session.parts
        untold = parts.hooks.silence.take(parts.monotonic())
        if untold is not None:
            _log.warning(
                "a handler gave no answer",
                hook=hook.value,
                why=answered.said.value,
                setting="app.hook_unanswered",
                user=session.user,
                untold_before=untold,
            )
        return Refusal(ErrorCode.INTERNAL.explained("the app did not answer"))
    if answered.code >= DISCONNECT_CODES:
        ending = find_ending(answered.code, answered.text)
        return EndSession(ending, f"refused by the {hook} handler")
    return Refusal(find_error(answered.code, answered.text))


def _nonsense(hook: Hook, error: Exception) -> Refusal:
    """What a client is told if nobody can make sense of the handler's answer."""
    _log.error("a handler's answer is of no use", hook=hook.value, why=str(error))
    return Refusal(ErrorCode.INTERNAL.error)


def _sent(raw: msgspec.Raw) -> msgspec.Raw | None:
    """What a client sent for the handler.

    Raises:
        Refusal: it is no JSON.
    """
    return msgspec.Raw(take_json(bytes(raw))) if bytes(raw) else None


def _given(raw: bytes) -> msgspec.Raw | None:
    return msgspec.Raw(raw) if raw else None


class _Known(msgspec.Struct, gc=False):
    conn_info: msgspec.Raw = msgspec.Raw(b"")


_decode_known = msgspec.json.Decoder(_Known).decode


def _conn_info_of(client_info: bytes) -> msgspec.Raw | None:
    return _given(bytes(_decode_known(client_info).conn_info))


def _claim(raw: msgspec.Raw | None) -> bytes | None:
    """What others see, with each publication: as short as a token's.

    Raises:
        _Nonsense: it is longer, or no JSON.
    """
    claim = _payload(raw)
    if claim is not None and len(claim) > CLAIM_BYTES_AT_MOST:
        raise _Nonsense(f"info is over {CLAIM_BYTES_AT_MOST} bytes")
    return claim


def _payload(raw: msgspec.Raw | None) -> bytes | None:
    """A payload as a token's is; null is nothing.

    Raises:
        _Nonsense: it is no JSON that a client could read.
    """
    if raw is None:
        return None
    payload = bytes(raw)
    if payload == b"null":
        return b""
    if validate_payload(payload) is not None:
        raise _Nonsense("it has what is no JSON for a client")
    return one_line(payload)


def _override(given: Mapping[str, bool]) -> dict[str, bool]:
    return {name: value for name, value in given.items() if name in OVERRIDABLE}
