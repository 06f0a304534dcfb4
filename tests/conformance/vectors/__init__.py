"""The vectors, a family a module."""

from tests.conformance.vector import Vector
from tests.conformance.vectors import (
    channels,
    connecting,
    example,
    frames,
    history,
    others,
    payloads,
    publishing,
    subscribing,
)

FAMILIES: dict[str, tuple[Vector, ...]] = {
    "connect": connecting.VECTORS,
    "subscribe": subscribing.VECTORS,
    "publish": publishing.VECTORS,
    "history": history.VECTORS,
    "other commands": others.VECTORS,
    "example session": example.VECTORS,
    "frames": frames.VECTORS,
    "channel names": channels.VECTORS,
    "payloads": payloads.VECTORS,
}
