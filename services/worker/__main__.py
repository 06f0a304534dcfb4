"""Runs a worker: `python -m services.worker`, or `forebay worker`.

Reading down is starting, reading up is stopping.
"""

import asyncio
import socket
import sys
from collections.abc import Sequence

import click

from broker.errors import TopologyProblem
from broker.rabbitmq import RabbitSettings, open_rabbitmq
from broker.registry import Node, open_registry
from services.config import Config, development_config, load_config
from services.failing import run_to_exit_code
from services.lifecycle import run_loop, stop_requested
from services.logs import configure_logs
from services.worker.app import run_worker


async def work(config: Config) -> None:
    """Work until the process is told to stop.

    Raises:
        TopologyProblem: the broker is not as the settings say; possibly in an exception group.
    """
    settings = RabbitSettings(
        urls=config.rabbitmq.url,
        prefix=config.rabbitmq.prefix,
        heartbeat_seconds=config.rabbitmq.worker_heartbeat_seconds,
        connection_name="forebay worker",
    )
    async with stop_requested() as stop, open_rabbitmq(settings) as broker:
        node = Node(
            id=broker.node_id,
            role="worker",
            name=socket.gethostname(),
            lanes=tuple(config.lanes),
            started_seconds=time.time(),
        )
        async with open_registry(broker.bus, node):
            await run_worker(config, broker, stop)
