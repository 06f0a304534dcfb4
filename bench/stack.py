"""Starts what is measured: a private RabbitMQ node, worker, front, and Node's broadcast loop.

Rules: everything listens on 127.0.0.1 on free ports, writes below one temporary folder, and is gone
when the block ends.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench.clients import Endpoint
from bench.waiting import wait_until
from broker.local.node import LocalNode
from broker.local.ports import HOST, find_free, is_listening
from broker.rabbitmq.topology import apply_topology

PARTITIONS = 4
PREFIX = "forebay."
READY_SECONDS = 60.0
STOP_SECONDS = 15.0
HERE = Path(__file__).parent

CONFIG = """
[rabbitmq]
url = "{url}"
[front]
host = "{host}"
port = {port}
drain_seconds = 0
[client]
allow_anonymous_connect_without_token = true
[lanes.main]
partitions = {partitions}
[without_namespace]
history_size = 10
history_ttl = "{history_ttl}"
force_recovery = true
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
"""


class Stack:
    """A running node and worker; fronts are started as they are needed."""

    def __init__(self, node: LocalNode, worker_pid: int, folder: Path) -> None:
        self.amqp_url = node.amqp_url
        self.version = ".".join(map(str, node.version))
        self.worker_pid = worker_pid
        self._node = node
        self._folder = folder

    @property
    def node_pid(self) -> int:
        """The broker's process."""
        if self._node.pid is None:
            raise ConnectionError("the RabbitMQ node has ended")
        return self._node.pid

    @property
    def pids(self) -> dict[str, int]:
        """Whose CPU is counted, beside a front's."""
        return {"worker": self.worker_pid, "broker": self.node_pid}

    @asynccontextmanager
    async def front(self) -> AsyncIterator[tuple[Endpoint, int]]:
        """Run a front for a while; gives where it listens, and its process."""
        (port,) = find_free(1)
        config = write_config(self._folder, self.amqp_url, port)
        async with running_process(
            [sys.executable, "-m", "services.front"], "front", config
        ) as pid:
            await _wait_for(lambda: is_ready(port), "front")
            yield Endpoint(HOST, port), pid


@asynccontextmanager
async def running_stack() -> AsyncIterator[Stack]:
    """Start a node with our topology, and a worker."""
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        folder = Path(name)
        async with LocalNode(folder / "node") as node:
            await apply_topology([node.amqp_url], prefix=PREFIX, lanes={"main": PARTITIONS})
            config = write_config(folder, node.amqp_url, 0)
            command = [sys.executable, "-m", "services.worker"]
            async with running_process(command, "worker", config) as worker_pid:
                yield Stack(node, worker_pid, folder)


@asynccontextmanager
async def running_node() -> AsyncIterator[LocalNode]:
    """Start a node alone, for what needs no Forebay."""
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        async with LocalNode(Path(name)) as node:
            yield node


@asynccontextmanager
async def broadcast_loop() -> AsyncIterator[tuple[Endpoint, int]]:
    """Run the tutorial's Node server; installs `ws` at the first time."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise FileNotFoundError("node and npm are needed to compare fan-out with Node's ws")
    if not (HERE / "node_modules" / "ws").is_dir():
        install = await asyncio.create_subprocess_exec(npm, "ci", "--silent", cwd=HERE)
        if await install.wait():
            raise FileNotFoundError("npm ci failed in bench/")
    (port,) = find_free(1)
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        command = [node, str(HERE / "broadcast.js"), str(port)]
        async with running_process(command, "broadcast", Path(folder) / "none") as pid:
            await _wait_for(lambda: is_listening(port), "broadcast loop")
            yield Endpoint(HOST, port, "/"), pid


def write_config(folder: Path, url: str, port: int, history_ttl: str = "1m") -> Path:
    """Write the settings of a front that listens on `port`, or of a worker."""
    path = folder / f"forebay-{port}.toml"
    path.write_text(
        CONFIG.format(url=url, host=HOST, port=port, partitions=PARTITIONS, history_ttl=history_ttl)
    )
    return path


def _environment(config: Path) -> Mapping[str, str]:
    """Ours without any setting of the user's own Forebay."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
    return {**own, "FOREBAY_CONFIG": str(config), "PYTHONPATH": str(HERE.parent)}


@asynccontextmanager
async def running_process(command: list[str], name: str, config: Path) -> AsyncIterator[int]:
    """Run a process whose output is shown only if it ends by itself."""
    log = config.parent / f"{name}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, env=_environment(config), stdout=output, stderr=output, cwd=config.parent
        )
    try:
        yield process.pid
    except BaseException:
        print(f"--- {name}'s last lines\n{_tail(log)}", file=sys.stderr)
        raise
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-30:])


async def _wait_for(is_so: Callable[[], bool], name: str) -> None:
    if not await wait_until(is_so, READY_SECONDS):
        raise ConnectionError(f"the {name} was not ready in {READY_SECONDS:.0f} s")


def is_ready(port: int) -> bool:
    """Whether the front on this port says so."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:  # nobody listens, or an answer of 400 and more
        return False
