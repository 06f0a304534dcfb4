"""A client that follows channels and recovers what it missed, as the SDKs do.

Its position in a channel is the offset of the last publication it was given, with the epoch of the
last subscribe reply; it checks nothing, so that the checker sees what an application would see.
"""

import asyncio
from itertools import count
from typing import NamedTuple

from tests.faults.journal import Interrupted, Journal, Received, Resumption, Subscribed
from tests.faults.progress import Progress
from tests.system.connection import (
    Connection,
    ConnectionLost,
    Reconnection,
    Reply,
    UnexpectedReply,
    connected,
)

LOWEST_RESUBSCRIBE_CODE = 2500


class Position(NamedTuple):
    """Where a client is in a channel."""

    epoch: str
    offset: int


class Subscriber:
    """One following client; `run` goes on until it is cancelled."""

    def __init__(
        self, name: str, channels: list[str], reconnection: Reconnection, progress: Progress
    ) -> None:
        self.journal = Journal(name)
        self.channels = channels
        self.received: set[str] = set()
        """The ids of all payloads that ever arrived."""
        self.positions: dict[str, Position] = {}
        self._may_recover: set[str] = set()
        self._reconnection = reconnection
        self._progress = progress
        self._command_ids = count(2)  # 1 is the connect command's
        self._asked: dict[int, str] = {}
        self._reading = asyncio.Event()
        self._reading.set()

    def stop_reading(self) -> None:
        """Leave what arrives where it is, until `read_on`."""
        self._reading.clear()

    def read_on(self) -> None:
        """Read what has arrived meanwhile, and what arrives."""
        self._reading.set()

    async def run(self) -> None:
        """Follow the channels, over as many connections as it takes."""
        while True:
            try:
                async with connected(self._reconnection.next_front()) as connection:
                    self._asked.clear()
                    await connection.send(*map(self._subscribe_command, self.channels))
                    while True:
                        await self._reading.wait()
                        await self._handle_frame(connection)
            except ConnectionLost as lost:
                self.journal.note(Interrupted(str(lost)))
                await self._reconnection.pause()

    def _subscribe_command(self, channel: str) -> Reply:
        command_id = next(self._command_ids)
        self._asked[command_id] = channel
        subscribe: Reply = {"channel": channel, "recoverable": True}
        if channel in self._may_recover:
            epoch, offset = self.positions[channel]
            subscribe |= {"recover": True, "epoch": epoch, "offset": offset}
        return {"id": command_id, "subscribe": subscribe}

    async def _handle_frame(self, connection: Connection) -> None:
        resubscribe: list[str] = []
        for reply in await connection.receive():
            push = reply.get("push", {})
            if "pub" in push:
                self._note_received(push["channel"], push["pub"])
            elif "unsubscribe" in push:
                resubscribe.append(self._read_unsubscribed(push))
            elif reply.get("id") in self._asked:
                resubscribe += self._read_subscribed(reply)
            else:
                raise UnexpectedReply(reply)
        self._progress.changed()
        if resubscribe:
            await self._reconnection.pause()
            await connection.send(*map(self._subscribe_command, resubscribe))

    def _read_unsubscribed(self, push: Reply) -> str:
        if push["unsubscribe"]["code"] < LOWEST_RESUBSCRIBE_CODE:
            raise UnexpectedReply(push)
        self.journal.note(Interrupted(f"unsubscribed from {push['channel']}"))
        return str(push["channel"])

    def _read_subscribed(self, reply: Reply) -> list[str]:
        """Take a subscribe reply; name the channel if it has to be asked for again."""
        channel = self._asked.pop(reply["id"])
        error = reply.get("error")
        if error is not None:
            if not error.get("temporary"):
                raise UnexpectedReply(reply)
            self.journal.note(Interrupted(f"subscribe to {channel}: {error}"))
            return [channel]
        self._reconnection.succeeded()
        result = reply["subscribe"]
        position = Position(result.get("epoch", ""), result.get("offset", 0))
        resumption = self._read_resumption(channel, result)
        self.journal.note(Subscribed(channel, position.epoch, position.offset, resumption))
        self.positions[channel] = position
        self._may_recover.discard(channel)
        if result.get("recoverable"):
            self._may_recover.add(channel)
        for publication in result.get("publications", []):
            self._note_received(channel, publication)
        return []

    def _read_resumption(self, channel: str, result: Reply) -> Resumption:
        if channel not in self._may_recover:
            return Resumption.FRESH
        return Resumption.RECOVERED if result.get("recovered") else Resumption.UNRECOVERED

    def _note_received(self, channel: str, publication: Reply) -> None:
        epoch = self.positions[channel].epoch if channel in self.positions else ""
        offset, attempt = publication.get("offset", 0), publication["data"]["attempt"]
        self.journal.note(Received(channel, epoch, offset, attempt))
        self.positions[channel] = Position(epoch, offset)
        self.received.add(attempt)
