"""Feeds the board: a random walk of prices, published fifty times a second, until it is stopped.

A program of yours would read a market, a machine or a database here instead.
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

CHANNEL = "board:prices"
SYMBOLS = ["ACME", "BOLT", "CRUX", "DUNE", "ECHO", "FLUX", "GRIT", "HALO", "IRIS", "JADE"]
PRICES_KEPT = 40
PAUSE_SECONDS = 0.02


class Market:
    """Prices that rise and fall by chance, a few of them at a time."""

    def __init__(self, seed: int | None = None) -> None:
        self._chance = random.Random(seed)
        self.prices = {symbol: [round(self._chance.uniform(20, 200), 2)] for symbol in SYMBOLS}

    def move(self) -> dict[str, list[float]]:
        """Change two prices, and give the latest of all."""
        for symbol in self._chance.sample(SYMBOLS, 2):
            latest = self.prices[symbol]
            latest.append(max(0.01, round(latest[-1] * self._chance.gauss(1, 0.003), 2)))
            del latest[:-PRICES_KEPT]
        return self.prices


async def make_token() -> str:
    """Sign who we are, for the next ten minutes; the client asks again when they are over."""
    key = os.environ["FOREBAY_CLIENT__TOKEN__HMAC_SECRET_KEY"]
    return jwt.encode({"sub": "feeder", "exp": time.time() + 600}, key, algorithm="HS256")


async def feed(url: str) -> None:
    """Publish the market; where there is no server, wait for one."""
    market = Market()
    client = Client(url, get_token=make_token, max_reconnect_delay=1)
    await client.connect()
    while True:
        try:
            await client.publish(CHANNEL, {"prices": market.move()})
        except CentrifugeError as error:
            print(f"feeder: not published: {error}")  # the next board says it all again
            await asyncio.sleep(1)
        await asyncio.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    port = os.environ.get("FOREBAY_FRONT__PORT", "8000")
    with suppress(KeyboardInterrupt):
        asyncio.run(feed(f"ws://localhost:{port}/connection/websocket"))
