"""A proxy passes on, loses, holds up and delays what it should, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from broker.local.ports import HOST
from tests.faults.proxy.line import Weather
from tests.faults.proxy.moment import Direction, Moment, Passage
from tests.faults.proxy.proxy import Proxy, proxying
from tests.faults.proxy.trap import Trap


class Words:
    """An inspector of a protocol of lines: the word `publish` is a moment."""

    def __init__(self) -> None:
        self._rest = dict.fromkeys(Direction, b"")

    def inspect(self, direction: Direction, content: bytes) -> list[Passage]:
        *lines, self._rest[direction] = (self._rest[direction] + content).split(b"\n")
        return [
            Passage(line + b"\n", Moment.PUBLISH if line == b"publish" else None) for line in lines
        ]


@dataclass
class Conversation:
    proxy: Proxy
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, text: bytes) -> None:
        self.writer.write(text)
        await self.writer.drain()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while text := await reader.read(1000):
            writer.write(text)
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def conversing() -> AsyncIterator[Conversation]:
    server = await asyncio.start_server(echo, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with proxying("echo", HOST, port, Words) as proxy:
            reader, writer = await asyncio.open_connection(HOST, proxy.port)
            try:
                yield Conversation(proxy, reader, writer)
            finally:
                writer.transport.abort()
    finally:
        server.close()
        await server.wait_closed()


async def test_what_is_said_arrives_and_is_answered() -> None:
    async with conversing() as conversation:
        await conversation.say(b"one\ntwo\n")

        assert await conversation.reader.readexactly(8) == b"one\ntwo\n"


async def test_a_cut_is_a_reset() -> None:
    async with conversing() as conversation:
        await conversation.say(b"one\n")
        await conversation.reader.readexactly(4)
        conversation.proxy.cut()

        with pytest.raises(ConnectionResetError):
            await conversation.reader.readexactly(1)


async def test_what_was_frozen_arrives_after_the_thaw() -> None:
    async with conversing() as conversation:
        await conversation.say(b"one\n")
        await conversation.reader.readexactly(4)
        conversation.proxy.freeze()
        await conversation.say(b"two\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await conversation.reader.readexactly(1)
        conversation.proxy.thaw()

        assert await conversation.reader.readexactly(4) == b"two\n"


async def test_one_direction_can_be_frozen_alone() -> None:
    async with conversing() as conversation:
        conversation.proxy.freeze([Direction.DOWN])
        trap = Trap(Moment.PUBLISH)
        conversation.proxy.arm(trap)
        await conversation.say(b"publish\n")
        (await trap.until_sprung()).release()  # there it is on its way
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await conversation.reader.readexactly(1)
        conversation.proxy.thaw()

        assert await conversation.reader.readexactly(8) == b"publish\n"


async def test_a_connection_made_while_frozen_is_accepted_and_silent() -> None:
    async with conversing() as conversation:
        conversation.proxy.freeze()
        reader, writer = await asyncio.open_connection(HOST, conversation.proxy.port)
        writer.write(b"one\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.readexactly(1)
        conversation.proxy.thaw()

        assert await reader.readexactly(4) == b"one\n"
        writer.transport.abort()


@pytest.mark.parametrize(
    "weather",
    [
        Weather(delay_seconds=0.02, jitter_seconds=0.02),
        Weather(bytes_a_second=50_000),
        Weather(slice_bytes=3),
    ],
)
async def test_bad_weather_loses_and_swaps_nothing(weather: Weather) -> None:
    text = b"".join(b"line %d\n" % number for number in range(200))
    async with conversing() as conversation:
        conversation.proxy.set_weather(weather)
        await conversation.say(text)

        assert await conversation.reader.readexactly(len(text)) == text


async def test_a_trap_holds_its_frame_and_what_follows() -> None:
    async with conversing() as conversation:
        trap = Trap(Moment.PUBLISH)
        conversation.proxy.arm(trap)
        await conversation.say(b"one\npublish\ntwo\n")
        caught = await trap.until_sprung()
        assert await conversation.reader.readexactly(4) == b"one\n"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await conversation.reader.readexactly(1)
        caught.release()

        assert await conversation.reader.readexactly(12) == b"publish\ntwo\n"


async def test_a_dropped_frame_never_arrives() -> None:
    async with conversing() as conversation:
        trap = Trap(Moment.PUBLISH)
        conversation.proxy.arm(trap)
        await conversation.say(b"publish\ntwo\n")
        caught = await trap.until_sprung()
        caught.release(b"")

        assert await conversation.reader.readexactly(4) == b"two\n"


async def test_a_trap_springs_once() -> None:
    async with conversing() as conversation:
        trap = Trap(Moment.PUBLISH)
        conversation.proxy.arm(trap)
        await conversation.say(b"publish\npublish\n")
        (await trap.until_sprung()).release()

        assert await conversation.reader.readexactly(16) == b"publish\npublish\n"
        assert conversation.proxy.seen[Moment.PUBLISH] == 4  # two there and two back


async def test_the_end_of_one_side_is_the_end_of_the_other() -> None:
    async with conversing() as conversation:
        await conversation.say(b"one\n")
        await conversation.reader.readexactly(4)
        conversation.writer.write_eof()

        assert await conversation.reader.read() == b""
