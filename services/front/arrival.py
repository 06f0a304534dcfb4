"""How a client came: what the team's connect handler may want to know of its request.

Kept for a session only until it is let in, and only where there is a connect handler.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Arrival(NamedTuple):
    """The request that a session began with."""

    transport: str
    """The last part of its address, such as `websocket`; `plain` for clients without a protocol."""
    origin: str
    headers: Mapping[str, str]
    """Those that the settings name; names in lower case."""


NOWHERE = Arrival("", "", {})
