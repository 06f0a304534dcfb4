"""What is wrong with a RabbitMQ, found out by looking, and changed by nothing.

Rules
- One sentence a finding, with the next step; the same that front and worker say when they start.
- What is looked for is looked for in order; the first thing that is wrong ends the search, since
  the rest follows from it.

Not here: declaring what is missing (`topology`).
"""

import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    DeliveryError,
    ProbableAuthenticationError,
)

from broker.errors import BrokerUnavailable, TopologyProblem, UndecodableBody
from broker.partition import Partition
from broker.rabbitmq.connection import (
    check_version,
    refused_user,
    translating_amqp_errors,
    without_password,
)
from broker.rabbitmq.names import Names
from broker.rabbitmq.node import open_rabbitmq
from broker.rabbitmq.settings import RabbitSettings
from broker.rabbitmq.topology import EXCHANGES, check_partitions, is_there
from broker.record import Fence, decode_record

_CONNECT_SECONDS = 5.0

# Histories and tokens count in seconds; NTP keeps clocks within milliseconds.
_CLOCK_SECONDS = 5.0

# What each role must be able to write to. An unroutable message asks for nothing else: it is
# returned, and stored nowhere.
_WRITES: Mapping[str, Sequence[str]] = {
    "front": ("inbound", "bus", "node"),
    "worker": ("inbound", "log", "tops", "dead", "bus", "node"),
}

_NEXT_STEP = "Run 'forebay topology apply' as an administrator"


async def diagnose(
    urls: Sequence[str], *, prefix: str, lanes: Mapping[str, int]
) -> AsyncIterator[str]:
    """Look at a RabbitMQ, and say what is right.

    Raises:
        BrokerUnavailable: no node answers.
        TopologyProblem: what is wrong, and what to do.
    """
    connection = await _connect(urls)
    try:
        check_version(connection)
        yield "RabbitMQ answers, accepts the user and is new enough."
        names = Names(prefix)
        await _check_queues(connection, names, lanes)
        yield f"Queues and streams are there ({', '.join(f'{k}: {n}' for k, n in lanes.items())})."
        roles = await _roles(connection, names)
        yield f"The user may do what is needed as: {', '.join(roles)}."
    finally:
        with suppress(BrokerUnavailable), translating_amqp_errors():
            await connection.close()
    if await _check_clock(urls, prefix, lanes):
        yield "The clock goes with that of those who wrote the logs."


async def _check_clock(urls: Sequence[str], prefix: str, lanes: Mapping[str, int]) -> bool:
    """Compare our clock with the newest record of each lane; False if they cannot be read by us.

    Raises:
        TopologyProblem: the record is from the future.
        BrokerUnavailable: the connection was lost.
    """
    settings = RabbitSettings(tuple(urls), prefix, connection_name="forebay doctor")
    async with open_rabbitmq(settings) as broker:
        for lane in lanes:
            log = broker.log(Partition(lane, 0))
            try:
                async with log.read(await log.end()) as reader:
                    records = await anext(aiter(reader))
            except TopologyProblem:
                return False
            ahead_seconds = _wall_seconds(records[-1].body) - time.time()
            if ahead_seconds > _CLOCK_SECONDS:
                raise TopologyProblem(
                    f"the clock here is {ahead_seconds:.0f} s behind the one by which the log of"
                    f" lane {lane!r} was written",
                    "Let NTP set the clocks of all machines: histories end, and tokens expire, by"
                    " them",
                )
    return True


def _wall_seconds(body: bytes) -> float:
    """When a record was written, by its writer's clock; 0 if that cannot be read."""
    try:
        record = decode_record(body)
    except UndecodableBody:
        return 0.0
    return record.wall_seconds if isinstance(record, Fence) else record.wall_ms / 1000


async def _connect(urls: Sequence[str]) -> AbstractConnection:
    reasons: list[str] = []
    for url in urls:
        try:
            return await aio_pika.connect(
                url,
                timeout=_CONNECT_SECONDS,
                client_properties={"connection_name": "forebay doctor"},
            )
        except (AuthenticationError, ProbableAuthenticationError) as error:
            raise refused_user(url) from error
        except (AMQPError, ChannelInvalidStateError, OSError) as error:
            reasons.append(f"{without_password(url)}: {str(error) or type(error).__name__}")
    raise BrokerUnavailable("; ".join(reasons) or "no AMQP URL is configured")


async def _check_queues(
    connection: AbstractConnection, names: Names, lanes: Mapping[str, int]
) -> None:
    with translating_amqp_errors():
        for lane, count in lanes.items():
            await check_partitions(connection, names, lane, count)
            for partition in (Partition(lane, number) for number in range(count)):
                for queue in (
                    names.inbound(partition),
                    names.log(partition),
                    names.tops(partition),
                ):
                    await _check_queue(connection, queue, names)
        await _check_queue(connection, names.dead, names)
        for role in EXCHANGES:
            await _check_exchange(connection, names.exchange(role))


async def _check_queue(connection: AbstractConnection, queue: str, names: Names) -> None:
    if await is_there(connection, queue):
        return
    await _check_streams(connection, names)
    raise TopologyProblem(f"the queue {queue} is not there", _NEXT_STEP)


async def _check_exchange(connection: AbstractConnection, exchange: str) -> None:
    try:
        async with connection.channel() as channel:
            await channel.get_exchange(exchange, ensure=True)
    except ChannelNotFoundEntity:
        raise TopologyProblem(f"the exchange {exchange} is not there", _NEXT_STEP) from None


async def _check_streams(connection: AbstractConnection, names: Names) -> None:
    """Check that streams can be declared; every role may declare under its own name."""
    name = names.own(f"doctor-{secrets.token_hex(4)}")
    try:
        async with connection.channel() as channel:
            queue = await channel.declare_queue(
                name, durable=True, arguments={"x-queue-type": "stream"}
            )
            await queue.delete()
    except ChannelAccessRefused:
        return  # that is said when permissions are looked at
    except (AMQPError, ChannelInvalidStateError) as error:
        raise TopologyProblem(
            f"RabbitMQ has no streams: {error}",
            "Enable them: rabbitmqctl enable_feature_flag stream_queue",
        ) from error


async def _roles(connection: AbstractConnection, names: Names) -> list[str]:
    """The roles that the user has permission for.

    Raises:
        TopologyProblem: for none.
    """
    refused: dict[str, str] = {}
    for role, exchanges in _WRITES.items():
        for exchange in map(names.exchange, exchanges):
            if not await _may_write(connection, exchange):
                refused[role] = exchange
                break
    if len(refused) == len(_WRITES):
        missing = ", nor ".join(f"as {role} to {name}" for role, name in refused.items())
        raise TopologyProblem(
            f"the user has no permission to write {missing}",
            "Use the front's or the worker's user in rabbitmq.url; 'forebay topology apply' with"
            " the URL of the management UI makes them",
        )
    return [role for role in _WRITES if role not in refused]


async def _may_write(connection: AbstractConnection, exchange: str) -> bool:
    try:
        async with connection.channel(on_return_raises=True) as channel:
            there = await channel.get_exchange(exchange, ensure=False)
            with suppress(DeliveryError):
                await there.publish(
                    aio_pika.Message(b""), f"doctor-{secrets.token_hex(8)}", mandatory=True
                )
    except (ChannelAccessRefused, ChannelInvalidStateError):
        return False
    return True
