"""The RabbitMQ that `make up` uses: one that is configured, a container's, or a private node.

Rules: what was found running is left running; what was started here is stopped here; passwords are
made once and kept, readable by their owner only, beside the node's data.
"""

import asyncio
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from broker.errors import BrokerUnavailable
from broker.local.files import ADMIN_USER, SHARED, VHOST, NodeFiles, NodePorts
from broker.local.install import ensure
from broker.local.node import LocalNode
from broker.local.ports import HOST, find_owner, is_free
from broker.rabbitmq.topology import TopologyLimits, apply_topology
from broker.rabbitmq.users import apply_users
from services.config import Config
from services.up.say import say

IMAGE = "rabbitmq:4-management"
AMQP_PORT = 5672
MANAGEMENT_PORT = 15672
DOCKER_ANSWERS_SECONDS = 3.0  # an engine that is there answers in a tenth of that
# A fresh container takes 10 to 20 s to accept connections, and longer on a busy machine.
BROKER_READY_SECONDS = 90.0


class ContainerFailed(Exception):
    """The Docker engine answered but did not run our container; the text is what it said."""


@dataclass(frozen=True)
class UpBroker:
    """A broker that is ready for our processes: their URLs, and what to tell a person."""

    front_urls: tuple[str, ...]
    worker_urls: tuple[str, ...]
    management_url: str | None = None
    admin_password: str | None = None


@asynccontextmanager
async def open_broker(config: Config, directory: Path) -> AsyncIterator[UpBroker]:
    """Have a broker with Forebay's queues and users in it.

    Cancelling: what was started is stopped.

    Raises:
        MayNotInstall: there is none and we may not install one.
        NodeFailed: the private node did not start.
        BrokerUnavailable: it does not accept connections.
        TopologyProblem: something in it is not as it should be.
    """
    if config.rabbitmq.url:
        say("using the RabbitMQ that is configured")
        await _apply(config, config.rabbitmq.url)
        yield UpBroker(config.rabbitmq.url, config.rabbitmq.url)
        return
    files = NodeFiles(directory)
    if await asyncio.to_thread(_docker_answers):
        try:
            async with _container(files) as ports:
                yield await _prepare(config, files, ports)
            return
        except ContainerFailed as failure:
            say(f"no container: {failure}; using a private node instead")
    ensure("rabbitmq")
    ports = _choose_ports()
    node = LocalNode(directory, ports=ports)
    say(f"starting a private RabbitMQ {'.'.join(map(str, node.version))} in {directory}")
    async with node:
        yield await _prepare(config, files, ports)


async def _prepare(config: Config, files: NodeFiles, ports: NodePorts) -> UpBroker:
    """Declare everything in a broker of our own, and make least-privilege users for the roles."""
    password = files.admin_password
    await _apply(config, (_amqp_url(ports, ADMIN_USER, password),))
    roles = {role: files.secret(f"{role}-password") for role in ("front", "worker", "backend")}
    management_url = f"http://{ADMIN_USER}:{password}@{HOST}:{ports.management}"
    await asyncio.to_thread(apply_users, management_url, VHOST, config.rabbitmq.prefix, roles)
    return UpBroker(
        front_urls=(_amqp_url(ports, "front", roles["front"]),),
        worker_urls=(_amqp_url(ports, "worker", roles["worker"]),),
        management_url=f"http://{HOST}:{ports.management}",
        admin_password=password,
    )


async def _apply(config: Config, admin_urls: tuple[str, ...]) -> None:
    """Apply the topology, waiting for a broker that is still starting."""
    limits = TopologyLimits(
        inbound_max_bytes=config.rabbitmq.inbound_max_bytes,
        log_max_bytes=config.rabbitmq.log_max_bytes,
        log_max_age_seconds=int(config.rabbitmq.log_max_age),
    )
    lanes = {name: lane.partitions for name, lane in config.lanes.items()}
    deadline = time.monotonic() + BROKER_READY_SECONDS
    while True:
        try:
            await apply_topology(
                admin_urls, prefix=config.rabbitmq.prefix, lanes=lanes, limits=limits
            )
        except BrokerUnavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(1)
        else:
            return


def _choose_ports() -> NodePorts:
    """RabbitMQ's usual ports where they are free, so that other tools find it; else free ones."""
    amqp = AMQP_PORT if is_free(AMQP_PORT) else None
    management = MANAGEMENT_PORT if is_free(MANAGEMENT_PORT) else None
    for usual, chosen in ((AMQP_PORT, amqp), (MANAGEMENT_PORT, management)):
        if chosen is None:
            owner = find_owner(usual) or "another process"
            say(f"port {usual} is in use by {owner}; taking another")
    return NodePorts.find(amqp=amqp, management=management)


def _amqp_url(ports: NodePorts, user: str, password: str) -> str:
    return f"amqp://{user}:{password}@{HOST}:{ports.amqp}/{VHOST}"


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    command = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        asked = subprocess.run(
            command, capture_output=True, timeout=DOCKER_ANSWERS_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0 and bool(asked.stdout.strip())


@asynccontextmanager
async def _container(files: NodeFiles) -> AsyncIterator[NodePorts]:
    """Run RabbitMQ's own image, its data in a volume that belongs to this checkout."""
    mark = sha256(str(files.directory).encode()).hexdigest()[:8]
    name = f"forebay-{mark}-{secrets.token_hex(2)}"
    ports = _choose_ports()
    command = [
        *("docker", "run", "--detach", "--rm", "--name", name, "--hostname", "forebay"),
        *(
            "--publish",
            f"{HOST}:{ports.amqp}:5672",
            "--publish",
            f"{HOST}:{ports.management}:15672",
        ),
        *("--volume", f"forebay-{mark}:/var/lib/rabbitmq"),
        *("--volume", f"{SHARED / 'rabbitmq.conf'}:/etc/rabbitmq/conf.d/20-forebay.conf:ro"),
        *("--volume", f"{SHARED / 'enabled_plugins'}:/etc/rabbitmq/enabled_plugins:ro"),
        *("--env", "RABBITMQ_DEFAULT_USER", "--env", "RABBITMQ_DEFAULT_PASS"),
        IMAGE,
    ]
    # By name only: a value in the command would be seen by everybody who lists processes.
    secret = {"RABBITMQ_DEFAULT_USER": ADMIN_USER, "RABBITMQ_DEFAULT_PASS": files.admin_password}
    say(f"starting {IMAGE} with Docker")
    await asyncio.to_thread(_run_docker, command, secret)
    try:
        yield ports
    finally:
        await asyncio.to_thread(_run_docker, ["docker", "stop", "--time", "20", name], {})


def _run_docker(command: list[str], extra: dict[str, str]) -> None:
    done = subprocess.run(
        command, env={**os.environ, **extra}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ContainerFailed(done.stderr.strip().splitlines()[-1] if done.stderr else "no reason")
