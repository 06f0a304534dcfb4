"""A storm of clients that come back, each asked about: `python -m bench.hooks`.

Sessions without sockets on one front, a worker and the bus in memory: CPU microseconds of the whole
process a connect, without a connect handler and with one that lets everybody in, best of several
rounds in turn. What an app process does is not in it.
"""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from broker.embedded import EmbeddedBroker
from services.front.neighbours import SETTLING_SECONDS
from services.front.parts import Parts
from services.front.run import assemble, running
from services.settings import Config
from services.worker.app import run_worker
from services.worker.counting import WorkerCounters
from services.worker.handling.interface import Kind
from tests.unit.front.handlers import Handlers, passes
from tests.unit.front.stage import Client, open_config

CLIENTS, ROUNDS = 4_000, 5
"""As many as a worker takes at once."""


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Parts]:
    """A front and a worker with handlers, which know each other."""
    node = EmbeddedBroker({name: lane.partitions for name, lane in config.lanes.items()})
    stop = asyncio.Event()
    handlers = Handlers({Kind.CONNECT: passes})
    async with node.open() as access, node.open() as for_worker, asyncio.TaskGroup() as tasks:
        tasks.create_task(run_worker(config, for_worker, stop, WorkerCounters(), handlers))
        fanout, parts = assemble(config, access)
        async with running(parts, fanout):
            async with asyncio.timeout(10):
                # Nothing tells.
                while not (parts.view.is_caught_up and parts.neighbours.with_app()):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await asyncio.sleep(SETTLING_SECONDS)
            yield parts
        stop.set()


async def storm(parts: Parts) -> float:
    """Have all clients come at once; give the CPU seconds that it took."""
    clients = [Client(parts) for _ in range(CLIENTS)]
    gc.collect()
    began = time.process_time()
    await asyncio.gather(*(client.send({"id": 1, "connect": {}}) for client in clients))
    took = time.process_time() - began
    assert all(client.session.is_connected for client in clients)
    for client in clients:
        client.session.leave()
    return took


async def measure() -> None:
    """Measure, and print."""
    without, asked = open_config(), open_config(app={"connect_handler": True})
    seconds: dict[str, list[float]] = {"without a handler": [], "with one": []}
    async with serving(without) as plain, serving(asked) as hooked:
        for _ in range(ROUNDS):
            seconds["without a handler"].append(await storm(plain))
            seconds["with one"].append(await storm(hooked))
    for name, took in seconds.items():
        sys.stdout.write(f"{name:20} {min(took) / CLIENTS * 1e6:6.1f} us of CPU a connect\n")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    asyncio.run(measure())
