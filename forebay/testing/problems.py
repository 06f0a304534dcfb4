"""What a test got wrong, or the app or the server under it; not a client's refusals (`values`)."""

from forebay.link import Kind


class NotConnected(Exception):
    """A client that is not connected was to do something."""


class NotSubscribed(Exception):
    """A client was asked what it received in a channel that it never followed."""


class SettingsProblem(Exception):
    """The settings, or the app, cannot be used; a line for each reason."""


class Unanswered(Exception):
    """A server took too long, in the machine's time, most likely for a handler that hangs."""


class HandlerHangs(Exception):
    """An app does not end with its server, for one of its handlers or functions does not."""


class ServerBroke(Exception):
    """A test's server failed or died, which is Forebay's fault: its traceback, or last words."""


class HandlerFailed(Exception):
    """A handler failed, and after all its tries again; what it raised last is the cause."""

    def __init__(self, kind: Kind, name: str, attempts: int, text: str, trace: str) -> None:
        self.kind = kind.name.lower()
        """What it was asked: "publish", "rpc", "send", "disconnect", "connect" or "subscribe"."""
        self.name = name
        """The channel, or the method of an rpc."""
        self.attempts = attempts
        self.text = text
        self.trace = trace
        """Where in the team's code, innermost last."""
        tries = "1 try" if attempts == 1 else f"{attempts} tries"
        what = f"{self.kind} {name!r}" if name else self.kind
        super().__init__(f"{what}: the handler failed, in {tries}: {text}\n{trace}".rstrip())
