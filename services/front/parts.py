"""What all sessions of a front process have in common: one value, made by the composition root.

Rules: a session reads from it and calls what is in it; it never replaces a part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.producer import Producer
from services.front.addresses import Addresses
from services.front.calls import Calls
from services.front.errands import Errands
from services.front.hooks import Hooks
from services.front.hub import Hub
from services.front.measures import Measures
from services.front.movements import Movements
from services.front.neighbours import Neighbours
from services.front.outbox import Flusher
from services.front.presence import Presence
from services.front.sessions import Sessions
from services.front.single import SingleConnections
from services.front.timers import Wheel
from services.front.uplinks import Uplinks
from services.front.view import FrontView
from services.permissions import Permissions
from services.settings import Config

if TYPE_CHECKING:
    from services.front.ordering import Ordering


@dataclass(frozen=True, slots=True)
class Parts:
    """A front process's parts, as sessions need them."""

    config: Config
    permissions: Permissions
    addresses: Addresses
    view: FrontView
    hub: Hub
    producer: Producer
    calls: Calls
    ordering: "Ordering"
    hooks: Hooks
    neighbours: Neighbours
    presence: Presence
    movements: Movements
    errands: Errands
    uplinks: Uplinks
    sessions: Sessions
    singles: SingleConnections
    wheel: Wheel
    flusher: Flusher
    measures: Measures
    monotonic: Callable[[], float]
    """What the wheel's clock shows, for those who ask often."""
    wall_clock: Callable[[], float]
    """Unix time in seconds, which tokens speak of."""
    jitter: Callable[[float, float], float]
    """A random number between two."""
    version: str
    """What the connect reply says."""
