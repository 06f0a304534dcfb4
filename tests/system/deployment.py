"""Fronts and workers on a RabbitMQ node, as a deployment runs them: each a process of its own.

    async with deployed(tmp_path, Access.of_admin(node), prefix="t1.") as deployment:
        ... deployment.front_urls ...

Rules: one config file for all, so that they agree; what differs (user, port) is a variable.
"""

import asyncio
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from broker.local.files import VHOST
from broker.local.ports import HOST, find_free
from broker.rabbitmq import apply_topology
from broker.rabbitmq.users import apply_users
from tests.system.connection import ConnectionLost, connected
from tests.system.process import ServerProcess

LANES = {"main": 4}
TOKEN_SECRET = "a secret of the tests, long enough for HS256"
READY_SECONDS = 30.0
POLL_SECONDS = 0.05

NOTHING_MORE: Mapping[str, Mapping[str, str]] = {}

# Channels enough that each of four partitions has some.
WARM_UP_CHANNELS = [f"open:warm-up-{number}" for number in range(16)]

CONFIG = f"""
[rabbitmq]
prefix = "{{prefix}}"

[lanes.main]
partitions = {{partitions}}

[front]
host = "{HOST}"
drain_seconds = 1

[client]
allow_anonymous_connect_without_token = true
recovery_max_publication_limit = 10000

[plain]
enabled = true

[client.token]
hmac_secret_key = "{TOKEN_SECRET}"

# Anybody may do anything, and nothing is forgotten.
[[namespace]]
name = "open"
history_size = 10000
history_ttl = "10m"
force_recovery = true
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
allow_history_for_client = true
allow_history_for_anonymous = true

# Only people with a token, and only a little is kept.
[[namespace]]
name = "members"
history_size = 5
history_ttl = "10m"
force_recovery = true
allow_subscribe_for_client = true
allow_publish_for_subscriber = true
allow_history_for_subscriber = true

# Everybody sees who is there, comes and goes.
[[namespace]]
name = "room"
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
presence = true
join_leave = true
allow_presence_for_client = true
allow_presence_for_anonymous = true

# As `open`, and answered before a worker has looked at it.
[[namespace]]
name = "hasty"
reply = "queued"
history_size = 10000
history_ttl = "10m"
force_recovery = true
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true

# Any bytes may be published.
[[namespace]]
name = "bytes"
data = "binary"
history_size = 10000
history_ttl = "10m"
force_recovery = true
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
allow_history_for_client = true
allow_history_for_anonymous = true

# As `open`; who asks for it is told what changed.
[[namespace]]
name = "document"
delta_publish = true
history_size = 10000
history_ttl = "10m"
force_recovery = true
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
allow_history_for_client = true
allow_history_for_anonymous = true

# Of many values the latest counts.
[[namespace]]
name = "latest"
history_size = 1
history_ttl = "10m"
force_recovery = true
force_recovery_mode = "cache"
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true

# The same, and nobody has to ask.
[[namespace]]
name = "gauge"
history_size = 1
history_ttl = "10m"
force_recovery = true
force_recovery_mode = "cache"
auto_cache_recover = true
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true

# Nothing is kept.
[[namespace]]
name = "fleeting"
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
allow_history_for_client = true
allow_history_for_anonymous = true
"""


class RabbitMQ(Protocol):
    """A private node (`LocalNode`) or several (`LocalCluster`), as far as its users see it."""

    @property
    def amqp_url(self) -> str:
        """Where the administrator connects; several nodes are separated by commas."""

    def amqp_url_for(self, user: str, password: str) -> str:
        """Where another user connects."""

    @property
    def management_url(self) -> str:
        """The management API, without user and password."""

    @property
    def admin_user(self) -> str:
        """The name of the administrator."""

    @property
    def admin_password(self) -> str:
        """The administrator's password."""


@dataclass(frozen=True)
class Access:
    """Who connects to RabbitMQ as whom: AMQP URLs, several separated by commas."""

    admin: str
    front: str
    worker: str

    @classmethod
    def of_admin(cls, node: RabbitMQ) -> "Access":
        """Everybody is the administrator: on a node that several deployments share."""
        return cls(node.amqp_url, node.amqp_url, node.amqp_url)

    @classmethod
    def of_roles(cls, node: RabbitMQ, prefix: str) -> "Access":
        """Each process is its role's own user, with the least privileges; makes these users."""
        management = node.management_url.replace(
            "http://", f"http://{node.admin_user}:{node.admin_password}@"
        )
        apply_users(management, VHOST, prefix, {"front": "front-1", "worker": "worker-1"})
        return cls(
            node.amqp_url,
            node.amqp_url_for("front", "front-1"),
            node.amqp_url_for("worker", "worker-1"),
        )


class NotReady(Exception):
    """A process ended or hung while it started; the text has the end of its log."""


