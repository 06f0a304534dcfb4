"""Programs with a WebSocket and no protocol: what a tutorial's server does for them, we do."""

import asyncio
import secrets

import pytest
from websockets.asyncio.client import ClientConnection, connect

from broker.local.ports import HOST
from tests.system.deployment import Deployment

TALK = 200


def enter(server: str, path: str = "/") -> connect:
    return connect(f"ws://{server}{path}", proxy=None)


def fresh_room(namespace: str = "") -> str:
    return f"/ws/{namespace}{secrets.token_hex(4)}"


async def hear(connection: ClientConnection, count: int) -> list[str]:
    async with asyncio.timeout(10):
        return [str(await connection.recv()) for _ in range(count)]


async def test_the_server_greets_who_connects(server: str) -> None:
    async with enter(server) as client:
        (welcome,) = await hear(client, 1)
        assert welcome.startswith("欢迎")


async def test_the_server_confirms_to_the_sender_and_broadcasts_to_the_others(server: str) -> None:
    room = fresh_room()
    async with enter(server, room) as sender, enter(server, room) as a, enter(server, room) as b:
        for client in (sender, a, b):
            await hear(client, 1)
        await sender.send("你好,服务器!")
        assert await hear(sender, 1) == ["服务器已收到: 你好,服务器!"]
        (heard_by_a,), (heard_by_b,) = await hear(a, 1), await hear(b, 1)
        assert heard_by_a == heard_by_b
        assert heard_by_a.endswith(": 你好,服务器!")


async def test_rooms_are_apart(server: str) -> None:
    room, other_room = fresh_room(), fresh_room()
    async with enter(server, room) as here, enter(server, other_room) as there:
        await hear(here, 1)
        await hear(there, 1)
        await here.send("here")
        await there.send("there")
        assert await hear(here, 1) == ["服务器已收到: here"]
        assert await hear(there, 1) == ["服务器已收到: there"]


async def test_who_leaves_disturbs_nobody(server: str) -> None:
    room = fresh_room()
    async with enter(server, room) as stays:
        await hear(stays, 1)
        async with enter(server, room) as leaves:
            await hear(leaves, 1)
            await leaves.send("bye")
        (last,) = await hear(stays, 1)
        assert last.endswith(": bye")
        assert leaves.close_code == 1000
        await stays.send("alone")
        assert await hear(stays, 1) == ["服务器已收到: alone"]


async def test_pings_are_answered(server: str) -> None:
    async with enter(server) as client, asyncio.timeout(5):
        await (await client.ping(b"x"))


async def test_both_sides_of_a_conversation_keep_their_order(server: str) -> None:
    room = fresh_room()
    async with enter(server, room) as ada, enter(server, room) as bob:
        await hear(ada, 1)
        await hear(bob, 1)
        for each in range(0, TALK, 50):
            batch = range(each, each + 50)
            for number in batch:
                await ada.send(f"{number}")
            assert await hear(ada, 50) == [f"服务器已收到: {number}" for number in batch]
            heard = [text.partition(": ")[2] for text in await hear(bob, 50)]
            assert heard == [f"{number}" for number in batch]


@pytest.mark.timeout(90)
async def test_over_rabbitmq_the_others_may_be_on_another_front(deployment: Deployment) -> None:
    room = fresh_room("open:")
    first, second = (f"{HOST}:{front.port}" for front in deployment.fronts)
    async with enter(first, room) as sender, enter(second, room) as other:
        await hear(sender, 1)
        await hear(other, 1)
        for number in range(50):
            await sender.send(f"text {number}")
        assert await hear(sender, 50) == [f"服务器已收到: text {number}" for number in range(50)]
        heard = [text.partition(": ")[2] for text in await hear(other, 50)]
        assert heard == [f"text {number}" for number in range(50)]
