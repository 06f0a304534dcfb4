"""What one test has for itself: a broker in memory, a worker, a front, and its clients."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing

import msgspec

from broker.batch import EntryKind, decode_batch
from broker.embedded import EmbeddedBroker
from broker.errors import UndecodableBody
from broker.interface import DeadLetter
from broker.partition import Partition
from forebay.testing.control import Rested, StoredDead
from services.auth import make_token
from services.front.neighbours import SETTLING_SECONDS
from services.front.parts import Parts
from services.front.run import assemble, running
from services.kit.client import KitClient
from services.kit.handling import KitHandling
from services.kit.rest import Rest
from services.settings import Config
from services.worker.app import run_worker
from services.worker.counting import WorkerCounters


class World:
    """The server of one test."""

    def __init__(
        self,
        node: EmbeddedBroker,
        parts: Parts,
        handling: KitHandling | None,
        rest: Rest,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._node = node
        self._parts = parts
        self._handling = handling
        self._rest = rest
        self._tasks = tasks
        self._clients: dict[int, KitClient] = {}
        self._partitions = [
            Partition(lane, number)
            for lane, settings in parts.config.lanes.items()
            for number in range(settings.partitions)
        ]

    def open_client(self, number: int, headers: Mapping[str, str], *, is_binary: bool) -> None:
        """Have a client come."""
        self._clients[number] = KitClient(self._parts, number, headers, is_binary=is_binary)

    def say(self, number: int, command: bytes) -> None:
        """Have a client send a command."""
        self._tasks.create_task(self._clients[number].say(command))

    def close_client(self, number: int) -> None:
        """Have a client's connection end."""
        self._clients[number].leave()

    def make_token(self, user: str, channel: str, info: object, expires_in_seconds: float) -> str:
        """Sign a token.

        Raises:
            TokenInvalid: there is no key to sign with.
        """
        client = self._parts.config.client
        return make_token(
            client.token_of_subscriptions if channel else client.token,
            user,
            expire_at=time.time() + expires_in_seconds if expires_in_seconds else None,
            channel=channel,
            info=info,
        )

    def dead(self) -> list[StoredDead]:
        """Tell what was set aside, oldest first."""
        return [_read(letter) for letter in self._node.dead_letters()]

    async def come_to_rest(self, pass_seconds: float = 0.0) -> None:
        """Wait until nothing is under way, after so many seconds of the clock.

        Cancelling: what is under way goes on.
        """
        await self._rest.reach(self._is_settled, self._is_app_busy, pass_seconds=pass_seconds)

    def news(self, answer: Rested) -> Rested:
        """Complete an answer: what clients were told since the last time, and what time it is."""
        self._parts.flusher.flush()
        clients = self._clients.values()
        return msgspec.structs.replace(
            answer,
            now=time.time(),
            told=[told for client in clients if (told := client.take_told()) is not None],
            failed=self._handling.take_failed() if self._handling else [],
            closed=[end for client in clients if (end := client.take_closed()) is not None],
        )

    def _is_app_busy(self) -> bool:
        return self._handling is not None and self._handling.is_busy

    def _is_settled(self) -> bool:
        return (
            (self._handling is None or self._handling.is_settled)
            and all(client.is_answered for client in self._clients.values())
            and not self._parts.producer.waiting_entries
            and not any(self._node.unsettled(partition) for partition in self._partitions)
        )


@asynccontextmanager
async def opening(config: Config, end: socket.socket | None, rest: Rest) -> AsyncIterator[World]:
    """Run everything, until it is left: then as if the processes had died.

    `end` is this end of the socket to the app's handlers, if there is an app.

    Raises:
        Exception: in a group: one of them failed.
    """
    node = EmbeddedBroker({name: lane.partitions for name, lane in config.lanes.items()})
    stop = asyncio.Event()
    counters = WorkerCounters()
    async with (
        _handling(end, counters) as handling,
        node.open("front") as for_front,
        node.open("worker") as for_worker,
        asyncio.TaskGroup() as tasks,
    ):
        working = tasks.create_task(run_worker(config, for_worker, stop, counters, handling))
        fanout, parts = assemble(config, for_front, jitter=lambda low, high: high)
        try:
            async with running(parts, fanout), asyncio.TaskGroup() as saying:
                world = World(node, parts, handling, rest, saying)
                # Only then a front knows that it is alone, and asks nobody who is present.
                await world.come_to_rest(SETTLING_SECONDS)
                yield world
        finally:
            working.cancel()


@asynccontextmanager
async def _handling(
    end: socket.socket | None, counters: WorkerCounters
) -> AsyncIterator[KitHandling | None]:
    if end is None:
        yield None
        return
    with closing(KitHandling(end, counters)) as handling:
        await handling.open()
        yield handling


def _read(letter: DeadLetter) -> StoredDead:
    try:
        (entry,) = decode_batch(letter.body).entries
    except (UndecodableBody, ValueError):
        kind, data = "", letter.body
    else:
        kind, data = EntryKind(entry.kind).name.lower(), entry.payload
    return StoredDead(
        letter.reason.value, letter.explanation, kind, letter.channel, data, letter.attempts
    )
