"""A RabbitMQ cluster of one's own on this machine: nodes that die, freeze and come back one by one.

Rules: the nodes share a port mapper and secrets, all below the cluster's one folder; as with a
single node, nothing outlives `stop` or `kill`, nor (on Linux) the process that started it.

    async with LocalCluster(folder) as cluster:
        leader = await cluster.leader_of("forebay.log.main.0")
        await leader.kill()
"""

import asyncio
import time
from pathlib import Path
from typing import Self

from broker.local.child import POLL_SECONDS, Child
from broker.local.files import ADMIN_USER, VHOST, Membership, NodeFiles, NodePorts
from broker.local.installation import Installation, find_installation
from broker.local.node import ControlFailed, LocalNode, NodeFailed, epmd_command
from broker.local.ports import find_free, is_listening

SIZE = 3
EPMD_SECONDS = 10.0
FORMED_SECONDS = 60.0

# What a deployment of several nodes should have as well: a node that sees only a minority of the
# others stops serving, so that there are never two halves that both take publications.
_SETTINGS = """
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {first}
cluster_partition_handling = pause_minority
"""


class LocalCluster:
    """Some private nodes, joined; the folder keeps data and secrets, as that of one node does."""

    def __init__(
        self, directory: Path, *, size: int = SIZE, installation: Installation | None = None
    ) -> None:
        self._directory = directory.resolve()
        self._installation = installation or find_installation()
        self._epmd: Child | None = None
        self._epmd_port = find_free(1)[0]
        names = [f"forebay-{number}@localhost" for number in range(size)]
        settings = _SETTINGS.format(first=names[0])
        self.nodes = [
            LocalNode(
                self._directory / name.partition("@")[0],
                ports=NodePorts.find(epmd=self._epmd_port),
                installation=self._installation,
                membership=Membership(name, self._directory, settings),
            )
            for name in names
        ]

    @property
    def admin_user(self) -> str:
        """The name of the administrator."""
        return ADMIN_USER

    @property
    def admin_password(self) -> str:
        """The administrator's password, on every node."""
        return self.nodes[0].admin_password

    @property
    def amqp_url(self) -> str:
        """Where the administrator connects by AMQP: all nodes, separated by commas."""
        return self.amqp_url_for(self.admin_user, self.admin_password)

    @property
    def management_url(self) -> str:
        """The management UI and HTTP API of a node that runs."""
        return self._running().management_url

    @property
    def is_running(self) -> bool:
        """Whether every node's process lives."""
        return all(node.is_running for node in self.nodes)

    def amqp_url_for(self, user: str, password: str) -> str:
        """Where another user connects by AMQP: all nodes, separated by commas."""
        return ",".join(node.amqp_url_for(user, password) for node in self.nodes)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start the nodes that do not run, and wait until all have joined.

        The first time one node is the beginning, which the others join; later all start at once,
        since each waits for the one that was stopped last.

        Cancelling: what was started is killed.

        Raises:
            NodeFailed: a node ended, or was not ready in time.
        """
        try:
            await self._start_epmd()
            if not any(node.data_path.exists() for node in self.nodes):
                await self.nodes[0].start()
            await asyncio.gather(*(node.start() for node in self.nodes))
            await self.until_joined()
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Shut all nodes down in an orderly way.

        Cancelling: they are killed.
        """
        try:
            await asyncio.gather(*(node.stop() for node in self.nodes))
        finally:
            await self.kill()

    async def kill(self) -> None:
        """End all nodes at once (SIGKILL)."""
        for node in self.nodes:
            await node.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd = None

    async def ctl(self, *arguments: str, timeout_seconds: float = 60.0) -> str:
        """Run rabbitmqctl against a node that runs, as `LocalNode.ctl` does."""
        return await self._running().ctl(*arguments, timeout_seconds=timeout_seconds)

    async def until_joined(self) -> None:
        """Wait until all nodes that run know each other.

        Raises:
            NodeFailed: that did not happen in time.
        """
        wanted = {node.name for node in self.nodes if node.is_running}
        deadline = time.monotonic() + FORMED_SECONDS
        while await self._members() != wanted:
            if time.monotonic() > deadline:
                raise NodeFailed(f"the nodes did not join in {FORMED_SECONDS:.0f} s")
            await asyncio.sleep(POLL_SECONDS)

    async def leader_of(self, queue: str) -> LocalNode:
        """Find the node that leads a quorum queue or a stream.

        Raises:
            LookupError: there is no such queue, or nobody leads it now.
        """
        leader, _ = await self._row_of(queue)
        return self._node_called(leader)

    async def replicas_of(self, queue: str) -> list[LocalNode]:
        """Find the nodes that have a copy of a quorum queue or a stream and take part in it.

        Raises:
            LookupError: there is no such queue.
        """
        _, online = await self._row_of(queue)
        return [node for node in self.nodes if node.name in online]

    async def _row_of(self, queue: str) -> tuple[str, str]:
        listed = await self.ctl("list_queues", "-p", VHOST, "name", "leader", "online")
        for line in listed.splitlines():
            name, _, rest = line.partition("\t")
            if name == queue:
                leader, _, online = rest.partition("\t")
                return leader, online
        raise LookupError(f"there is no queue {queue}")

    def _node_called(self, name: str) -> LocalNode:
        for node in self.nodes:
            if node.name == name:
                return node
        raise LookupError(f"no node of the cluster is called {name!r}")

    async def _members(self) -> set[str]:
        try:
            said = await self.ctl("eval", '[io:format("~s ", [N]) || N <- [node() | nodes()]].')
        except ControlFailed:  # the node that was asked is not ready for questions
            return set()
        return {node.name for node in self.nodes if node.name in said}

    def _running(self) -> LocalNode:
        for node in self.nodes:
            if node.is_running:
                return node
        raise NodeFailed("no node of the cluster runs")

    async def _start_epmd(self) -> None:
        if self._epmd is not None and self._epmd.is_running:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        # Any node's environment: what it says of the port mapper is the same in all.
        files = NodeFiles(self._directory)
        environment = files.environment(self.nodes[0].ports)
        words = epmd_command(self._installation, self._epmd_port)
        command = self._installation.command(words, self._directory)
        self._epmd = Child(command, environment, self._directory / "epmd.log")
        deadline = time.monotonic() + EPMD_SECONDS
        while not is_listening(self._epmd_port):
            if not self._epmd.is_running or time.monotonic() > deadline:
                raise NodeFailed("the cluster's port mapper did not start")
            await asyncio.sleep(POLL_SECONDS)
