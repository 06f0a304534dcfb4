"""The baseline: the same journey with plain aio-pika, one AMQP message a publication.

publisher -> quorum queue -> worker -> stream -> reader, bodies of 200 bytes, persistent and
confirmed at both hops, 200 publications between publisher and reader.

A process each for publisher (this one), worker and reader. Four layouts in turns, three rounds of
4 s on two cores, publications a second: this one 1,278 to 1,464; all in one process 898 to 1,398,
so no clear difference; publisher and reader in one process 1,073 to 1,152; three processes with a
publisher that waits only for its own confirms 584 to 1,468, unsteady because it can take the
worker's CPU. Each fills the machine. Its speed changes: at other times this one made up to 1,892.

    python -m bench.baseline worker AMQP_URL      # one role, as `run_baseline` starts it
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
import uvloop
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from pamqp.common import FieldTable

from bench.usage import Meter, Usage

IN_FLIGHT = 200
BODY = b"x" * 200
QUEUE, STREAM = "bench.baseline.queue", "bench.baseline.stream"
# Enough that neither consumer ever waits for an acknowledgement to come back.
PREFETCH = 300
# Acknowledging a stream only grants credit, so one acknowledgement may stand for many.
ACK_EVERY = 50
TELL_EVERY = 10
SETTLE_SECONDS = 0.3


@dataclass(frozen=True)
class Baseline:
    """What one run measured."""

    publications: int
    usage: Usage

    @property
    def per_second(self) -> float:
        """Publications that came out at the end, a second."""
        return self.publications / self.usage.seconds


async def run_baseline(url: str, node_pid: int, seconds: float, warm_up_seconds: float) -> Baseline:
    """Run worker, publisher and reader for a while and measure the middle of it."""
    async with (
        _declared(url),
        _role("reader", url) as reader,
        _role("worker", url) as worker,
        await aio_pika.connect(url) as connection,
    ):
        pids = {"generator": os.getpid(), "worker": worker.pid, "reader": reader.pid}
        meter = Meter({**pids, "broker": node_pid})
        async with _publishing(await connection.channel(), reader) as window:
            await asyncio.sleep(warm_up_seconds)
            before = window.delivered
            meter.start()
            await asyncio.sleep(seconds)
            delivered = window.delivered - before
            return Baseline(delivered, meter.stop())


class _Window:
    """What is between publisher and reader; the reader tells now and then how far it is."""

    def __init__(self) -> None:
        self.delivered = 0
        self.places = asyncio.Semaphore(IN_FLIGHT)

    async def follow(self, reader: asyncio.subprocess.Process) -> None:
        """Free a place for each publication that came out."""
        while await _output(reader).readline():
            self.delivered += TELL_EVERY
            for _ in range(TELL_EVERY):
                self.places.release()


@asynccontextmanager
async def _publishing(
    channel: AbstractChannel, reader: asyncio.subprocess.Process
) -> AsyncIterator[_Window]:
    """Publish until the block ends, then wait for the confirms."""
    window = _Window()
    is_open = True

    async def publish_one_after_another() -> None:
        while is_open:
            await window.places.acquire()
            await _publish(channel, QUEUE, BODY)

    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(window.follow(reader))
        publishers = [tasks.create_task(publish_one_after_another()) for _ in range(IN_FLIGHT)]
        yield window
        is_open = False
        for _ in publishers:
            window.places.release()  # those that wait go on, and end
        await asyncio.wait(publishers)
        following.cancel()


async def _publish(channel: AbstractChannel, routing_key: str, body: bytes) -> None:
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await channel.default_exchange.publish(message, routing_key)


@asynccontextmanager
async def _declared(url: str) -> AsyncIterator[None]:
    """The queue and the stream, removed again afterwards."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for name, kind in ((QUEUE, "quorum"), (STREAM, "stream")):
            await channel.queue_delete(name)
            await channel.declare_queue(name, durable=True, arguments={"x-queue-type": kind})
        yield
        for name in (QUEUE, STREAM):
            await channel.queue_delete(name)


@asynccontextmanager
async def _role(role: str, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.baseline", role, url, stdout=asyncio.subprocess.PIPE
    )
    try:
        await _output(process).readline()  # it consumes now
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


def _output(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    if process.stdout is None:
        raise AssertionError("a role is started with a pipe")
    return process.stdout


async def _work(url: str) -> None:
    """Move every message from the queue to the stream."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()

        async def move(message: AbstractIncomingMessage) -> None:
            await _publish(channel, STREAM, message.body)
            await message.ack()

        await _consume(url, QUEUE, {}, move)


async def _read(url: str) -> None:
    """Take what comes out of the stream."""
    received = 0

    async def take(message: AbstractIncomingMessage) -> None:
        nonlocal received
        received += 1
        if received % TELL_EVERY == 0:
            print("more", flush=True)
        if received % ACK_EVERY == 0:
            await message.ack(multiple=True)

    await _consume(url, STREAM, {"x-stream-offset": "next"}, take)


async def _consume(
    url: str,
    name: str,
    arguments: FieldTable,
    take: Callable[[AbstractIncomingMessage], Awaitable[None]],
) -> None:
    """Consume until told to stop."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.get_queue(name, ensure=False)
        tag = await queue.consume(take, arguments=arguments)
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        print("consuming", flush=True)
        await stopped.wait()
        await queue.cancel(tag)
        await asyncio.sleep(SETTLE_SECONDS)


if __name__ == "__main__":
    uvloop.run({"worker": _work, "reader": _read}[sys.argv[1]](sys.argv[2]))
