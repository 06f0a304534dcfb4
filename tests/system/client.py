"""A client that asks and is answered, over a connection by hand; what is pushed is kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from tests.system.connection import Connection, ConnectionLost, Reply, connected

ANSWER_SECONDS = 10.0


class Client:
    """An accepted client; `client_of` makes one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.welcome = connection.welcome
        self._ids = count(2)
        self._awaited: dict[int, asyncio.Future[Reply]] = {}
        self.pushes: list[Reply] = []
        """What was pushed and not taken yet."""
        self._news = asyncio.Event()
        self.is_lost = False

    async def ask(self, **command: Any) -> Reply:
        """Send a command and wait for its reply.

        Raises:
            ConnectionLost: there is none any more.
            TimeoutError: there was no answer for longer than SDKs wait.
        """
        command_id = next(self._ids)
        awaited = self._awaited[command_id] = asyncio.get_running_loop().create_future()
        try:
            if self.is_lost:
                raise ConnectionLost("lost before")
            await self._connection.send({"id": command_id, **command})
            async with asyncio.timeout(ANSWER_SECONDS):
                return await awaited
        finally:
            del self._awaited[command_id]

    async def ask_together(self, *commands: Reply) -> list[Reply]:
        """Send commands in one frame and wait for the replies, in the order of the commands.

        Raises:
            ConnectionLost: there is no connection any more.
            TimeoutError: some were not answered for longer than SDKs wait.
        """
        loop = asyncio.get_running_loop()
        awaited = {next(self._ids): loop.create_future() for _ in commands}
        self._awaited |= awaited
        try:
            numbered = zip(awaited, commands, strict=True)
            await self._connection.send(*({"id": id_, **command} for id_, command in numbered))
            async with asyncio.timeout(ANSWER_SECONDS):
                return [await each for each in awaited.values()]
        finally:
            for id_ in awaited:
                del self._awaited[id_]

    async def tell(self, data: Any) -> None:
        """Send the server a message, which has no reply.

        Raises:
            ConnectionLost: it may or may not have arrived.
        """
        await self._connection.send({"send": {"data": data}})

    async def until_lost(self) -> tuple[int | None, str | None]:
        """Wait until the server has closed the connection, and give its code and reason."""
        while not self.is_lost:
            self._news.clear()
            await self._news.wait()
        return self._connection.close_code, self._connection.close_reason

    async def subscribe(self, channel: str, **options: Any) -> Reply:
        """Subscribe, and give the result.

        Raises:
            AssertionError: it was refused.
        """
        reply = await self.ask(subscribe={"channel": channel, **options})
        assert "subscribe" in reply, reply
        result: Reply = reply["subscribe"]
        return result

    async def recover(self, channel: str, epoch: str, offset: int) -> Reply:
        """Subscribe from a position on, and give the result.

        Raises:
            AssertionError: it was refused.
        """
        return await self.subscribe(channel, recover=True, epoch=epoch, offset=offset)

    async def history(self, channel: str) -> list[Any]:
        """Give the data of all that is kept of a channel.

        Raises:
            AssertionError: it was refused.
        """
        reply = await self.ask(history={"channel": channel, "limit": -1})
        assert "history" in reply, reply
        return [each["data"] for each in reply["history"].get("publications", [])]

    async def until_pushed(self, channel: str, kind: str) -> Reply:
        """Wait for a push of a kind, such as `pub` or `unsubscribe`, and take it.

        What is pushed without a channel has the channel "".

        Raises:
            ConnectionLost: there will be none.
        """
        while True:
            for push in self.pushes:
                if push.get("channel", "") == channel and kind in push:
                    self.pushes.remove(push)
                    pushed: Reply = push[kind]
                    return pushed
            if self.is_lost:
                raise ConnectionLost("nothing is pushed any more")
            self._news.clear()
            await self._news.wait()

    async def next_push(self) -> Reply:
        """Wait for a push of any kind, and take it.

        Raises:
            ConnectionLost: there will be none.
        """
        while not self.pushes:
            if self.is_lost:
                raise ConnectionLost("nothing is pushed any more")
            self._news.clear()
            await self._news.wait()
        return self.pushes.pop(0)

    async def run(self) -> None:
        """Receive until the connection is lost or the task is cancelled."""
        try:
            while True:
                for reply in await self._connection.receive():
                    self._take(reply)
        except ConnectionLost as lost:
            self.is_lost = True
            for awaited in self._awaited.values():
                if not awaited.done():
                    awaited.set_exception(ConnectionLost(str(lost)))
            self._news.set()

    def _take(self, reply: Reply) -> None:
        awaited = self._awaited.get(reply.get("id", 0))
        if awaited is not None:
            awaited.set_result(reply)
        elif "push" in reply:
            self.pushes.append(reply["push"])
            self._news.set()


@asynccontextmanager
async def client_of(url: str, **asked: Any) -> AsyncIterator[Client]:
    """Connect a client, with a token or data if they are asked with; see `connected`.

    Raises:
        ConnectionLost: the server did not answer, or closed.
        UnexpectedReply: it was refused.
    """
    async with connected(url, **asked) as connection, asyncio.TaskGroup() as tasks:
        client = Client(connection)
        receiving = tasks.create_task(client.run())
        try:
            yield client
        finally:
            receiving.cancel()
