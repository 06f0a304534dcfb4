"""A deployment with a proxy on every way: where schedules take place, one after the other.

    async with open_arena(directory, SingleNode(node)) as arena:
        ... arena.workers, arena.front_urls ...

Rules: every process reaches each RabbitMQ node through a proxy of its own, and clients reach each
front through one; so whatever passes is seen, and any way can be struck alone.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from broker.local.ports import HOST
from tests.faults.proxy.amqp import AmqpInspector, ProcessTrail
from tests.faults.proxy.proxy import Proxy, proxying
from tests.faults.proxy.websocket import WebSocketInspector
from tests.faults.rabbit import Rabbit, access_by_roles
from tests.system.deployment import Deployment, Front, deployed
from tests.system.process import ServerProcess

FRONTS = 2
WORKERS = 3


@dataclass(eq=False)
class Member:
    """A process, and the ways between it and the broker."""

    process: ServerProcess
    ways: list[Proxy]
    is_struck: bool = False
    """Whether something is being done to it."""

    @property
    def name(self) -> str:
        """The process's name."""
        return self.process.name

    def cut(self) -> None:
        """Lose its broker connections."""
        for way in self.ways:
            way.cut()


@dataclass(eq=False)
class FrontMember(Member):
    """A front, and the way from its clients to it."""

    front: Front | None = None
    clients: Proxy | None = None

    @property
    def direct_url(self) -> str:
        """Where clients connect whom the proxy could not read."""
        assert self.front is not None
        return self.front.url

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self.clients is not None
        return urlsplit(self.direct_url)._replace(netloc=f"{HOST}:{self.clients.port}").geturl()


@dataclass
class Arena:
    """Running processes and their proxies; `open_arena` makes one."""

    rabbit: Rabbit
    prefix: str
    directory: Path
    deployment: Deployment
    workers: list[Member]
    fronts: list[FrontMember]

    @property
    def members(self) -> list[Member]:
        """All processes."""
        return [*self.workers, *self.fronts]

    @property
    def front_urls(self) -> list[str]:
        """Where clients connect."""
        return [front.url for front in self.fronts]

    @property
    def proxies(self) -> Iterator[Proxy]:
        """All of them."""
        for member in self.members:
            yield from member.ways
        for front in self.fronts:
            assert front.clients is not None
            yield front.clients

    def member_of(self, proxy: Proxy) -> Member:
        """Whose way this is."""
        for front in self.fronts:
            if front.clients is proxy:
                return front
        return next(member for member in self.members if proxy in member.ways)

    @property
    def unsettled(self) -> int:
        """How many deliveries the workers have that they did not acknowledge."""
        return sum(
            line.inspector.unsettled
            for worker in self.workers
            for way in worker.ways
            for line in way.lines
            if isinstance(line.inspector, AmqpInspector)
        )


@asynccontextmanager
async def open_arena(
    directory: Path,
    rabbit: Rabbit,
    *,
    fronts: int = FRONTS,
    workers: int = WORKERS,
    app: str = "",
) -> AsyncIterator[Arena]:
    """Run a deployment of its own, behind proxies, until the context ends; with an app, if named.

    Raises:
        NotReady: a process ended or hung while it started.
    """
    prefix = f"f{secrets.token_hex(3)}."
    access = await asyncio.to_thread(access_by_roles, rabbit, prefix)
    nodes = [urlsplit(url) for url in rabbit.amqp_urls]
    names = [f"worker-{number}" for number in range(workers)]
    names += [f"front-{number}" for number in range(fronts)]
    async with AsyncExitStack() as stack:
        ways = {name: await _open_ways(stack, name, nodes, prefix) for name in names}
        route = partial(_through, ways)
        deployment = await stack.enter_async_context(
            deployed(
                directory,
                access,
                prefix=prefix,
                fronts=fronts,
                workers=workers,
                route=route,
                app=app,
            )
        )
        members = [Member(process, ways[process.name]) for process in deployment.workers]
        front_members = []
        for front in deployment.fronts:
            name = front.process.name
            clients = await stack.enter_async_context(
                proxying(f"clients of {name}", HOST, front.port, WebSocketInspector)
            )
            front_members.append(FrontMember(front.process, ways[name], False, front, clients))
        yield Arena(rabbit, prefix, directory, deployment, members, front_members)


async def _open_ways(
    stack: AsyncExitStack, name: str, nodes: list[SplitResult], prefix: str
) -> list[Proxy]:
    trail = ProcessTrail()
    ways = []
    for node in nodes:
        assert node.hostname is not None
        assert node.port is not None
        proxy = proxying(name, node.hostname, node.port, partial(AmqpInspector, trail, prefix))
        ways.append(await stack.enter_async_context(proxy))
    return ways


def _through(ways: dict[str, list[Proxy]], name: str, urls: str) -> str:
    """Replace the nodes' addresses by those of the process's own proxies."""
    routed = []
    for url, way in zip(urls.split(","), ways[name], strict=True):
        place = urlsplit(url)
        credentials = place.netloc.rpartition("@")[0]
        routed.append(place._replace(netloc=f"{credentials}@{HOST}:{way.port}").geturl())
    return ",".join(routed)
