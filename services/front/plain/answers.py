"""What a plain client is told of its own doings: a welcome, receipts, errors.

Rules: an error is a line `error CODE: WORDS`, with the codes of the client protocol; the session
lives.
"""

from typing import Final

from services.front.plain.encoding import name_of
from services.front.session import Session, State
from services.front.transports.frames import frame_text
from services.settings import PlainConfig
from services.template import Template
from services.wire.errors import Error

NO_COMMAND: Final = 0


class PlainAnswers:
    """See `publishing.Answers`; what was asked is the text itself."""

    def __init__(self, config: PlainConfig) -> None:
        self._welcome = Template(config.welcome)
        self._receipt = Template(config.receipt)

    def welcome(self, session: Session, channel: str) -> None:
        """Greet a client that has come in."""
        self._tell(session, self._welcome, channel, "")

    def published(self, session: Session, channel: str, asked: str) -> None:
        """See `Answers.published`."""
        self._tell(session, self._receipt, channel, asked)

    def refused(self, session: Session, channel: str, asked: str, error: Error) -> None:
        """See `Answers.refused`."""
        session.refuse(NO_COMMAND, error)

    def refused_late(self, session: Session, channel: str, error: Error) -> None:
        """See `Answers.refused_late`."""
        if session.state is State.CONNECTED:
            session.say(session.encoding.encode_error(NO_COMMAND, error))

    def _tell(self, session: Session, template: Template, channel: str, text: str) -> None:
        if not template.is_empty:
            sentence = template.render(
                {
                    "name": name_of(session.user, session.id),
                    "user": session.user,
                    "client": session.id,
                    "channel": channel,
                    "text": text,
                }
            )
            session.say(frame_text(sentence))
