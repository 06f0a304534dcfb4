"""Test your handlers, permissions and schemas in milliseconds, without RabbitMQ.

With pytest there is nothing to set up: the fixtures `forebay` and `forebay_kit` are there where
Forebay is installed. Anything else calls `open_kit`.

Rules: imports nothing of `services` and `broker`.

Not here: the fixtures (`pytest_forebay`).
"""

from forebay.testing.client import Client
from forebay.testing.kit import Kit, Settings, open_kit
from forebay.testing.problems import (
    HandlerFailed,
    HandlerHangs,
    NotConnected,
    NotSubscribed,
    ServerBroke,
    SettingsProblem,
    Unanswered,
)
from forebay.testing.server import Server
from forebay.testing.values import (
    DeadLetter,
    Disconnected,
    Member,
    Received,
    Refused,
)

__all__ = [
    "Client",
    "DeadLetter",
    "Disconnected",
    "HandlerFailed",
    "HandlerHangs",
    "Kit",
    "Member",
    "NotConnected",
    "NotSubscribed",
    "Received",
    "Refused",
    "Server",
    "ServerBroke",
    "Settings",
    "SettingsProblem",
    "Unanswered",
    "open_kit",
]
