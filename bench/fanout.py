"""Fan-out: one channel, 1,000 subscribers, for Forebay and for Node's `ws`.

Frames have 114 bytes. Forebay's envelope names the sender, so its frames have a few more (126 with
an empty body); the report says how many.

In a closed loop: when a subscriber has got one group, the next is published. Two are under way, so
that the server has the next one while it sends this one. A group is one publication, or ten that
are ready together: ten in one record of the log for a front (appender.py), ten frames in one write
for the broadcast loop, which has no other way.

The other 999 cost the generator next to nothing (receivers.py). How many publications the publisher
found in one read tells whether "one at a time" was one at a time.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.appender import open_appender
from bench.clients import (
    ACCEPTED,
    ERROR,
    PING,
    PONG_FRAME,
    PUBLICATION,
    SEAM_BYTES,
    Client,
    Endpoint,
    open_client,
    open_websocket,
)
from bench.receivers import Receivers, open_receivers
from bench.stack import PARTITIONS, PREFIX, Stack
from bench.usage import Meter, Usage
from bench.waiting import wait_until
from bench.websocket import text_frame

SUBSCRIBERS = 1_000
FRAME_BYTES = 114
CHANNEL = "fan"
# Not more: with three or four Forebay was 24 to 57 % faster, but the publisher found 1.5 to 1.95
# publications a read, and that is not one at a time any more. With two it finds 1.0 to 1.2, and the
# front leaves 14 to 28 % of a core unused while the broker has the next.
GROUPS_UNDER_WAY = 2
# Groups that came back in one read would travel together from then on. A fan-out takes some 7 ms,
# so this far apart the next is waiting when one is done, and they stay apart.
APART_SECONDS = 0.003
SWEEP_SECONDS = 0.02
SETTLE_SECONDS = 0.5
DRAIN_SECONDS = 10.0

Publish = Callable[[int, int], None]
"""Publishes a group: how many publications, and how long the body is."""


@dataclass(frozen=True)
class Fanout:
    """What one run measured."""

    deliveries: int
    usage: Usage
    frame_bytes: float
    publications_a_read: float
    is_complete: bool

    @property
    def per_second(self) -> float:
        """Deliveries a second, over all subscribers."""
        return self.deliveries / self.usage.seconds


async def measure_forebay(
    endpoint: Endpoint, stack: Stack, front_pid: int, together: int, seconds: float
) -> Fanout:
    """Measure a front, called `server`: what it fans out is put into its log by us."""
    pids = {"server": front_pid, "broker": stack.node_pid}
    async with open_appender(stack.amqp_url, PREFIX, CHANNEL, PARTITIONS) as appender:
        with open_receivers(endpoint, SUBSCRIBERS - 1, CHANNEL) as receivers:
            client = await open_client(endpoint)
            await client.subscribe(CHANNEL)

            def publish(together: int, body_bytes: int) -> None:
                appender.publish(b"\n".join([b'"%b"' % (b"x" * body_bytes)] * together))

            witness = _Witness(client, publish)
            return await _measure(witness, receivers, pids, together, seconds)


async def measure_broadcast_loop(
    endpoint: Endpoint, pids: Mapping[str, int], together: int, seconds: float
) -> Fanout:
    """Measure the tutorial's server; `pids` names it `server`."""
    with open_receivers(endpoint, SUBSCRIBERS - 1, None) as receivers:
        client = await open_websocket(endpoint)

        def publish(together: int, body_bytes: int) -> None:
            client.write(_messages(together, body_bytes))

        witness = _Witness(client, publish)
        return await _measure(witness, receivers, pids, together, seconds)


def _messages(together: int, body_bytes: int) -> bytes:
    """The text that all shall get, in a frame each."""
    return text_frame(b'{"push":{"channel":"fan","pub":{"data":"%b"}}}' % (b"x" * body_bytes)) * (
        together
    )


