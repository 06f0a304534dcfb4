"""One plain client: let into its channel when it connects, each of its texts published there.

Rules
- The permissions are those of every client: to connect, to subscribe, to publish.
- A client that may not follow the channel is told why and disconnected: there is nothing else for
  it to do here.
- Receipts come in the order of the texts. What is refused at once is told at once, so that an error
  may overtake the receipts of earlier texts.

Not here: the connection (`transports.websocket`), sentences (`answers`, `encoding`).
"""

from typing import Final

import orjson

from services.front.admission import (
    admit_client,
    ask_subscribe,
    hear_subscribe,
    settle_terms,
)
from services.front.connecting import begin, check_not_ordered_out, identify
from services.front.encoding import Language
from services.front.hub import Subscription
from services.front.plain.answers import NO_COMMAND, PlainAnswers
from services.front.publishing import admit, offer
from services.front.session import EndSession, Session
from services.front.subscribing import end_of_terms
from services.front.view_partition import ViewNotReady
from services.permissions import Who
from services.wire.command import ConnectRequest, SubscribeRequest
from services.wire.errors import Disconnect, ErrorCode, Refusal

# What a client that is let in no further is disconnected with; for all others it asked amiss.
_ENDS: Final = {
    ErrorCode.PERMISSION_DENIED.code: Disconnect.PERMISSION_DENIED,
    ErrorCode.TOKEN_EXPIRED.code: Disconnect.CONNECTION_EXPIRED,
    ErrorCode.INTERNAL.code: Disconnect.INTERNAL,
    ErrorCode.NOT_AVAILABLE.code: Disconnect.NOT_AVAILABLE,
}


class PlainConversation:
    """See `transports.websocket.Conversation`."""

    subprotocols = ()

    def __init__(self, encoding: Language, answers: PlainAnswers, channel: str, token: str) -> None:
        self.encoding = encoding
        self._answers = answers
        self._channel = channel
        self._token = token

    async def open(self, session: Session) -> None:
        """See `Conversation.open`."""
        try:
            mark = session.parts.ordering.leaving.mark
            identity = identify(session, self._token)
            admission = await admit_client(session, identity, ConnectRequest(self._token))
            if session.is_over:
                return
            check_not_ordered_out(session, admission.identity.user, mark)
            begin(session, admission)
            await self._follow(session)
        except Refusal as refusal:
            _turn_away(session, refusal)
        except ViewNotReady:
            _turn_away(session, Refusal(ErrorCode.INTERNAL.explained("catching up")))
        except EndSession as end:
            session.disconnect(end.disconnect, end.why)

    async def receive(self, session: Session, frame: bytes) -> None:
        """See `Conversation.receive`."""
        text = frame.decode()
        session.parts.measures.commands.value += 1
        try:
            place = admit(session, self._channel)
            offer(session, place, orjson.dumps(text), text, self._answers)
        except Refusal as refusal:
            self._answers.refused(session, self._channel, text, refusal.error)

    async def receive_binary(self, session: Session, frame: bytes) -> None:
        """See `Conversation.receive_binary`."""
        error = ErrorCode.BAD_REQUEST.explained("only text is taken here")
        self._answers.refused(session, self._channel, "", error)

    async def _follow(self, session: Session) -> None:
        parts = session.parts
        address = parts.addresses.find(self._channel)
        request = SubscribeRequest(self._channel)
        asking = ask_subscribe(session, request, Who(session.user), address, session.info)
        terms = settle_terms(None, await hear_subscribe(session, asking))
        await parts.view.follow(self._channel)
        # An order may have put it there while it waited.
        if session.is_over or session.subscription(self._channel) is not None:
            return
        self._answers.welcome(session, self._channel)
        subscription = Subscription(
            session, self._channel, parts.view.sequence, is_positioned=False
        )
        # As if the server had made it, for such a client cannot subscribe again.
        subscription.is_server_side = True
        subscription.chan_info = terms.info
        subscription.expires_seconds = end_of_terms(session, terms)
        session.join(subscription)


def _turn_away(session: Session, refusal: Refusal) -> None:
    error = refusal.error
    session.refuse(NO_COMMAND, error)
    session.disconnect(_ENDS.get(error.code, Disconnect.BAD_REQUEST), error.message)
