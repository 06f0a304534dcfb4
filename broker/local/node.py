"""A RabbitMQ node of one's own: started in a folder, on loopback ports, gone when stopped.

Rules: nothing of it outlives `stop` or `kill`, nor (on Linux) the process that started it; it
disturbs no other node, having its own Erlang port mapper, cookie and folders.

Not here: what is declared in it (broker/rabbitmq/topology), installing the server (install.py).

    async with LocalNode(Path(".rabbitmq")) as node:
        connection = await aio_pika.connect(node.amqp_url)
"""

import asyncio
import signal
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Self

from broker.local.child import POLL_SECONDS, Child
from broker.local.files import ADMIN_USER, VHOST, Membership, NodeFiles, NodePorts
from broker.local.installation import Installation, find_installation
from broker.local.ports import HOST, find_owner, is_free, is_listening

# A start takes 6 to 8 s on two free cores; a busy machine needs several times that.
READY_SECONDS = 90.0
# An orderly stop takes 6 s (measured on 3.10: the management agent sits out a five second limit);
# a node that hangs is killed. Where the data is not needed again, `kill` takes 0.03 s.
STOP_SECONDS = 30.0
TAIL_LINES = 30
TAIL_BYTES = 20_000


class NodeFailed(Exception):
    """A node ended or hung while it started; the text has the end of its log."""


class PortInUse(NodeFailed):
    """A port that the node was to listen on is taken; the text says by whom."""


class ControlFailed(Exception):
    """rabbitmqctl answered with an error; the text is what it said."""


