"""What devices measure: written down once each, and an alarm besides for what is too hot."""

import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from forebay import SWALLOW, App, Publication, Refuse, State, Swallow

TOO_HOT_CELSIUS = 80.0
ALARMS = "alarms:heat"

# How degrees Celsius are made of a reading. Some devices report "K", and nobody has thought of it:
# the README says what becomes of their readings, and what of them once this line is there.
CELSIUS: Final[dict[str, Callable[[float], float]]] = {
    "C": lambda value: value,
    "F": lambda value: (value - 32) * 5 / 9,
    # "K": lambda value: value - 273.15,
}


class Reading(msgspec.Struct):
    """What one device has measured; the JSON Schema has checked it before."""

    value: float
    unit: str
    at: float


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[sqlite3.Connection]:
    """Open the database before the first handler is called, and close it after the last."""
    database = sqlite3.connect(os.environ.get("DEVICES_DB", "devices.db"), timeout=5)
    # Readers and one writer at a time, of however many app processes.
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(
        "CREATE TABLE IF NOT EXISTS readings"
        " (key TEXT PRIMARY KEY, device TEXT, at REAL, celsius REAL)"
    )
    try:
        yield database
    finally:
        database.close()


app = App(lifespan=lifespan)


@app.publish("device:*")
def store(reading: Publication[Reading], database: State[sqlite3.Connection]) -> Swallow:
    """Write a reading down, and raise the alarm if it is too hot."""
    device = reading.channel.removeprefix("device:")
    if reading.user != device:
        raise Refuse("a device publishes in its own channel", code=103)
    celsius = round(CELSIUS[reading.data.unit](reading.data.value), 2)
    # A handler may be called twice for the same reading, which then has the same key. It is written
    # with the reading, in one transaction, so the second time there is nothing to do.
    with database:
        database.execute(
            "INSERT OR IGNORE INTO readings VALUES (?, ?, ?, ?)",
            (reading.key, device, reading.data.at, celsius),
        )
    # Whether there is an alarm depends on the reading alone, so it is the same each time; and it is
    # published once, together with the reading's outcome.
    if celsius > TOO_HOT_CELSIUS:
        reading.publish(ALARMS, {"device": device, "at": reading.data.at, "celsius": celsius})
    # It is in the database now, and nobody follows the devices' own channels.
    return SWALLOW
