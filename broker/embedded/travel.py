"""The way between a process and the embedded node, and how long each leg of it takes.

Rules: every call that would take to the network takes one leg at least, so that whoever calls
yields to the event loop; how long a leg lasts is a simulation's to say, and one turn otherwise.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum


class Leg(Enum):
    """A part of the way, by what has happened before it and what happens after it."""

    OPENING = "opening"
    """Asked for; the node opens an intake, a reader or a listener, or tells a stream's end."""
    SENDING = "sending"
    """Sent; the node stores it."""
    CONFIRMING = "confirming"
    """Stored; the sender hears of it."""
    READING = "reading"
    """In the stream; the reader has it."""
    TAKING = "taking"
    """Handed to the intake; who takes has it."""
    SETTLING = "settling"
    """Settled by who took it; the node drops it."""
    HEARING = "hearing"
    """Sent to a listener; it has it."""


Travel = Callable[[Leg], Awaitable[None]]
"""Waits for as long as a leg takes."""


async def one_turn(_: Leg) -> None:
    """Take a turn of the event loop, as what is in the same process does."""
    await asyncio.sleep(0)
