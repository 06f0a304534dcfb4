"""A client that has done nothing wrong: connected throughout, it must keep getting its channel.

It lives in a thread with a loop of its own, so that nothing a test does to its loop is mistaken
for the server's slowness.
"""

import asyncio
import threading
import time

from tests.conformance.client import ConnectionEnded, RawClient

CHANNEL = "bystander"
EVERY_SECONDS = 0.02


class Bystander:
    """Publishes into its channel all the time, and notes when what comes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._stop = threading.Event()
        self._arrivals: list[tuple[float, float]] = []
        self.trouble = ""
        """Why it gave up; empty if it did not."""

    def start(self) -> None:
        """Connect, and wait for the first publication."""
        self._thread.start()
        while not self._arrivals and not self.trouble:
            time.sleep(0.01)

    def stop(self) -> None:
        """Leave."""
        self._stop.set()
        self._thread.join()

    def longest_wait(self, since: float) -> float:
        """The longest time a publication took to arrive, since some moment, or is taking now."""
        taken = [took for at, took in self._arrivals if at >= since]
        last = self._arrivals[-1][0] if self._arrivals else since
        return max([*taken, time.monotonic() - max(last, since)])

    async def _run(self) -> None:
        try:
            await self._follow()
        except (ConnectionEnded, TimeoutError) as error:
            if not self._stop.is_set():
                self.trouble = repr(error)

    async def _follow(self) -> None:
        client = await RawClient.connect(self._port)
        await client.begin()
        client.say({"id": 2, "subscribe": {"channel": CHANNEL}})
        publishing = asyncio.create_task(self._publish(client))
        expected = 1
        try:
            while not self._stop.is_set():
                line = await client.line()
                if not line:
                    client.say({})
                elif "push" in line:
                    publication = line["push"]["pub"]
                    if publication["offset"] != expected:
                        self.trouble = f"offset {publication['offset']} instead of {expected}"
                        return
                    expected += 1
                    now = time.monotonic()
                    self._arrivals.append((now, now - publication["data"]))
                elif "error" in line:
                    self.trouble = f"refused: {line}"
                    return
        finally:
            publishing.cancel()
            client.cut()

    async def _publish(self, client: RawClient) -> None:
        number = 2
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            number += 1
            client.say({"id": number, "publish": {"channel": CHANNEL, "data": time.monotonic()}})
