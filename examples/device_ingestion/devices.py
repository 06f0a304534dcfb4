"""Twenty devices, each with a connection and a token of its own, until they are stopped.

Device 7 is of another make: it reports kelvin. Device 13 stands too near the oven.
"""

import asyncio
import os
import random
import time
from contextlib import suppress

import jwt
from centrifuge import (  # type: ignore[import-untyped]  # the package ships no types
    CentrifugeError,
    Client,
)

DEVICES = [f"device-{number:02}" for number in range(1, 21)]
PAUSE_SECONDS = 1.0


def measure(device: str) -> dict[str, float | str]:
    """Give what a device measures now."""
    celsius = random.gauss(85 if device == "device-13" else 40, 2)
    if device == "device-07":
        return {"value": round(celsius + 273.15, 2), "unit": "K", "at": time.time()}
    if DEVICES.index(device) % 2:
        return {"value": round(celsius * 9 / 5 + 32, 2), "unit": "F", "at": time.time()}
    return {"value": round(celsius, 2), "unit": "C", "at": time.time()}


async def run(device: str, url: str) -> None:
    """Publish a reading a second, or so."""

    async def make_token() -> str:
        # A device would have got it when it was set up, or would ask your backend for it.
        key = os.environ["FOREBAY_CLIENT__TOKEN__HMAC_SECRET_KEY"]
        return jwt.encode({"sub": device, "exp": time.time() + 3_600}, key, algorithm="HS256")

    client = Client(url, get_token=make_token, max_reconnect_delay=1)
    await client.connect()
    while True:
        await asyncio.sleep(random.uniform(0, 2 * PAUSE_SECONDS))
        await deliver(client, device, measure(device))


async def deliver(client: Client, device: str, reading: dict[str, float | str]) -> None:
    """Publish a reading until it is taken: the server may be away, or its pool full."""
    while True:
        try:
            await client.publish(f"device:{device}", reading)
            return
        except CentrifugeError as error:
            print(f"{device}: {error}; trying again", flush=True)
        await asyncio.sleep(PAUSE_SECONDS)


async def run_all(url: str) -> None:
    """Run all of them."""
    async with asyncio.TaskGroup() as tasks:
        for device in DEVICES:
            tasks.create_task(run(device, url))


if __name__ == "__main__":
    port = os.environ.get("FOREBAY_FRONT__PORT", "8000")
    with suppress(KeyboardInterrupt):
        asyncio.run(run_all(f"ws://localhost:{port}/connection/websocket"))
