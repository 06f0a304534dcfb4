"""What Forebay has in RabbitMQ, as data, and its declaration by an administrator.

Front and worker may declare nothing but their own exclusive queue, so that a bug in them, or
whoever takes one of them over, can neither change nor remove what the others live on.

Rules: arguments cannot be changed by declaring again (AMQP 406); what an operator wants to change
later is set by a policy, which overrides them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from broker.errors import BrokerUnavailable, StreamEmpty, TopologyProblem
from broker.genesis import genesis_fence, genesis_snapshot
from broker.partition import Partition
from broker.rabbitmq.connection import check_version, translating_amqp_errors
from broker.rabbitmq.names import Names
from broker.rabbitmq.node import RabbitBroker, open_rabbitmq
from broker.rabbitmq.settings import RabbitSettings
from broker.rabbitmq.stream import RabbitStream

_MIB = 1024 * 1024

# Handing a partition over raises the delivery count of everything a worker held, innocent or
# not, so it must never be what discards a batch. Not -1: RabbitMQ 3.10 takes that for zero.
_DELIVERY_LIMIT = 1_000_000

# Retention acts when a segment is full, and the last one always stays.
_LOG_SEGMENT_BYTES = 16 * _MIB
_TOPS_SEGMENT_BYTES = 4 * _MIB
_TOPS_BYTES_AT_MOST = 64 * _MIB

_EMPTY_SECONDS = 10.0
_BEGIN_TRIES = 25
_BEGIN_PAUSE_SECONDS = 0.2

EXCHANGES = {
    "inbound": "direct",
    "log": "direct",
    "tops": "direct",
    "dead": "direct",
    "api": "direct",
    "bus": "fanout",
    "node": "direct",
}


@dataclass(frozen=True, slots=True)
class TopologyLimits:
    """How much each queue and stream may hold."""

    inbound_max_bytes: int = 512 * _MIB
    """Of entries waiting in one partition's pool; beyond it publishes are refused."""
    log_max_bytes: int = 4096 * _MIB
    """Of one partition's log; beyond it the oldest segments go."""
    log_max_age_seconds: int = 24 * 3600
    dead_max_bytes: int = 256 * _MIB
    """Of what was set aside; beyond it the worker cannot set aside more, and says so."""
    api_max_bytes: int = 64 * _MIB


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue or stream, and its place behind an exchange."""

    name: str
    exchange: str
    routing_key: str
    arguments: Mapping[str, str | int | bool]


def queues(names: Names, lanes: Mapping[str, int], limits: TopologyLimits) -> Iterator[Queue]:
    """List all queues and streams of a deployment."""
    for lane, count in lanes.items():
        for partition in (Partition(lane, number) for number in range(count)):
            yield from _partition_queues(names, partition, limits)
    for name, max_bytes in ((names.dead, limits.dead_max_bytes), (names.api, limits.api_max_bytes)):
        role = name.removeprefix(names.prefix)
        yield Queue(name, names.exchange(role), role, _quorum_arguments(max_bytes))


def _partition_queues(
    names: Names, partition: Partition, limits: TopologyLimits
) -> Iterator[Queue]:
    key = partition.name
    yield Queue(
        names.inbound(partition),
        names.exchange("inbound"),
        key,
        {**_quorum_arguments(limits.inbound_max_bytes), "x-single-active-consumer": True},
    )
    yield Queue(
        names.log(partition),
        names.exchange("log"),
        key,
        {
            "x-queue-type": "stream",
            "x-max-length-bytes": limits.log_max_bytes,
            "x-max-age": f"{limits.log_max_age_seconds}s",
            "x-stream-max-segment-size-bytes": _LOG_SEGMENT_BYTES,
        },
    )
    yield Queue(
        names.tops(partition),
        names.exchange("tops"),
        key,
        {
            "x-queue-type": "stream",
            "x-max-length-bytes": _TOPS_BYTES_AT_MOST,
            "x-stream-max-segment-size-bytes": _TOPS_SEGMENT_BYTES,
        },
    )


def _quorum_arguments(max_bytes: int) -> dict[str, str | int | bool]:
    return {
        "x-queue-type": "quorum",
        "x-max-length-bytes": max_bytes,
        "x-overflow": "reject-publish",
        "x-delivery-limit": _DELIVERY_LIMIT,
    }


async def apply_topology(
    urls: Sequence[str],
    *,
    prefix: str,
    lanes: Mapping[str, int],
    limits: TopologyLimits | None = None,
) -> None:
    """Declare all exchanges, queues and streams; begin those that are new. Can be done again.

    A queue or stream is led by the node that it is declared on, so the partitions are spread over
    the nodes of `urls`.

    Raises:
        BrokerUnavailable: no node answers, or the connection was lost half-way: do it again.
        TopologyProblem: something is there already and is not as it should be.
    """
    names = Names(prefix)
    connections = await _connect(urls)
    try:
        check_version(connections[0])
        for lane, count in lanes.items():
            await check_partitions(connections[0], names, lane, count)
        new = await _declare(
            connections, names, list(queues(names, lanes, limits or TopologyLimits()))
        )
    finally:
        for connection in connections:
            with suppress(BrokerUnavailable), translating_amqp_errors():
                await connection.close()
    settings = RabbitSettings(tuple(urls), prefix, connection_name="forebay topology")
    async with open_rabbitmq(settings) as broker:
        await asyncio.gather(
            *(
                _begin(broker, Partition(lane, number), count, new)
                for lane, count in lanes.items()
                for number in range(count)
            )
        )


async def _connect(urls: Sequence[str]) -> list[AbstractConnection]:
    """Connect to each node that answers."""
    connections: list[AbstractConnection] = []
    reasons = []
    for url in urls:
        try:
            with translating_amqp_errors():
                connections.append(await aio_pika.connect(url, timeout=10))
        except BrokerUnavailable as error:
            reasons.append(str(error))
    if not connections:
        raise BrokerUnavailable("; ".join(reasons) or "no AMQP URL is configured")
    return connections


async def check_partitions(
    connection: AbstractConnection, names: Names, lane: str, count: int
) -> None:
    """Check that a lane has as many partitions as the settings say, if it has any.

    The number is fixed when it is made: channels would move between logs.

    Raises:
        TopologyProblem: it has others.
    """
    there = [
        await is_there(connection, names.log(Partition(lane, number)))
        for number in (0, count - 1, count)
    ]
    if there[0] and (there[2] or not there[1]):
        raise TopologyProblem(
            f"lane {lane!r} was made with another number of partitions than {count}",
            f"Set lanes.{lane}.partitions to what it was, or give the new number to a new lane",
        )


async def is_there(connection: AbstractConnection, queue: str) -> bool:
    """Tell whether there is such a queue or stream."""
    try:
        # A failed declare closes its channel, so each look has one of its own.
        async with connection.channel() as channel:
            await channel.declare_queue(queue, passive=True)
    except ChannelNotFoundEntity:
        return False
    return True


async def _declare(
    connections: Sequence[AbstractConnection], names: Names, wanted: Sequence[Queue]
) -> set[str]:
    """Declare everything; give the names of what was not there before."""
    new: set[str] = set()
    with translating_amqp_errors():
        async with connections[0].channel() as channel:
            for role, kind in EXCHANGES.items():
                await channel.declare_exchange(
                    names.exchange(role), aio_pika.ExchangeType(kind), durable=True
                )
    # What belongs to one partition is led by one node.
    nodes = dict(zip(dict.fromkeys(q.routing_key for q in wanted), cycle(connections)))
    for queue in wanted:
        connection = nodes[queue.routing_key]
        if not await is_there(connection, queue.name):
            new.add(queue.name)
        try:
            with translating_amqp_errors():
                async with connection.channel() as channel:
                    declared = await channel.declare_queue(
                        queue.name, durable=True, arguments=dict(queue.arguments)
                    )
                    await declared.bind(queue.exchange, queue.routing_key)
        except TopologyProblem as problem:
            raise TopologyProblem(
                problem.problem,
                "Set the value it was declared with, override it by a policy, or delete the queue",
            ) from problem
    return new


async def _begin(
    broker: RabbitBroker, partition: Partition, partitions: int, new: Collection[str]
) -> None:
    """Write the first record of the partition's streams if they hold nothing yet."""
    await asyncio.gather(
        _begin_stream(broker.log(partition), genesis_fence(partitions, int(time.time())), new),
        _begin_stream(broker.tops(partition), genesis_snapshot(), new),
    )


