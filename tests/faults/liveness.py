"""Whether all works again after a schedule: what is asked of the broker and of the processes."""

import asyncio
import time
from collections.abc import Iterator

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPError

from broker.partition import Partition
from broker.rabbitmq.names import Names
from tests.faults.arena import Arena
from tests.system.deployment import LANES, NotReady

WHOLE_SECONDS = 30.0
"""A front that starts anew has processes to load and logs to read, on a machine that is busy."""
DRAIN_SECONDS = 15.0
_POLL_SECONDS = 0.1
_CONNECT_SECONDS = 5.0


async def until_whole(arena: Arena) -> list[str]:
    """Wait until every front is ready and has publications settled in every partition.

    Gives what is wrong if that does not happen, or not within the bound.
    """
    began = time.monotonic()
    try:
        for front in arena.deployment.fronts:
            await arena.deployment.until_ready(front)
            await arena.deployment.until_publishing(front)
    except NotReady as error:
        ended = [member.name for member in arena.members if not member.process.is_running]
        problems = [f"{name} ended by itself" for name in ended]
        return problems or [str(error).splitlines()[0]]
    seconds = time.monotonic() - began
    return [f"whole again only after {seconds:.0f} s"] if seconds > WHOLE_SECONDS else []


async def undrained(arena: Arena) -> list[str]:
    """Wait until no batch waits and no delivery is held; give what is left after a bound."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while problems := [*await _undrained_queues(arena), *_unsettled(arena)]:
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(_POLL_SECONDS)
    return problems


def _unsettled(arena: Arena) -> Iterator[str]:
    if arena.unsettled:
        yield f"workers hold {arena.unsettled} deliveries that they do not settle"


async def _undrained_queues(arena: Arena) -> list[str]:
    try:
        # Every node runs again by now, so any will do.
        connection = await aio_pika.connect(arena.rabbit.amqp_urls[0], timeout=_CONNECT_SECONDS)
    except (AMQPError, OSError) as error:
        return [f"RabbitMQ does not answer: {error}"]
    async with connection:
        problems: list[str] = []
        for lane, count in LANES.items():
            for number in range(count):
                name = Names(arena.prefix).inbound(Partition(lane, number))
                problems += await _look_at(connection, name)
        return problems


async def _look_at(connection: AbstractConnection, queue: str) -> list[str]:
    try:
        async with connection.channel() as channel:
            declared = await channel.declare_queue(queue, passive=True)
    except AMQPError as error:
        return [f"{queue}: {error}"]
    counted = declared.declaration_result
    problems = []
    if counted.message_count:
        problems.append(f"{queue} holds {counted.message_count} batches")
    if not counted.consumer_count:
        problems.append(f"{queue} has no consumer")
    return problems
