"""kill -9 of a front under clients of both SDKs, over everything they speak: who is there is seen
again, and nobody else.

Rules: all are there at once, each kind in a room of its own, so that one front need be killed.
"""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.sdk.python_client import python_client
from tests.sdk.python_members import agree, members_of
from tests.sdk.scenarios import FOLDER
from tests.sdk.test_node_sdk import SPOKEN
from tests.system.balancer import balancing
from tests.system.deployment import TOKEN_SECRET, Deployment
from tests.system.tools import find_node

pytestmark = [pytest.mark.sdk, pytest.mark.slow, pytest.mark.timeout(120)]

SEEN_SECONDS = 1.0
# A registry entry lasts six seconds; then a question or two.
GONE_SECONDS = 8.0
READY_SECONDS = 40.0
MEMBERS = 4


def fresh_channels() -> tuple[str, str]:
    """A room, and where to read."""
    return f"room:{uuid.uuid4()}", f"open:{uuid.uuid4()}"


class NodeRun:
    """The scenario `killed.mjs` over one transport, in one encoding."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process

    async def until_ready(self) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(READY_SECONDS):
            line = await self._process.stdout.readline()
        assert line == b"ready\n", await self._rest(line)

    async def until_done(self) -> None:
        async with asyncio.timeout(READY_SECONDS):
            rest = await self._rest(b"")
            assert await self._process.wait() == 0, rest

    async def _rest(self, first: bytes) -> str:
        assert self._process.stdout is not None
        return f"{self._name}: {(first + await self._process.stdout.read()).decode()}"

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def node_run(fronts: list[str], transport: str, encoding: str) -> AsyncIterator[NodeRun]:
    process = await asyncio.create_subprocess_exec(
        find_node(FOLDER),
        "killed.mjs",
        *fresh_channels(),
        cwd=FOLDER,
        env={
            **os.environ,
            "FRONT_URLS": " ".join(fronts),
            "TOKEN_SECRET": TOKEN_SECRET,
            "TRANSPORT": transport,
            "ENCODING": encoding,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    run = NodeRun(f"{transport} in {encoding}", process)
    try:
        yield run
    finally:
        await run.end()


class PythonRun:
    """The same with the Python SDK, whose connections are WebSockets."""

    def __init__(self, fronts: list[str], *, use_protobuf: bool) -> None:
        self._fronts = fronts
        self._use_protobuf = use_protobuf
        self._is_ready = asyncio.Event()
        self._is_killed = asyncio.Event()

    async def until_ready(self) -> None:
        await self._is_ready.wait()

    def killed(self) -> None:
        self._is_killed.set()

    async def run(self) -> None:
        room, reading = fresh_channels()
        async with (
            balancing(*self._fronts) as balancer,
            python_client(self._fronts[1]) as (survivor, _),
            members_of(
                MEMBERS, balancer.url, room, reading, use_protobuf=self._use_protobuf
            ) as members,
        ):
            for member in members:
                await member.subscribe()
                await member.ready()
            await agree(survivor, room, members, SEEN_SECONDS)
            self._is_ready.set()
            await self._is_killed.wait()
            deadline = time.monotonic() + GONE_SECONDS
            for member in members:
                await member.ready()
            await agree(survivor, room, members, deadline - time.monotonic())


async def test_after_a_front_was_killed_presence_is_the_clients_own_list(
    deployment: Deployment,
) -> None:
    front, fronts = deployment.fronts[0], deployment.front_urls
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        in_python = [PythonRun(fronts, use_protobuf=flag) for flag in (False, True)]
        for run in in_python:
            tasks.create_task(run.run())
        in_node = [await stack.enter_async_context(node_run(fronts, *spoken)) for spoken in SPOKEN]
        runs: list[PythonRun | NodeRun] = [*in_python, *in_node]
        for each in runs:
            await each.until_ready()
        front.process.kill9()
        for run in in_python:
            run.killed()
        try:
            for one in in_node:
                await one.until_done()
        finally:
            front.process.start()
            await deployment.until_ready(front)
            await deployment.until_publishing(front)