async def _begin_stream(stream: RabbitStream, first: bytes, new: Collection[str]) -> None:
    if stream.name not in new:
        try:
            await stream.end(_EMPTY_SECONDS)
        except StreamEmpty:
            # Made by somebody who did not live to begin it. Only then: a second first record
            # would end the epoch of a log in use, so silence has to last.
            pass
        else:
            return
    await _when_ready(lambda: stream.append(first, entries=0))


async def _when_ready(append: Callable[[], Awaitable[None]]) -> None:
    """Append to a stream that may still be starting.

    A first record that was stored and not confirmed may come twice: nothing stands between them.
    """
    for _ in range(_BEGIN_TRIES):
        try:
            return await append()
        except BrokerUnavailable:
            await asyncio.sleep(_BEGIN_PAUSE_SECONDS)
    return await append()


def permissions(prefix: str) -> dict[str, tuple[str, str, str]]:
    """Tell what each role may configure, write and read, as regular expressions on names.

    Binding one's own queue needs write on the queue and read on the exchange.
    """
    p = prefix.replace(".", r"\.")
    own = rf"{p}own\..*"
    bus = rf"{p}bus|{p}node"
    return {
        "front": (
            rf"^{own}$",
            rf"^({p}inbound|{bus}|{own})$",
            rf"^({p}log\..*|{p}tops\..*|{bus}|{own})$",
        ),
        "worker": (
            rf"^{own}$",
            # What follows from an entry is put into the pools by whoever worked on it.
            rf"^({p}inbound|{p}log|{p}tops|{p}dead|{bus}|{own})$",
            rf"^({p}inbound\..*|{p}log\..*|{p}tops\..*|{bus}|{own})$",
        ),
        "backend": ("^$", rf"^{p}api$", "^$"),
        # Looks at dead letters, drops them, and has entries done again.
        "operator": ("^$", rf"^{p}inbound$", rf"^{p}dead$"),
    }
