"""What deltas cost and save: `python -m bench.deltas`.

A channel of 1,000 subscribers here, whose sockets are the kernel's own; what is published is a
document in JSON of which two fields change, one at each end. Measured is the CPU time of a front's
fan-out: encoding, offering and writing to the kernel. Emptying the sockets is not counted, nor is
the rest of a front.
"""

import asyncio
import socket
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import orjson
import uvloop

from services.front.encoding import Encoding, Language
from services.front.encodings.websocket_json import WEBSOCKET_JSON
from services.front.encodings.websocket_protobuf import WEBSOCKET_PROTOBUF
from services.front.fanout import Fanout
from services.front.hub import Hub, Subscription
from services.front.measures import Measures
from services.front.outbox import Flusher, Outbox
from services.view.history import Publication
from services.wire.errors import Disconnect, Unsubscribed

CHANNEL = "document"
SUBSCRIBERS = 1_000
PUBLICATIONS = 60
OUTBOX_BYTES = 1024 * 1024
# Whole payloads must fit, so that no write waits for the receiver.
KERNEL_BYTES = 512 * 1024
SENDER = b'{"user":"ada","client":"0c6f1f0a-7d3e-4f0e-9a55-6f1c8d1d2b11"}'


class Session:
    """A subscriber as fan-out knows it."""

    def __init__(self, encoding: Language, outbox: Outbox) -> None:
        self.id = self.user = "bench"
        self.outbox = outbox
        self.encoding: Encoding = encoding

    def info(self, chan_info: bytes) -> bytes:
        """See `Subscriber.info`."""
        return SENDER

    def end_subscription(self, subscription: Subscription, why: Unsubscribed) -> None:
        """See `Subscriber.end_subscription`."""
        raise AssertionError(why)

    def disconnect(self, why: Disconnect, explanation: str = "") -> None:
        """See `Subscriber.disconnect`."""
        raise AssertionError(why)


class Run(NamedTuple):
    """What one run measured."""

    seconds: float
    """Of CPU."""
    received_bytes: int

    @property
    def deliveries_per_second(self) -> float:
        """Of CPU."""
        return SUBSCRIBERS * PUBLICATIONS / self.seconds

    @property
    def bytes_each(self) -> float:
        """What a delivery takes on the wire."""
        return self.received_bytes / SUBSCRIBERS / PUBLICATIONS


def documents(size: int) -> list[Publication]:
    """States of a document of about this size."""
    text = "".join(f"{number:x} " for number in range(size))[:size]
    states = [
        {"version": n, "text": text, "price": round(n * 1.37, 2)} for n in range(PUBLICATIONS)
    ]
    return [Publication(n, orjson.dumps(state), SENDER, 0) for n, state in enumerate(states, 1)]


async def measure(language: Language, publications: Sequence[Publication], *, deltas: bool) -> Run:
    """Deliver all publications to all subscribers."""
    hub, flusher, receivers = Hub(), Flusher(), []
    fanout = Fanout(hub, Measures())
    loop = asyncio.get_running_loop()
    for _ in range(SUBSCRIBERS):
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        theirs.setblocking(False)
        receivers.append(theirs)
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        session = Session(language, Outbox(transport, flusher, OUTBOX_BYTES))
        subscription = Subscription(session, CHANNEL, 0, is_positioned=True)
        if deltas and language.deltas is not None:
            subscription.tell_in(language.deltas)
        hub.add(subscription)
    seconds, received_bytes, previous = 0.0, 0, None
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(fanout.run())
        for sequence, publication in enumerate(publications, 1):
            before = time.process_time()
            fanout.publish(CHANNEL, [publication], sequence, "epoch", previous)
            while fanout.waiting_bytes:  # noqa: ASYNC110  (it is what makes the turns)
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            seconds += time.process_time() - before
            received_bytes += sum(map(empty, receivers))
            previous = publication
        serving.cancel()
    for receiver in receivers:
        receiver.close()
    return Run(seconds, received_bytes)


def empty(receiver: socket.socket) -> int:
    """Take all there is; give how much it was."""
    taken = 0
    while True:
        try:
            taken += len(receiver.recv(KERNEL_BYTES))
        except BlockingIOError:
            return taken


async def compare() -> None:
    """Print the table."""
    print(
        f"{'document':>10} {'encoding':>9} {'told':>6} {'bytes each':>11} {'deliveries/s CPU':>17}"
    )
    for size in (512, 4096, 32768):
        publications = documents(size)
        for name, language in (("json", WEBSOCKET_JSON), ("protobuf", WEBSOCKET_PROTOBUF)):
            for told in ("whole", "delta"):
                run = await measure(language, publications, deltas=told == "delta")
                print(
                    f"{size:>8} B {name:>9} {told:>6} {run.bytes_each:>11.0f}"
                    f" {run.deliveries_per_second:>17,.0f}"
                )


def main() -> int:
    """Run it; give the exit code."""
    uvloop.run(compare())
    return 0


if __name__ == "__main__":
    sys.exit(main())
