"""The RabbitMQ that schedules run on, and strike: one node or a cluster of several."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from broker.local.cluster import LocalCluster
from broker.local.files import VHOST
from broker.local.node import LocalNode
from broker.rabbitmq.users import apply_users
from tests.system.deployment import Access

_ROLES = {"front": "front-1", "worker": "worker-1"}
"""Each role's user, with its password; a user has its role's least privileges."""


class Rabbit(Protocol):
    """What schedules need of a broker. Of several nodes, the one that leads a log is struck."""

    @property
    def amqp_urls(self) -> Sequence[str]:
        """Where the administrator connects by AMQP, vhost included: one URL a node."""

    @property
    def management_url(self) -> str:
        """The management API, with the administrator's user and password."""

    @property
    def log_paths(self) -> Sequence[Path]:
        """The nodes' logs."""

    async def kill(self, log: str) -> None:
        """End the node that leads this log at once (SIGKILL)."""

    async def terminate(self, log: str) -> None:
        """End it in an orderly way."""

    async def pause(self, log: str) -> None:
        """Freeze it (SIGSTOP)."""

    def resume(self) -> None:
        """Let what is frozen run again."""

    async def start(self) -> None:
        """Start what does not run, and wait until it serves."""

    async def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl."""


class SingleNode:
    """See `Rabbit`: one local node."""

    def __init__(self, node: LocalNode) -> None:
        self._node = node

    @property
    def amqp_urls(self) -> Sequence[str]:
        """See `Rabbit.amqp_urls`."""
        return [self._node.amqp_url]

    @property
    def management_url(self) -> str:
        """See `Rabbit.management_url`."""
        node = self._node
        credentials = f"{node.admin_user}:{node.admin_password}"
        return node.management_url.replace("://", f"://{credentials}@", 1)

    @property
    def log_paths(self) -> Sequence[Path]:
        """See `Rabbit.log_paths`."""
        return [self._node.log_path]

    async def kill(self, log: str) -> None:
        """See `Rabbit.kill`."""
        await self._node.kill()

    async def terminate(self, log: str) -> None:
        """See `Rabbit.terminate`."""
        await self._node.stop()

    async def pause(self, log: str) -> None:
        """See `Rabbit.pause`."""
        self._node.pause()

    def resume(self) -> None:
        """See `Rabbit.resume`."""
        self._node.resume()

    async def start(self) -> None:
        """See `Rabbit.start`."""
        await self._node.start()

    async def ctl(self, *arguments: str) -> str:
        """See `Rabbit.ctl`."""
        return await self._node.ctl(*arguments)


class SeveralNodes:
    """See `Rabbit`: a local cluster."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self._paused: LocalNode | None = None

    @property
    def amqp_urls(self) -> Sequence[str]:
        """See `Rabbit.amqp_urls`."""
        return self._cluster.amqp_url.split(",")

    @property
    def management_url(self) -> str:
        """See `Rabbit.management_url`."""
        cluster = self._cluster
        credentials = f"{cluster.admin_user}:{cluster.admin_password}"
        return cluster.management_url.replace("://", f"://{credentials}@", 1)

    @property
    def log_paths(self) -> Sequence[Path]:
        """See `Rabbit.log_paths`."""
        return [node.log_path for node in self._cluster.nodes]

    async def kill(self, log: str) -> None:
        """See `Rabbit.kill`."""
        await (await self._cluster.leader_of(log)).kill()

    async def terminate(self, log: str) -> None:
        """See `Rabbit.terminate`."""
        await (await self._cluster.leader_of(log)).stop()

    async def pause(self, log: str) -> None:
        """See `Rabbit.pause`."""
        self._paused = await self._cluster.leader_of(log)
        self._paused.pause()

    def resume(self) -> None:
        """See `Rabbit.resume`."""
        if self._paused is not None:
            self._paused.resume()

    async def start(self) -> None:
        """See `Rabbit.start`."""
        await self._cluster.start()

    async def ctl(self, *arguments: str) -> str:
        """See `Rabbit.ctl`."""
        return await self._cluster.ctl(*arguments)


def access_by_roles(rabbit: Rabbit, prefix: str) -> Access:
    """Make the roles' users; let each process be its role's own."""
    apply_users(rabbit.management_url, VHOST, prefix, _ROLES)

    def urls_of(role: str) -> str:
        places = [urlsplit(url) for url in rabbit.amqp_urls]
        return ",".join(
            f"amqp://{role}:{_ROLES[role]}@{place.hostname}:{place.port}{place.path}"
            for place in places
        )

    return Access(",".join(rabbit.amqp_urls), urls_of("front"), urls_of("worker"))
