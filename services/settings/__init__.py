"""The settings as values: every section, its defaults and bounds.

    section    what all have in common
    rabbit     the broker and its lanes
    processes  what runs
    client     who may connect, and a session's limits
    channel    namespaces
    whole      all of it, and what must fit

Rules
- Secure by default: what is not allowed in so many words is closed.
- Frozen. A duration is float seconds and a size is bytes, however they were written.
- A setting has a lower and an upper bound, checked at the start; what it does is its description,
  and a line in `forebay.example.toml`.

Not here: files and variables (`config`), what is allowed but would surprise (`advice`).
"""

from services.settings.channel import ChannelConfig, ChannelOptions, NamespaceConfig
from services.settings.client import (
    ClientConfig,
    OneWayConfig,
    PersonalChannelConfig,
    PlainConfig,
    TokenConfig,
)
from services.settings.processes import (
    AppConfig,
    FrontConfig,
    LoggingConfig,
    PageConfig,
    WorkerConfig,
)
from services.settings.rabbit import LaneConfig, RabbitConfig
from services.settings.whole import Config

__all__ = [
    "AppConfig",
    "ChannelConfig",
    "ChannelOptions",
    "ClientConfig",
    "Config",
    "FrontConfig",
    "LaneConfig",
    "LoggingConfig",
    "NamespaceConfig",
    "OneWayConfig",
    "PageConfig",
    "PersonalChannelConfig",
    "PlainConfig",
    "RabbitConfig",
    "TokenConfig",
    "WorkerConfig",
]
