"""Forebay: self-hosted realtime messaging on RabbitMQ.

This is the package that other people's code imports, so what is in it stays.

Rules: imports nothing of `services` and `broker`, which are names that a team may have used for
packages of its own. Only the command line does, late, and after it has put ours first.
"""

from importlib.metadata import PackageNotFoundError, version

from forebay.app import App
from forebay.dependency import Depends, State, WrongHandler
from forebay.event import (
    Acting,
    Call,
    Connect,
    Event,
    Left,
    Message,
    Publication,
    Subscribe,
)
from forebay.outcome import SWALLOW, Admission, Disconnect, InvalidData, Refuse, Swallow, Welcome

__all__ = [
    "SWALLOW",
    "Acting",
    "Admission",
    "App",
    "Call",
    "Connect",
    "Depends",
    "Disconnect",
    "Event",
    "InvalidData",
    "Left",
    "Message",
    "Publication",
    "Refuse",
    "State",
    "Subscribe",
    "Swallow",
    "Welcome",
    "WrongHandler",
    "__version__",
]

try:
    __version__ = version("forebay")
except PackageNotFoundError:  # run from its source, which is installed nowhere
    __version__ = "0+source"