@dataclass
class Front:
    """A front process and where it listens."""

    process: ServerProcess
    port: int

    @property
    def url(self) -> str:
        """Where clients open their WebSockets."""
        return f"ws://{HOST}:{self.port}/connection/websocket"

    def health_url(self, path: str = "/health/ready") -> str:
        """Where the front tells how it is."""
        return f"http://{HOST}:{self.port}{path}"


@dataclass
class Deployment:
    """Running processes; `deployed` makes one."""

    fronts: list[Front] = field(default_factory=list)
    workers: list[ServerProcess] = field(default_factory=list)

    @property
    def processes(self) -> list[ServerProcess]:
        """All of them."""
        return [*(front.process for front in self.fronts), *self.workers]

    @property
    def front_urls(self) -> list[str]:
        """Where clients connect."""
        return [front.url for front in self.fronts]

    def log_sections(self) -> list[tuple[str, str]]:
        """Titles and ends of all logs, for a test's report."""
        return [(f"log of {process.name}", process.tail()) for process in self.processes]

    async def until_ready(self, front: Front) -> None:
        """Wait until the front says that it is ready.

        Raises:
            NotReady: a process ended, or it did not say so in time.
        """
        await self._until(
            lambda: asyncio.to_thread(_answers_ok, front.health_url()),
            f"{front.process.name} is not ready",
        )

    async def until_publishing(self, front: Front) -> None:
        """Wait until the front has publications settled in every partition.

        Raises:
            NotReady: a process ended, or that did not happen in time.
        """
        await self._until(
            lambda: _publishes_everywhere(front.url),
            f"publishes by {front.process.name} are not settled",
        )

    async def _until(self, claim: Callable[[], Awaitable[bool]], complaint: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not await claim():
            ended = [process.name for process in self.processes if not process.is_running]
            if ended or time.monotonic() > deadline:
                logs = "\n".join(f"--- {title}\n{text}" for title, text in self.log_sections())
                raise NotReady(f"{complaint}; ended: {ended or 'none'}\n{logs}")
            await asyncio.sleep(POLL_SECONDS)


Route = Callable[[str, str], str]
"""Gives the AMQP URL by which a process, known by its name, reaches what is at another one."""


def directly(_: str, url: str) -> str:
    """Let every process connect to the broker itself."""
    return url


@asynccontextmanager
async def deployed(
    directory: Path,
    access: Access,
    *,
    prefix: str,
    fronts: int = 2,
    workers: int = 2,
    partitions: int = LANES["main"],
    route: Route = directly,
    app: str = "",
    more_config: str = "",
    variables: Mapping[str, Mapping[str, str]] = NOTHING_MORE,
) -> AsyncIterator[Deployment]:
    """Run fronts and workers until the context ends; on entering, all of them work.

    Workers have handlers if there is an `app`, which has a second for each try. A process, known by
    its name, may have further environment variables.

    Raises:
        NotReady: a process ended or hung while it started.
    """
    await apply_topology(access.admin.split(","), prefix=prefix, lanes={"main": partitions})
    config = directory / "forebay.toml"
    config.write_text(CONFIG.format(prefix=prefix, partitions=partitions) + more_config)
    deployment = Deployment()
    for number in range(workers):
        name = f"worker-{number}"
        url = route(name, access.worker)
        settings = {"FOREBAY_CONFIG": str(config), "FOREBAY_RABBITMQ__URL": url}
        settings |= {"FOREBAY_APP__PATH": app, "FOREBAY_APP__TIMEOUT": "1s"} if app else {}
        settings |= variables.get(name, {})
        deployment.workers.append(ServerProcess(name, "services.worker", settings, directory))
    for number, port in enumerate(find_free(fronts)):
        name = f"front-{number}"
        settings = {
            "FOREBAY_CONFIG": str(config),
            "FOREBAY_RABBITMQ__URL": route(name, access.front),
            "FOREBAY_FRONT__PORT": str(port),
            **variables.get(name, {}),
        }
        process = ServerProcess(name, "services.front", settings, directory)
        deployment.fronts.append(Front(process, port))
    try:
        for process in deployment.processes:
            process.start()
        for front in deployment.fronts:
            await deployment.until_ready(front)
            await deployment.until_publishing(front)
        yield deployment
    finally:
        for process in deployment.processes:
            process.kill9()


def _answers_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:  # refused, or an HTTP error, which is one too
        return False


async def _publishes_everywhere(url: str) -> bool:
    try:
        async with asyncio.timeout(10), connected(url) as connection:
            await connection.send(
                *(
                    {"id": command_id, "publish": {"channel": channel, "data": {}}}
                    for command_id, channel in enumerate(WARM_UP_CHANNELS, 2)
                )
            )
            answered = 0
            while answered < len(WARM_UP_CHANNELS):
                for reply in await connection.receive():
                    if "publish" not in reply:
                        return False
                    answered += 1
    except (ConnectionLost, TimeoutError):
        return False
    return True
