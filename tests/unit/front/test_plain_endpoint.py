"""Plain WebSockets over real sockets: paths, handshakes, close codes."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from services.auth import make_token
from services.settings import TokenConfig
from tests.unit.front.stage import SECRET, open_config
from tests.unit.front.test_websocket import Front, close_of, listening_front

CONFIG = open_config(
    plain={"enabled": True, "welcome": "{user}@{channel}", "receipt": "got {text}"},
    client={
        "allowed_origins": ["https://example.org"],
        "message_size_limit": 2048,
        "token": {"hmac_secret_key": SECRET},
    },
    front={"drain_seconds": 0.2},
)


@pytest_asyncio.fixture
async def front() -> AsyncIterator[Front]:
    async with listening_front(CONFIG) as front:
        yield front


def plain(front: Front, path: str = "/", **headers: str) -> connect:
    origin = headers.pop("Origin", None)
    return connect(
        f"ws://{front.address}{path}",
        origin=Origin(origin) if origin else None,
        additional_headers=headers,
        proxy=None,
    )


async def status_of(refused: connect) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        await refused
    return refusal.value.response.status_code


async def conversation(connection: ClientConnection, text: str) -> list[object]:
    await connection.send(text)
    return [await connection.recv(), await connection.recv()]


@pytest.mark.parametrize(
    ("path", "channel"),
    [
        ("/", "lobby"),
        ("/?a=b", "lobby"),
        ("/ws/room", "room"),
        ("/ws/plain:room/1", "plain:room/1"),
        ("/ws/a%20b", "a b"),
    ],
)
async def test_the_path_names_the_channel(front: Front, path: str, channel: str) -> None:
    async with plain(front, path) as connection:
        assert await conversation(connection, "hi") == [f"@{channel}", "got hi"]


async def test_a_token_comes_in_a_header(front: Front) -> None:
    token = make_token(TokenConfig(hmac_secret_key=SECRET), "ada")
    async with plain(front, Authorization=f"Bearer {token}") as connection:
        assert await connection.recv() == "ada@lobby"


async def test_a_token_in_the_address_is_none(front: Front) -> None:
    token = make_token(TokenConfig(hmac_secret_key=SECRET), "ada")
    async with plain(front, f"/?token={token}") as connection:
        assert await connection.recv() == "@lobby"


async def test_a_forged_token_is_a_close_code(front: Front) -> None:
    async with plain(front, Authorization="bearer forged") as connection:
        assert await close_of(connection) == (3500, "invalid token")


async def test_only_allowed_origins_come_in(front: Front) -> None:
    async with plain(front, Origin="https://example.org") as connection:
        await connection.recv()
    assert await status_of(plain(front, Origin="https://example.com")) == 403


@pytest.mark.parametrize("path", ["/", "/ws/room"])
async def test_nobody_comes_in_unless_the_settings_say_so(path: str) -> None:
    async with listening_front(open_config(front={"drain_seconds": 0})) as front:
        assert await status_of(plain(front, path)) == 404


async def test_what_is_no_handshake_gets_no_session(front: Front) -> None:
    assert (await front.get("/ws/room"))[0] == 400
    assert (await front.get("/"))[0] == 404
    assert (await front.get("/ws/"))[0] == 404


async def test_the_page_stands_at_the_same_address() -> None:
    config = open_config(page={"enabled": True}, front={"drain_seconds": 0})
    async with listening_front(config) as front:
        status, body = await front.get("/")
        assert status == 200
        assert b"<html" in body


async def test_a_text_over_the_limit_closes_with_1009(front: Front) -> None:
    async with plain(front) as connection:
        await connection.send("x" * 2049)
        assert (await close_of(connection))[0] == 1009


async def test_a_shutdown_is_a_close_code(front: Front) -> None:
    async with plain(front) as connection:
        await connection.recv()
        front.stop.set()
        assert await close_of(connection) == (3001, "shutdown")
