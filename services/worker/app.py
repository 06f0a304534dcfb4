"""All partitions of the configured lanes, worked on by one process until it is told to stop."""

import asyncio
from functools import partial

import structlog

from broker.interface import Broker
from broker.partition import Partition
from services.settings import Config
from services.worker.counting import WorkerCounters
from services.worker.deciding import Deciding
from services.worker.handling.interface import Handling
from services.worker.hooks import Answering
from services.worker.partition import PartitionWorker
from services.worker.sharing import Sharing

_log = structlog.get_logger(__name__)


async def run_worker(
    config: Config,
    broker: Broker,
    stop: asyncio.Event,
    counters: WorkerCounters,
    handling: Handling | None = None,
) -> None:
    """Work until `stop` is set, then finish what is in flight and leave every partition.

    Raises:
        TopologyProblem: in an exception group: the broker is not as the settings say.

    Cancelling: as if the process had died; nothing acknowledged is lost.
    """
    deciding = Deciding(config, handling)
    answering = None if handling is None else Answering(broker, handling)
    sharing = Sharing(broker, None if answering is None else answering.hear)
    workers = {
        partition: PartitionWorker(
            broker,
            partition,
            config,
            deciding,
            counters,
            partial(sharing.stood, partition),
            handling,
        )
        for lane, settings in config.lanes.items()
        for partition in (Partition(lane, number) for number in range(settings.partitions))
    }
    async with asyncio.TaskGroup() as tasks:
        for worker in workers.values():
            tasks.create_task(worker.run())
        answers = None if answering is None else tasks.create_task(answering.run())
        async with sharing.taking_part(workers):
            await stop.wait()
        # Fronts know that it has left, and ask others.
        if answers is not None:
            answers.cancel()
        _log.info("leaving", partitions=len(workers))
        for worker in workers.values():
            worker.leave()
