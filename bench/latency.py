"""Idle latency: from a client's publish to its delivery, one publication at a time.

Not here: the raw broker hops that it is compared with (hops.py).
"""

import asyncio
import time

from bench.clients import PUBLICATION, Client, Endpoint, open_client
from bench.websocket import text_frame

CHANNEL = "latency"
BODY = "x" * 190  # with the rest of the object some 200 bytes
ANSWER_SECONDS = 5.0


async def measure_latency(endpoint: Endpoint, probes: int, pause_seconds: float) -> list[float]:
    """Milliseconds from publish to delivery, a probe each."""
    publisher, subscriber = await open_client(endpoint), await open_client(endpoint)
    try:
        await subscriber.subscribe(CHANNEL)
        probe = _Probe(publisher, subscriber)
        milliseconds = []
        for _ in range(probes):
            milliseconds.append(await probe.publish())
            await asyncio.sleep(pause_seconds)
        return milliseconds
    finally:
        publisher.close()
        subscriber.close()


class _Probe:
    def __init__(self, publisher: Client, subscriber: Client) -> None:
        self._publisher = publisher
        self._arrived: asyncio.Future[float] | None = None
        self._last_id = 100  # after those of the client's own commands
        subscriber.tap(self._look)

    async def publish(self) -> float:
        self._last_id += 1
        command = b'{"id":%d,"publish":{"channel":"%b","data":{"p":"%b"}}}'
        frame = text_frame(command % (self._last_id, CHANNEL.encode(), BODY.encode()))
        arrived: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._arrived = arrived
        started_at = time.perf_counter()
        self._publisher.write(frame)
        async with asyncio.timeout(ANSWER_SECONDS):
            return (await arrived - started_at) * 1e3

    def _look(self, received: bytes) -> None:
        waiting = self._arrived
        if waiting is not None and not waiting.done() and PUBLICATION in received:
            waiting.set_result(time.perf_counter())
