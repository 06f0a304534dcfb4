"""What the tests see of a deployment with an app: clients, the app's journal, dead letters."""

import asyncio
import json
import os
import re
import sys
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil

from broker.local.ports import HOST, find_free
from tests.system.client import Client, client_of
from tests.system.connection import UnexpectedReply
from tests.system.deployment import Access, Deployment, deployed
from tests.system.process import ROOT, ServerProcess

T = TypeVar("T")

APP = "tests.apps.team:app"
WAIT_SECONDS = 20.0
POLL_SECONDS = 0.02

CONFIG = """
[app]
timeout = "300ms"
memory_limit = "64MiB"
connect_handler = true
disconnect_handler = true

# The app's subscribe handler lets in whom nothing else does.
[[namespace]]
name = "asked"
subscribe_handler = true
presence = true
allow_presence_for_subscriber = true
allow_presence_for_anonymous = true
history_size = 100
history_ttl = "10m"
allow_publish_for_subscriber = true
"""


class Site:
    """A deployment whose workers have the app."""

    def __init__(
        self,
        deployment: Deployment,
        directory: Path,
        amqp_url: str,
        metrics_urls: Sequence[str],
    ) -> None:
        self.deployment = deployment
        self.directory = directory
        self._amqp_url = amqp_url
        self._metrics_urls = metrics_urls

    @property
    def here(self) -> str:
        """Where clients connect."""
        return self.deployment.front_urls[0]

    @property
    def there(self) -> str:
        """Where others do. It lets clients in if no handler answers."""
        return self.deployment.front_urls[1]

    def notes(self, what: str, **facts: object) -> list[dict[str, Any]]:
        """What the app noted of such tries, in order."""
        lines = (self.directory / "journal").read_bytes().splitlines()
        notes = [json.loads(line) for line in lines]
        return [note for note in notes if note["what"] == what and note.items() >= facts.items()]

    async def until_noted(self, what: str, count: int = 1, **facts: object) -> list[dict[str, Any]]:
        """Wait until the app has noted so many such tries."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                notes = self.notes(what, **facts)
                if len(notes) >= count:
                    return notes
                await asyncio.sleep(POLL_SECONDS)

    async def until_logged(self, event: str, **facts: object) -> dict[str, Any]:
        """Wait until a worker has said so, and give the line."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for worker in self.deployment.workers:
                    for line in worker.events(event):
                        if line.items() >= facts.items():
                            return line
                await asyncio.sleep(POLL_SECONDS)

    async def dead_letters(self, channel: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many letters of a channel, or a pattern, are set aside, for operators.

        Only one reads them at a time.
        """
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                letters = await self._list_dead(channel)
                if len(letters) >= count:
                    return letters
                await asyncio.sleep(POLL_SECONDS)

    def worker_of(self, app_pid: int) -> ServerProcess:
        """The worker whose app process that is."""
        parent = psutil.Process(app_pid).ppid()
        (found,) = [each for each in self.deployment.workers if each.pid == parent]
        return found

    async def count(self, name: str) -> int:
        """What the workers have counted together, as their metrics say."""
        texts = [await asyncio.to_thread(_fetch, url) for url in self._metrics_urls]
        found = re.findall(rf"^forebay_{name}(?:_total)? (\S+)$", "\n".join(texts), re.MULTILINE)
        assert len(found) == len(texts), found
        return int(sum(map(float, found)))

    async def killing_the_worker_of(self, channel: str, asking: Awaitable[T]) -> T:
        """Kill the worker whose handler has begun with a publication to a channel, while asking.

        It is started again; what was asked is answered by the other one meanwhile.
        """
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(_wait_for(asking))
            (note, *_) = await self.until_noted("publish", channel=channel)
            killed = self.worker_of(note["pid"])
            killed.kill9()
            killed.start()
        return asked.result()

    async def until_answering(self) -> None:
        """Wait until a client is let in by the front that needs the app for it."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    async with client_of(self.here):
                        return
                except UnexpectedReply:
                    await asyncio.sleep(POLL_SECONDS)

    async def until_handled_more(self, count: int) -> None:
        """Wait until so many more tries have been noted."""
        before = len(self.notes("publish"))
        await self.until_noted("publish", before + count)

    async def until_started(self, worker: ServerProcess) -> None:
        """Wait until a worker that was started again says that its app was, too."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                pids = [line["pid"] for line in worker.events("app process started")]
                if pids and psutil.pid_exists(pids[-1]):
                    return
                await asyncio.sleep(POLL_SECONDS)

    def mend(self, channel: str) -> None:
        """Have the app fail in this channel no more."""
        (self.directory / f"mended-{channel.replace(':', '-')}").touch()

    async def dead(self, *arguments: str) -> str:
        """Do with dead letters what an operator does on the command line."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("FOREBAY_")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "forebay", "dead", *arguments, "--url", self._amqp_url),
            cwd=ROOT,
            env={**inherited, "FOREBAY_CONFIG": str(self.directory / "forebay.toml")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    async def _list_dead(self, channel: str) -> list[dict[str, Any]]:
        listed = await self.dead("list", "--json", "--channel", channel)
        return [json.loads(line) for line in listed.splitlines()]


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:
        text: str = response.read().decode()
    return text


async def _wait_for(asking: Awaitable[T]) -> T:
    return await asking


@asynccontextmanager
async def running_site(directory: Path, amqp_url: str, prefix: str) -> AsyncIterator[Site]:
    """Run two fronts and two workers with the app."""
    ports = find_free(2)
    variables: dict[str, Mapping[str, str]] = {
        f"worker-{number}": {
            "APPS_JOURNAL": str(directory / "journal"),
            "FOREBAY_WORKER__INTERNAL_PORT": str(port),
            "FOREBAY_WORKER__INTERNAL_HOST": HOST,
            "FOREBAY_APP__TIMEOUT": "300ms",
        }
        for number, port in enumerate(ports)
    }
    variables["front-1"] = {"FOREBAY_APP__HOOK_UNANSWERED": "allow"}
    async with deployed(
        directory,
        Access(amqp_url, amqp_url, amqp_url),
        prefix=prefix,
        app=APP,
        more_config=CONFIG,
        variables=variables,
    ) as deployment:
        yield Site(
            deployment, directory, amqp_url, [f"http://{HOST}:{port}/metrics" for port in ports]
        )


def fresh(name: str, namespace: str = "open") -> str:
    """A channel that nobody has used before."""
    return f"{namespace}:{uuid.uuid4().hex[:12]}-{name}"


def publish(channel: str, n: int = 0, **wish: object) -> dict[str, Any]:
    """The command that publishes what the app is to do something with."""
    return {"publish": {"channel": channel, "data": {"n": n, **wish}}}


async def received(client: Client, channel: str) -> list[Any]:
    """What a subscriber is told in a channel, up to what is marked with `n` of 99.

    A publication with that mark is published first: what is pushed comes in order.
    """
    reply = await client.ask(**publish(channel, 99))
    assert "publish" in reply, reply
    heard: list[Any] = []
    while True:
        data = (await client.until_pushed(channel, "pub"))["data"]
        if data.get("n") == 99:
            return heard
        heard.append(data)


@asynccontextmanager
async def two_clients(site: Site) -> AsyncIterator[tuple[Client, Client]]:
    """One client at each front."""
    async with client_of(site.here) as here, client_of(site.there) as there:
        yield here, there
