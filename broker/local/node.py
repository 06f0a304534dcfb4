"""A RabbitMQ node of one's own: started in a folder, on loopback ports, gone when stopped.

Rules: nothing of it outlives `stop` or `kill`, nor (on Linux) the process that started it; it
disturbs no other node, having its own Erlang port mapper, cookie and folders.

Not here: what is declared in it (broker/rabbitmq/topology), installing the server (install.py).

    async with LocalNode(Path(".rabbitmq")) as node:
        connection = await aio_pika.connect(node.amqp_url)
"""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Self

from broker.local.files import ADMIN_USER, VHOST, NodeFiles, NodePorts
from broker.local.installation import Installation, find_installation
from broker.local.ports import HOST, find_owner, is_free, is_listening
from broker.local.process import ending_with_us

# A start takes 6 to 8 s on two free cores; a busy machine needs several times that.
READY_SECONDS = 90.0
# An orderly stop takes 6 s (measured on 3.10: the management agent sits out a five second limit);
# a node that hangs is killed. Where the data is not needed again, `kill` takes 0.03 s.
STOP_SECONDS = 30.0
POLL_SECONDS = 0.05
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
    ) -> None:
        self.ports = ports or NodePorts.find()
        self._files = NodeFiles(directory.resolve())
        self._installation = installation or find_installation()
        self._server: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None

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
    def pid(self) -> int | None:
        """The process of the running node."""
        return self._server.pid if self.is_running and self._server else None

    @property
    def is_running(self) -> bool:
        """Whether the node's process lives (it may be paused)."""
        return self._server is not None and self._server.poll() is None

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
            self._epmd = self._spawn(self._epmd_command())
            await self._wait_until_listening(self._epmd, [self.ports.epmd])
            # The AMQP listener opens last, when queues are recovered and plugins run.
            self._server = self._spawn([str(self._installation.server)])
            await self._wait_until_listening(self._server, [self.ports.management, self.ports.amqp])
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Shut the node down in an orderly way, or kill it when that takes too long.

        Cancelling: the node is killed.
        """
        server = self._server
        try:
            if server is not None and server.poll() is None:
                self.resume()  # a paused node could not hear the signal
                server.terminate()
                await _wait_for_end(server, STOP_SECONDS)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """End the node at once (SIGKILL), as a crash would; its folder stays as it was then."""
        for process in (self._server, self._epmd):
            if process is not None:
                _kill_session(process)
                process.wait()
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
        command = [str(self._installation.ctl), "--quiet", *arguments]
        return await asyncio.to_thread(_run_tool, command, self._environment, timeout_seconds)

    @property
    def _environment(self) -> dict[str, str]:
        return self._files.environment(self.ports)

    def _epmd_command(self) -> list[str]:
        epmd = shutil.which("epmd") or _find_erlang_epmd()
        return [epmd, "-port", str(self.ports.epmd), "-address", HOST]

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own that ends when we do."""
        with self._files.output.open("ab") as output:
            return subprocess.Popen(
                ending_with_us(command),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _check_ports(self) -> None:
        for role, port in asdict(self.ports).items():
            if not is_free(port):
                owner = find_owner(port) or "another process"
                raise PortInUse(f"port {port} ({role}) is in use by {owner}")

    async def _wait_until_listening(
        self, process: subprocess.Popen[bytes], wanted: list[int]
    ) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while wanted := [port for port in wanted if not is_listening(port)]:
            if process.poll() is not None:
                raise NodeFailed(f"the node ended while it started\n{self._tail()}")
            if time.monotonic() > deadline:
                raise NodeFailed(f"the node was not ready in {READY_SECONDS:.0f} s\n{self._tail()}")
            await asyncio.sleep(POLL_SECONDS)

    def _tail(self) -> str:
        return "\n".join(_telling_lines(self._files.output) + _telling_lines(self._files.log))

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running and self._server is not None:
            os.killpg(self._server.pid, number)


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


async def _wait_for_end(process: subprocess.Popen[bytes], timeout_seconds: float) -> None:
    # Polled rather than awaited: a node belongs to no event loop, so a test may stop in one what a
    # fixture started in another.
    deadline = time.monotonic() + timeout_seconds
    while process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - no event to await
        await asyncio.sleep(POLL_SECONDS)


def _kill_session(leader: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started; Erlang's helpers have process groups of their own."""
    members = _session_members(leader.pid)
    if leader.poll() is None:
        os.killpg(leader.pid, signal.SIGKILL)
    for pid in members:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _session_members(session: int) -> list[int]:
    """The processes of a session but its leader (Linux; elsewhere none are seen)."""
    members = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # After the command's name, which may hold anything: state, parent, group, session.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and int(entry.name) != session:
            members.append(int(entry.name))
    return members


def _find_erlang_epmd() -> str:
    """Debian and Homebrew link epmd beside erl; other installations keep it below Erlang's root."""
    erl = shutil.which("erl")
    if erl is not None:
        for candidate in sorted(Path(erl).resolve().parent.parent.glob("**/bin/epmd")):
            return str(candidate)
    raise NodeFailed("epmd, a part of Erlang, was not found")
