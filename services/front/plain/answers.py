"""What a plain client is told of its own doings: a welcome, receipts, errors.

Rules: an error is a line `error CODE: WORDS`, with the codes of the client protocol; the session
lives.
"""

from services.front.plain.encoding import name_of
from services.front.session import Session, State
from services.settings import PlainConfig
from services.template import Template
from services.wire.errors import Error


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
        session.parts.measures.refusals.add(error.code)
        tell_error(session, error)

    def refused_late(self, session: Session, channel: str, error: Error) -> None:
        """See `Answers.refused_late`."""
        if session.state is State.CONNECTED:
            tell_error(session, error)

    def _tell(self, session: Session, template: Template, channel: str, text: str) -> None:
        if not template.is_empty:
            session.say(
                template.render(
                    {
                        "name": name_of(session.user, session.id),
                        "user": session.user,
                        "client": session.id,
                        "channel": channel,
                        "text": text,
                    }
                )
            )


def tell_error(session: Session, error: Error) -> None:
    """Tell what went wrong in one line."""
    session.say(f"error {error.code}: {error.message}".encode())
