"""What clients do that they should not; and what a front may not do because of it.

Hostile clients connect to the front itself: a proxy that reads along could not read them. They have
channels of their own, except where they ask to recover.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import urlsplit

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.faults.striking.scene import Scene
from tests.system.connection import ConnectionLost, Reply, connected

SILENT_SECONDS = 3.0
STORM_ROUNDS = 3
STORM_CONNECTIONS_A_FRONT = 30
ANSWER_SECONDS = 5.0
BAD_REQUEST_CODE = 3501
TOO_BIG_CODE = 1009
# client.message_size_limit is 64 KiB in these deployments.
OVERSIZED_BYTES = 200_000
UNFINISHED_CONNECTIONS = 20
UNFINISHED_SECONDS = 3.0
FAR_OFFSET = 1_000_000_000

_HOSTILE_CHANNEL = "open:hostile"


class Tolerated(Exception):
    """A front took from a client what it should not take, or answered what it should not."""


async def stop_reading(scene: Scene) -> None:
    """Let half of the subscribers take nothing for a while."""
    silent = scene.load.subscribers[::2]
    for subscriber in silent:
        subscriber.stop_reading()
    try:
        await asyncio.sleep(SILENT_SECONDS)
    finally:
        for subscriber in silent:
            subscriber.read_on()


async def storm(scene: Scene) -> None:
    """Cut all clients several times, while others come only to go."""
    for _ in range(STORM_ROUNDS):
        for front in scene.arena.fronts:
            assert front.clients is not None
            front.clients.cut()
        await asyncio.gather(
            *(
                _come_and_go(front.direct_url)
                for front in scene.arena.fronts
                for _ in range(STORM_CONNECTIONS_A_FRONT)
            )
        )
        await asyncio.sleep(scene.random.uniform(0.1, 0.5))


async def _come_and_go(url: str) -> None:
    with suppress(ConnectionLost):
        async with connected(url):
            pass


async def send_bad_json(scene: Scene) -> None:
    """Send what is no command; the front ends the session and says why."""
    await _expect_close(scene, b'{"id":1,"connect":{', BAD_REQUEST_CODE)


async def send_oversized_frame(scene: Scene) -> None:
    """Send more than a command may have; the front ends the connection and says why."""
    await _expect_close(
        scene, b'{"id":1,"connect":{"data":"%b"}}' % (b"x" * OVERSIZED_BYTES), TOO_BIG_CODE
    )


async def _expect_close(scene: Scene, frame: bytes, code: int) -> None:
    socket = await _open(scene)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await socket.send(frame, text=True)
            answer = await socket.recv()
    except ConnectionClosed as closed:
        if closed.rcvd is None:
            raise ConnectionLost("ended without a close frame") from closed
        if closed.rcvd.code != code:
            raise Tolerated(f"closed with {closed.rcvd.code}, not {code}") from closed
    except (TimeoutError, OSError) as error:
        raise ConnectionLost(str(error)) from error
    else:
        raise Tolerated(f"answered {answer!r}")
    finally:
        await socket.close()


async def never_finish_the_handshake(scene: Scene) -> None:
    """Open connections, begin the HTTP request, and leave it at that."""
    place = urlsplit(scene.front.direct_url)
    writers = []
    for _ in range(UNFINISHED_CONNECTIONS):
        with suppress(OSError):
            _, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgr")
            writers.append(writer)
    await asyncio.sleep(UNFINISHED_SECONDS)
    for writer in writers:
        writer.transport.abort()


async def use_ids_twice(scene: Scene) -> None:
    """Send two publishes under one id; each is answered, or the session ended."""
    publish: Reply = {"id": 7, "publish": {"channel": _HOSTILE_CHANNEL, "data": {"twice": True}}}
    async with connected(scene.front.direct_url) as connection:
        await connection.send(publish, publish)
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                answers = await connection.receive()
                if any(answer.get("id") != 7 for answer in answers):
                    raise Tolerated(f"answered {answers} to two publishes with the id 7")


async def ask_from_the_future(scene: Scene) -> None:
    """Ask to recover from an offset that does not exist yet: nothing can be shown to be missing."""
    channel = scene.load.plan.channels[0]
    async with connected(scene.front.direct_url) as connection:
        await connection.send({"id": 2, "subscribe": {"channel": channel, "recoverable": True}})
        answer = await _answer_to(connection.receive, 2)
        if "error" in answer:
            raise ConnectionLost(f"refused: {answer['error']}")
        epoch = answer["subscribe"]["epoch"]
        await connection.send({"id": 3, "unsubscribe": {"channel": channel}})
        await connection.send(_recover(channel, epoch, FAR_OFFSET))
        _expect_unrecovered(await _answer_to(connection.receive, 4))


async def ask_with_a_foreign_epoch(scene: Scene) -> None:
    """Ask to recover one channel with the epoch of another, which is in another log."""
    channels = scene.load.plan.channels
    async with connected(scene.front.direct_url) as connection:
        epochs = {}
        for command_id, channel in enumerate(channels, 10):
            await connection.send({"id": command_id, "subscribe": {"channel": channel}})
            answer = await _answer_to(connection.receive, command_id)
            if "error" in answer:
                raise ConnectionLost(f"refused: {answer['error']}")
            epochs[channel] = answer["subscribe"]["epoch"]
        foreign = max(epoch for epoch in epochs.values() if epoch != epochs[channels[0]])
        await connection.send({"id": 3, "unsubscribe": {"channel": channels[0]}})
        await connection.send(_recover(channels[0], foreign, 1))
        _expect_unrecovered(await _answer_to(connection.receive, 4))


def _recover(channel: str, epoch: str, offset: int) -> Reply:
    subscribe = {
        "channel": channel,
        "recoverable": True,
        "recover": True,
        "epoch": epoch,
        "offset": offset,
    }
    return {"id": 4, "subscribe": subscribe}


def _expect_unrecovered(answer: Reply) -> None:
    if "error" in answer:
        raise ConnectionLost(f"refused: {answer['error']}")
    if answer["subscribe"].get("recovered") or answer["subscribe"].get("publications"):
        raise Tolerated(
            f"recovered from a position nobody ever had: {orjson.dumps(answer)[:300]!r}"
        )


async def _answer_to(receive: Callable[[], Awaitable[list[Reply]]], command_id: int) -> Reply:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                for reply in await receive():
                    if reply.get("id") == command_id:
                        return reply
    except TimeoutError as error:
        raise ConnectionLost(f"no answer to command {command_id}") from error


async def _open(scene: Scene) -> ClientConnection:
    try:
        return await connect(
            scene.front.direct_url, proxy=None, compression=None, close_timeout=1.0
        )
    except (WebSocketException, OSError) as error:
        raise ConnectionLost(str(error)) from error