class LocalNode:
    """One private node. Its folder keeps data and secrets, so a later start goes on from there."""

    def __init__(
        self,
        directory: Path,
        *,
        ports: NodePorts | None = None,
        installation: Installation | None = None,
        membership: Membership | None = None,
    ) -> None:
        """Of a cluster's node, `ports.epmd` is that of its cluster, which keeps it listening."""
        self.ports = ports or NodePorts.find()
        self._files = NodeFiles(directory.resolve(), membership)
        self._installation = installation or find_installation()
        self._server: Child | None = None
        self._epmd: Child | None = None

    @property
    def name(self) -> str:
        """What the node is called among the nodes of its cluster."""
        return self._environment["RABBITMQ_NODENAME"]

    @property
    def admin_user(self) -> str:
        """The name of the administrator."""
        return ADMIN_USER

    @property
    def admin_password(self) -> str:
        """The administrator's password."""
        return self._files.admin_password

    @property
    def amqp_url(self) -> str:
        """Where the administrator connects by AMQP, vhost included."""
        return self.amqp_url_for(self.admin_user, self.admin_password)

    @property
    def management_url(self) -> str:
        """The management UI and HTTP API, without user and password."""
        return f"http://{HOST}:{self.ports.management}"

    @property
    def version(self) -> tuple[int, int, int]:
        """The server's version."""
        return self._installation.version

    @property
    def log_path(self) -> Path:
        """The node's log."""
        return self._files.log

    @property
    def data_path(self) -> Path:
        """The folder of what the node stores; there is none before its first start."""
        return self._files.data

    @property
    def pid(self) -> int | None:
        """The process of the running node."""
        return self._server.pid if self._server and self._server.is_running else None

    @property
    def is_running(self) -> bool:
        """Whether the node's process lives (it may be paused)."""
        return self._server is not None and self._server.is_running

    def amqp_url_for(self, user: str, password: str) -> str:
        """Where another user connects by AMQP; `password` must need no URL escaping."""
        return f"amqp://{user}:{password}@{HOST}:{self.ports.amqp}/{VHOST}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the node and wait until it accepts connections.

        Cancelling: the half-started node is killed.

        Raises:
            PortInUse: somebody else listens on one of its ports.
            NodeFailed: it ended, or was not ready in time.
        """
        if self.is_running:
            return
        self._check_ports()
        self._files.write(self.ports)
        try:
            # Erlang starts a port mapper of its own, a daemon that stays for ever, where none
            # listens yet. So ours must listen first.
            if self._has_own_epmd:
                self._epmd = self._spawn(*epmd_command(self._installation, self.ports.epmd))
                await self._wait_until_listening(self._epmd, [self.ports.epmd])
            # The AMQP listener opens last, when queues are recovered and plugins run.
            self._server = self._spawn(str(self._installation.server))
            await self._wait_until_listening(self._server, [self.ports.management, self.ports.amqp])
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Shut the node down in an orderly way, or kill it when that takes too long.

        Cancelling: the node is killed.
        """
        try:
            if self._server is not None:
                self.resume()  # a paused node could not hear the signal
                await self._server.terminate(STOP_SECONDS)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """End the node at once (SIGKILL), as a crash would; its folder stays as it was then."""
        for process in (self._server, self._epmd):
            if process is not None:
                process.kill()
        self._server = self._epmd = None

    async def restart(self) -> None:
        """Stop in an orderly way and start again on the same folder and ports."""
        await self.stop()
        await self.start()

    def pause(self) -> None:
        """Freeze the node (SIGSTOP): its sockets stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen node go on."""
        self._signal(signal.SIGCONT)

    async def ctl(self, *arguments: str, timeout_seconds: float = 60.0) -> str:
        """Run rabbitmqctl against this node and answer what it printed.

        Each call starts an Erlang machine of its own: 0.4 s. Commands about queues, exchanges or
        permissions need `-p forebay`.

        Raises:
            ControlFailed: it failed or took too long; the text is what it said.
        """
        words = [str(self._installation.ctl), "--quiet", *arguments]
        command = self._installation.command(words, self._files.home)
        return await asyncio.to_thread(_run_tool, command, self._environment, timeout_seconds)

    @property
    def _environment(self) -> dict[str, str]:
        return self._files.environment(self.ports)

    @property
    def _has_own_epmd(self) -> bool:
        return self._files.membership is None

    def _spawn(self, *words: str) -> Child:
        command = self._installation.command(words, self._files.home)
        return Child(command, self._environment, self._files.output)

    def _check_ports(self) -> None:
        for role, port in asdict(self.ports).items():
            if (role != "epmd" or self._has_own_epmd) and not is_free(port):
                owner = find_owner(port) or "another process"
                raise PortInUse(f"port {port} ({role}) is in use by {owner}")

    async def _wait_until_listening(self, process: Child, wanted: list[int]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while wanted := [port for port in wanted if not is_listening(port)]:
            if not process.is_running:
                raise NodeFailed(f"the node ended while it started\n{self._tail()}")
            if time.monotonic() > deadline:
                raise NodeFailed(f"the node was not ready in {READY_SECONDS:.0f} s\n{self._tail()}")
            await asyncio.sleep(POLL_SECONDS)

    def _tail(self) -> str:
        return "\n".join(_telling_lines(self._files.output) + _telling_lines(self._files.log))

    def _signal(self, number: signal.Signals) -> None:
        if self._server is not None:
            self._server.signal(number)


def epmd_command(installation: Installation, port: int) -> list[str]:
    """How to run a port mapper that only this machine can ask."""
    return [installation.epmd, "-port", str(port), "-address", HOST]


def _telling_lines(path: Path) -> list[str]:
    """The lines from the first error of the latest start on, or else the last ones."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    # Erlang repeats a failed start's reason in every crash report that follows the first error.
    first = next((at for at, line in enumerate(lines) if "[error]" in line), -TAIL_LINES)
    return lines[first:][:TAIL_LINES]


def _run_tool(command: list[str], environment: dict[str, str], timeout_seconds: float) -> str:
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ControlFailed(f"no answer in {timeout_seconds:.0f} s") from error
    if done.returncode != 0:
        raise ControlFailed((done.stdout + done.stderr).strip())
    return done.stdout
