"""The RabbitMQ that `make up` uses: one that is configured, a container's, or a private node.

Rules: what was found running is left running; what was started here is stopped here; passwords are
made once and kept, readable by their owner only, beside the node's data.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from broker.errors import BrokerUnavailable
from broker.local.files import ADMIN_USER, SHARED, VHOST, NodeFiles, NodePorts
from broker.local.install import ensure
from broker.local.node import LocalNode
from broker.local.ports import HOST, find_owner, is_free
from broker.local.process import ending_with_us
from broker.rabbitmq.topology import TopologyLimits, apply_topology
from broker.rabbitmq.users import apply_users
from services.config import Config
from services.up.say import say

IMAGE = "rabbitmq:4-management"
AMQP_PORT = 5672
MANAGEMENT_PORT = 15672
DOCKER_ANSWERS_SECONDS = 3.0  # an engine that is there answers in a tenth of that
CONTAINER_STOP_SECONDS = 20
# What the engine takes beyond that to answer "stopped" or "removed".
DOCKER_REMOVES_SECONDS = CONTAINER_STOP_SECONDS + 40.0
# A fresh container takes 10 to 20 s to accept connections, and longer on a busy machine.
BROKER_READY_SECONDS = 90.0


class ContainerFailed(Exception):
    """The Docker engine answered but did not run our container; the text is what it said."""


@dataclass(frozen=True)
class UpBroker:
    """A broker that is ready for our processes: their URLs, and what to tell a person."""

    front_urls: tuple[str, ...]
    worker_urls: tuple[str, ...]
    operator_url: str | None = None
    """For `forebay dead`; the broker's owner knows it where the broker is not ours."""
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
        async with AsyncExitStack() as stack:
            try:
                ports = await stack.enter_async_context(_container(files))
            except ContainerFailed as failure:
                say(f"no container: {failure}; using a private node instead")
            else:
                yield await _prepare(config, files, ports)
                return
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
    names = ("front", "worker", "backend", "operator")
    roles = {role: files.secret(f"{role}-password") for role in names}
    management_url = f"http://{ADMIN_USER}:{password}@{HOST}:{ports.management}"
    await asyncio.to_thread(apply_users, management_url, VHOST, config.rabbitmq.prefix, roles)
    return UpBroker(
        front_urls=(_amqp_url(ports, "front", roles["front"]),),
        worker_urls=(_amqp_url(ports, "worker", roles["worker"]),),
        operator_url=_amqp_url(ports, "operator", roles["operator"]),
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
    """Run RabbitMQ's own image, its data in a volume that belongs to this checkout.

    Two nodes on one volume would destroy its data, so the container's name is the checkout's too:
    the engine refuses a second one of that name. What an earlier, killed run left is removed first
    (whoever calls this holds the checkout's lock, so nobody uses it).

    Raises:
        ContainerFailed: it did not start; never for its stopping.
    """
    mark = sha256(str(files.directory).encode()).hexdigest()[:8]
    name = f"forebay-{mark}"
    # A node keeps the administrator that its volume was made with: a new checkout at the same
    # path, which has another password, needs another volume.
    password_mark = sha256(files.admin_password.encode()).hexdigest()[:8]
    await asyncio.to_thread(_remove, name)
    ports = _choose_ports()
    # Without --rm, which removes at some time after the stop: then the name would still be taken.
    command = [
        *("docker", "run", "--detach", "--name", name, "--hostname", "forebay"),
        *(
            "--publish",
            f"{HOST}:{ports.amqp}:5672",
            "--publish",
            f"{HOST}:{ports.management}:15672",
        ),
        *("--volume", f"forebay-{mark}-{password_mark}:/var/lib/rabbitmq"),
        *("--volume", f"{SHARED / 'rabbitmq.conf'}:/etc/rabbitmq/conf.d/20-forebay.conf:ro"),
        *("--volume", f"{SHARED / 'enabled_plugins'}:/etc/rabbitmq/enabled_plugins:ro"),
        *("--env", "RABBITMQ_DEFAULT_USER", "--env", "RABBITMQ_DEFAULT_PASS"),
        IMAGE,
    ]
    # By name only: a value in the command would be seen by everybody who lists processes.
    secret = {"RABBITMQ_DEFAULT_USER": ADMIN_USER, "RABBITMQ_DEFAULT_PASS": files.admin_password}
    say(f"starting {IMAGE} with Docker")
    try:
        await _start(command, secret)
        yield ports
    finally:
        # In a thread, which is waited for at our end: a second Ctrl-C does not leave it half done.
        await asyncio.to_thread(_remove, name)


async def _start(command: list[str], extra: dict[str, str]) -> None:
    """Run the client that pulls the image, creates the container and starts it.

    Cancelling: the client is gone when this returns, so it starts nothing after that. A container
    may be there, created or running; the caller removes it.
    """
    try:
        client = await asyncio.create_subprocess_exec(
            *ending_with_us(command),
            env={**os.environ, **extra},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ContainerFailed(str(error)) from error
    try:
        _, output = await client.communicate()
    finally:
        if client.returncode is None:
            with suppress(ProcessLookupError):  # it ended just now
                os.killpg(client.pid, signal.SIGKILL)  # its helpers too: they hold its output
            await client.wait()
    if client.returncode != 0:
        raise ContainerFailed(_reason(output.decode(errors="replace")))


def _remove(name: str) -> None:
    """Stop the container, so that its node ends in order, and remove it; none may be there."""
    for command in (
        ["docker", "stop", "-t", str(CONTAINER_STOP_SECONDS), name],
        ["docker", "rm", "--force", name],
    ):
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=DOCKER_REMOVES_SECONDS,
                check=False,
                start_new_session=True,  # Ctrl-C in the terminal is for us alone
            )
        except (OSError, subprocess.SubprocessError) as error:
            say(f"container {name}: {error}")
            continue
        if done.returncode != 0 and "no such container" not in done.stderr.lower():
            say(f"container {name}: {_reason(done.stderr)}")


def _reason(output: str) -> str:
    """Pick what failed from a client's output: progress comes before it, and advice may follow."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("docker: ")] or lines
    return said[-1] if said else "no reason"
