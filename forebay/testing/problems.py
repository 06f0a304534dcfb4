"""What a test got wrong, or the server under it; not what a client is refused (`values`)."""


class NotConnected(Exception):
    """A client that is not connected was to do something."""


class NotSubscribed(Exception):
    """A client was asked what it received in a channel that it never followed."""


class SettingsProblem(Exception):
    """The settings, or the app, cannot be used; a line for each reason."""


class Unanswered(Exception):
    """A server took too long, in the machine's time, most likely for a handler that hangs."""


class ServerBroke(Exception):
    """A test's server failed or died, which is Forebay's fault: its traceback, or last words."""


class HandlerFailed(Exception):
    """A handler failed, and after all its tries again; what it raised last is the cause."""
