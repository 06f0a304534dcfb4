"""The demo page over real sockets: where it is served, what it tells, who may kill a worker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest

from services.front.page.path import describe_path
from services.up.child import KillSwitch
from services.up.control import controlling
from tests.unit.front.stage import Stage, open_config, staging
from tests.unit.front.test_websocket import Front, listening_front

ORIGINS = {"allowed_origins": ["http://127.0.0.1:*"]}
HERE = {"enabled": True}


class Switch(KillSwitch):
    """Kills nothing."""

    def __init__(self, *, runs: bool = True) -> None:
        super().__init__()
        self.runs = runs
        self.pulled: list[float] = []

    def pull(self, away_seconds: float) -> bool:
        self.pulled.append(away_seconds)
        return self.runs


@asynccontextmanager
async def front_with(switch: Switch) -> AsyncIterator[Front]:
    async with controlling(switch) as path:
        page = {**HERE, "worker_control": str(path)}
        config = open_config(page=page, client=ORIGINS, front={"drain_seconds": 0})
        async with listening_front(config) as front:
            yield front


async def ask_to_kill(front: Front, **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://{front.address}/demo/kill-worker", headers=headers) as response,
    ):
        return response.status


async def figures(front: Front) -> dict[str, object]:
    status, body = await front.get("/demo/path")
    assert status == 200
    return dict(orjson.loads(body))


async def test_no_page_is_served_unless_the_settings_say_so() -> None:
    config = open_config(front={"drain_seconds": 0})
    async with listening_front(config) as front:
        for path in ("/", "/demo", "/demo/path", "/demo/main.js"):
            assert (await front.get(path))[0] == 404


async def test_only_the_pages_own_files_are_served() -> None:
    config = open_config(page=HERE, front={"drain_seconds": 0})
    async with listening_front(config) as front:
        for path in ("/", "/demo", "/demo/main.js", "/demo/style.css", "/demo/icon.svg"):
            assert (await front.get(path))[0] == 200
        for path in ("/demo/nothing.js", "/demo/..%2fpage.py", "/demo/page.py", "/demo/static"):
            assert (await front.get(path))[0] == 404


async def test_every_file_of_the_page_is_in_the_table() -> None:
    config = open_config(page=HERE, front={"drain_seconds": 0})
    static = Path(__file__).parents[3] / "services/front/page/static"
    async with listening_front(config) as front:
        for file in static.iterdir():
            assert await front.get(f"/demo/{file.name}") == (200, file.read_bytes())


async def test_the_figures_tell_of_what_was_published(stage: Stage) -> None:
    client = await stage.client()
    await client.ask({"id": 2, "subscribe": {"channel": "a"}})
    for number in range(3, 6):
        await client.send({"id": number, "publish": {"channel": "a", "data": {}}})
    await client.next(6)

    told = describe_path(stage.parts, is_worker_killed=False)

    assert (told["offered"], told["settled"], told["deliveries"]) == (3, 3, 3)
    assert (told["waiting_entries"], told["pool_entries"]) == (0, 0)
    assert (told["publishing"], told["worker"], told["sessions"]) == ("open", "live", 1)
    assert 0 < told["trip_ms"]["median"] <= told["trip_ms"]["p99"]


async def test_a_pool_that_nobody_empties_tells_that_the_worker_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.front.page.path._UNATTENDED_SECONDS", 0.05)
    async with staging(has_worker=False) as stage:
        client = await stage.client()
        await client.send({"id": 2, "publish": {"channel": "a", "data": {}}})
        assert describe_path(stage.parts, is_worker_killed=False)["worker"] == "live"
        await asyncio.sleep(0.1)
        told = describe_path(stage.parts, is_worker_killed=False)
        assert (told["worker"], told["pool_entries"]) == ("away", 1)


async def test_the_page_has_the_worker_killed_and_says_that_it_is_away() -> None:
    switch = Switch()
    async with front_with(switch) as front:
        assert (await figures(front))["worker"] == "live"
        assert await ask_to_kill(front, Origin=f"http://{front.address}") == 200
        assert switch.pulled == [5.0]
        assert (await figures(front))["worker"] == "away"


async def test_a_worker_that_does_not_run_cannot_be_killed() -> None:
    async with front_with(Switch(runs=False)) as front:
        assert await ask_to_kill(front, Origin=f"http://{front.address}") == 503
        assert (await figures(front))["worker"] == "live"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://example.org"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://rebound.example", "Host": "rebound.example"},
    ],
)
async def test_another_page_cannot_kill_the_worker(headers: dict[str, str]) -> None:
    switch = Switch()
    async with front_with(switch) as front:
        assert await ask_to_kill(front, **headers) == 403
    assert switch.pulled == []


async def test_without_a_control_there_is_no_worker_to_kill() -> None:
    config = open_config(page=HERE, client=ORIGINS, front={"drain_seconds": 0})
    async with listening_front(config) as front:
        assert (await figures(front))["can_kill_worker"] is False
        assert await ask_to_kill(front, Origin=f"http://{front.address}") == 404


@pytest.mark.parametrize("line", [b"kill\n", b"kill -5\n", b"kill 500\n", b"stop 5\n", b"\n", b""])
async def test_the_control_does_only_what_it_is_for(line: bytes) -> None:
    switch = Switch()
    async with controlling(switch) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(line)
        writer.write_eof()
        assert await reader.read() == b"what\n"
        writer.close()
        await writer.wait_closed()
    assert switch.pulled == []
    assert not path.parent.exists()
