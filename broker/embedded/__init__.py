"""The broker's promises inside one process, in memory: development, tests and the pytest kit.

Rules: it passes the same contract suite as `broker.rabbitmq` and is as unkind where that one is:
positions have holes, calls yield to the event loop, confirms can get lost.

Not here: durability; all is gone with the process.
"""

from broker.embedded.access import EmbeddedAccess
from broker.embedded.node import EmbeddedBroker, EmbeddedLimits
from broker.embedded.travel import Leg, Travel

__all__ = ["EmbeddedAccess", "EmbeddedBroker", "EmbeddedLimits", "Leg", "Travel"]