class _Witness:
    """Has things published, is subscribed itself, and parses what it gets."""

    def __init__(self, client: Client, publish: Publish) -> None:
        self.received = self.reads = self.published = 0
        self._client = client
        self._publish_group = publish
        self._body_bytes = 0
        self._together = 1
        self._is_open = False
        self._seam = b""
        self._loop = asyncio.get_running_loop()
        client.hand_over(self._count)

    def start(self, together: int, body_bytes: int, groups: int) -> None:
        """Publish so many groups now, and one more for each that comes back."""
        self._body_bytes = body_bytes
        self._together = together
        self._is_open = True
        for position in range(groups):
            self._loop.call_later(position * APART_SECONDS, self._publish)

    def stop(self) -> None:
        """Publish no more."""
        self._is_open = False

    def close(self) -> None:
        """Leave; raise ServerClosed if the server ended the connection before."""
        self._client.check()
        self._client.close()

    def _publish_if_open(self) -> None:
        if self._is_open:
            self._publish()

    def _publish(self) -> None:
        self.published += self._together
        self._publish_group(self._together, self._body_bytes)

    def _count(self, received: bytes) -> None:
        seam, joined = self._seam, self._seam + received
        self._seam = joined[-SEAM_BYTES:]
        if ERROR in joined:
            raise ConnectionError(f"a publication was refused: {joined.decode()[:500]}")
        came = joined.count(PUBLICATION) - seam.count(PUBLICATION)
        pings = joined.count(PING) - joined.count(ACCEPTED)
        if pings > seam.count(PING) - seam.count(ACCEPTED):
            self._client.write(PONG_FRAME)
        if not came:
            return
        finished = (self.received + came) // self._together - self.received // self._together
        self.received += came
        self.reads += 1
        for position in range(finished):
            self._loop.call_later(position * APART_SECONDS, self._publish_if_open)


async def _measure(
    witness: _Witness,
    receivers: Receivers,
    pids: Mapping[str, int],
    together: int,
    seconds: float,
) -> Fanout:
    meter = Meter({"generator": os.getpid(), **pids})
    async with _sweeping(receivers):
        body_bytes = await _fit_body(witness, receivers)
        earlier, earlier_bytes = witness.received, receivers.total_bytes
        witness.start(together, body_bytes, GROUPS_UNDER_WAY)
        await asyncio.sleep(SETTLE_SECONDS)
        reads, received, received_bytes = witness.reads, witness.received, receivers.total_bytes
        meter.start()
        await asyncio.sleep(seconds)
        usage = meter.stop()
        window_bytes = receivers.total_bytes - received_bytes
        publications_a_read = (witness.received - received) / max(witness.reads - reads, 1)
        witness.stop()
        is_complete = await _drain(witness, receivers)
    witness.close()
    deliveries = (witness.received - earlier) * (SUBSCRIBERS - 1)
    frame_bytes = (receivers.total_bytes - earlier_bytes) / deliveries
    # The publisher gets its own as well; its bytes are mixed with replies.
    seen = window_bytes / frame_bytes * SUBSCRIBERS / (SUBSCRIBERS - 1)
    return Fanout(round(seen), usage, frame_bytes, publications_a_read, is_complete)


async def _fit_body(witness: _Witness, receivers: Receivers) -> int:
    """Find the body with which a frame has the wanted size, as near as its envelope allows."""
    envelope_bytes = 0
    for _ in range(2):  # a channel's first publication also tells its epoch
        before = receivers.received_bytes[0]
        witness.start(1, 0, 1)
        witness.stop()
        await asyncio.sleep(SETTLE_SECONDS)
        envelope_bytes = receivers.received_bytes[0] - before
        if not envelope_bytes:
            raise ConnectionError("the first publications did not arrive")
    return max(0, FRAME_BYTES - envelope_bytes)


async def _drain(witness: _Witness, receivers: Receivers) -> bool:
    """Wait for the rest; answer whether all receivers got as much as each other."""
    if not await wait_until(lambda: witness.received >= witness.published, DRAIN_SECONDS):
        return False
    await asyncio.sleep(SETTLE_SECONDS)
    return len(set(receivers.received_bytes)) == 1


@asynccontextmanager
async def _sweeping(receivers: Receivers) -> AsyncIterator[None]:
    async def sweep_for_ever() -> None:
        while True:
            receivers.sweep()
            await asyncio.sleep(SWEEP_SECONDS)

    async with asyncio.TaskGroup() as tasks:
        sweeping = tasks.create_task(sweep_for_ever())
        yield
        sweeping.cancel()
