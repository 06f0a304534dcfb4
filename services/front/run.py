"""A whole front, on any broker and any sockets, until it is told to stop.

Reading down is starting, reading up is stopping; in between the order of a shutdown: readiness
fails, nothing more is accepted, sessions are sent elsewhere a few at a time, what they published is
seen off, and then it leaves.
"""

import asyncio
import random
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import structlog

from broker.clock import Clock, SystemClock
from broker.interface import Broker
from broker.producer import ANSWER_SECONDS, Producer
from broker.registry import Node
from services.front.addresses import Addresses
from services.front.app import build_app
from services.front.calls import Calls
from services.front.conflation import find_conflation
from services.front.errands import Errands
from services.front.fanout import ROUND_BYTES_AT_MOST, Fanout
from services.front.hooks import Hooks
from services.front.hub import Hub
from services.front.listening import describe_addresses, listening
from services.front.measures import Measures
from services.front.movements import Movements
from services.front.neighbours import FRONT, Neighbours
from services.front.ordering import Ordering
from services.front.outbox import Flusher
from services.front.parts import Parts
from services.front.presence import Presence
from services.front.sessions import Sessions
from services.front.single import SingleConnections
from services.front.timers import Wheel
from services.front.trimming import find_trim, trim_after_unread
from services.front.uplinks import Uplinks
from services.front.view import FrontView, all_partitions
from services.metrics import Level, Measure, serving_metrics
from services.permissions import Permissions
from services.settings import Config
from services.wire.errors import Disconnect

_log = structlog.get_logger(__name__)

_SWEEP_EVERY_SECONDS: Final = 1.0


async def run_front(
    config: Config, broker: Broker, sockets: Sequence[socket.socket], stop: asyncio.Event
) -> None:
    """Serve clients until `stop` is set, then send them elsewhere and leave.

    Raises:
        TopologyProblem: in an exception group: the broker is not as the settings say.

    Cancelling: as if the process had died.
    """
    fanout, parts = assemble(config, broker)
    async with (
        running(parts, fanout),
        listening(build_app(parts), sockets, config.front.backlog) as accepting,
    ):
        with serving_metrics(
            config.front.internal_host, config.front.internal_port, _measures(parts)
        ):
            await _serve_until(stop, config, sockets, parts, accepting)


async def _serve_until(
    stop: asyncio.Event,
    config: Config,
    sockets: Sequence[socket.socket],
    parts: Parts,
    accepting: AsyncExitStack,
) -> None:
    _log.info("listening", addresses=describe_addresses(sockets), version=parts.version)
    await stop.wait()
    parts.sessions.is_draining = True
    await accepting.aclose()
    _log.info("draining", sessions=len(parts.sessions), seconds=config.front.drain_seconds)
    await parts.sessions.disconnect_all(Disconnect.SHUTDOWN, config.front.drain_seconds)
    with suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            await parts.producer.drain()


def _measures(parts: Parts) -> list[Measure]:
    return [
        *parts.measures.all(),
        Level("front_sessions", "Sessions here now.", lambda: len(parts.sessions)),
        Level("front_subscriptions", "Subscriptions here now.", lambda: parts.hub.subscriptions),
        Level(
            "front_waiting_entries",
            "Publishes that wait for their batch.",
            lambda: parts.producer.waiting_entries,
        ),
    ]


def assemble(
    config: Config,
    broker: Broker,
    *,
    clock: Clock | None = None,
    wall_clock: Callable[[], float] = time.time,
    jitter: Callable[[float, float], float] = random.uniform,
) -> tuple[Fanout, Parts]:
    """Make a front's parts; nothing of it runs yet. Needs a running loop."""
    clock = clock or SystemClock()
    permissions = Permissions(config)
    measures = Measures()
    hub = Hub()
    # A quarter: whoever has read what came before is not too slow for the next round.
    round_bytes = min(ROUND_BYTES_AT_MOST, config.client.queue_max_size // 4)
    addresses = Addresses(config, permissions)
    fanout = Fanout(hub, measures, round_bytes, find_conflation(config, addresses, clock))
    counts = {name: lane.partitions for name, lane in config.lanes.items()}
    producer = Producer(broker, secrets.token_hex(8), all_partitions(counts))
    node = Node(broker.node_id, FRONT, socket.gethostname(), tuple(config.lanes), wall_clock())
    neighbours = Neighbours(broker.bus, node, clock=clock, jitter=lambda: jitter(0.0, 1.0))
    errands = Errands(neighbours)
    presence = Presence(hub, neighbours, measures, clock=clock)
    sessions = Sessions(config.client.connection_limit)
    ordering = Ordering(sessions, measures, clock=clock)
    personal = config.client.subscribe_to_user_personal_channel
    return fanout, Parts(
        config=config,
        permissions=permissions,
        addresses=addresses,
        view=FrontView(broker, config, hub, fanout, producer, ordering.carry_out),
        hub=hub,
        producer=producer,
        calls=Calls(config, producer, measures),
        ordering=ordering,
        hooks=Hooks(neighbours, measures, config.app.hook_timeout, clock=clock),
        neighbours=neighbours,
        presence=presence,
        movements=Movements(addresses, neighbours, presence, measures),
        errands=errands,
        uplinks=Uplinks(errands, config.client.queue_max_size),
        sessions=sessions,
        singles=SingleConnections(
            sessions, neighbours, is_wanted=personal.single_connection, clock=clock
        ),
        wheel=Wheel(clock),
        monotonic=clock.monotonic,
        flusher=Flusher(),
        measures=measures,
        wall_clock=wall_clock,
        jitter=jitter,
        version=_version(),
    )


@asynccontextmanager
async def running(parts: Parts, fanout: Fanout) -> AsyncIterator[None]:
    """Keep everything going that a front does by itself.

    Raises:
        TopologyProblem: in an exception group: the broker is not as the settings say.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            endless = [
                tasks.create_task(parts.producer.run()),
                tasks.create_task(parts.wheel.run()),
                tasks.create_task(fanout.run()),
                tasks.create_task(_sweep(parts.view)),
                tasks.create_task(trim_after_unread(parts.measures, find_trim())),
                *(tasks.create_task(reader.run()) for reader in parts.view.readers),
                tasks.create_task(parts.neighbours.run()),
                tasks.create_task(parts.presence.run()),
                tasks.create_task(parts.movements.run()),
                tasks.create_task(parts.hooks.run()),
                tasks.create_task(parts.ordering.run()),
                tasks.create_task(parts.uplinks.run()),
            ]
            try:
                yield
            finally:
                for task in endless:
                    task.cancel()
    finally:
        await parts.neighbours.leave()


async def _sweep(view: FrontView) -> None:
    while True:
        await asyncio.sleep(_SWEEP_EVERY_SECONDS)
        view.sweep()


def _version() -> str:
    try:
        return version("forebay")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"
