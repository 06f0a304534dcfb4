"""The RabbitMQ that schedules run on: one node here; a cluster looks the same from outside."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from broker.local.files import VHOST
from broker.local.node import LocalNode
from broker.rabbitmq.users import apply_users
from tests.system.deployment import Access

_ROLES = {"front": "front-1", "worker": "worker-1"}
"""Each role's user, with its password; a user has its role's least privileges."""


class Rabbit(Protocol):
    """What schedules need of a broker. What strikes it takes the node that matters most."""

    @property
    def amqp_urls(self) -> Sequence[str]:
        """Where the administrator connects by AMQP, vhost included: one URL a node."""

    @property
    def management_url(self) -> str:
        """The management API, with the administrator's user and password."""

    @property
    def log_paths(self) -> Sequence[Path]:
        """The nodes' logs."""

    async def kill(self) -> None:
        """End a node at once (SIGKILL)."""

    async def terminate(self) -> None:
        """End a node in an orderly way."""

    async def start(self) -> None:
        """Start what does not run, and wait until it serves."""

    def pause(self) -> None:
        """Freeze a node (SIGSTOP)."""

    def resume(self) -> None:
        """Let what is frozen run again."""

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

    async def kill(self) -> None:
        """See `Rabbit.kill`."""
        await self._node.kill()

    async def terminate(self) -> None:
        """See `Rabbit.terminate`."""
        await self._node.stop()

    async def start(self) -> None:
        """See `Rabbit.start`."""
        await self._node.start()

    def pause(self) -> None:
        """See `Rabbit.pause`."""
        self._node.pause()

    def resume(self) -> None:
        """See `Rabbit.resume`."""
        self._node.resume()

    async def ctl(self, *arguments: str) -> str:
        """See `Rabbit.ctl`."""
        return await self._node.ctl(*arguments)


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
