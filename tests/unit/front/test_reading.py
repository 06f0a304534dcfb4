"""History: positions, pages, limits."""

from typing import Any

import pytest

from tests.unit.front.stage import Client, Stage, open_config, staging


async def publish(client: Client, count: int, data: object = "x") -> None:
    await client.send(
        *({"id": 100 + n, "publish": {"channel": "a", "data": data}} for n in range(count))
    )
    await client.next(count)


async def history(client: Client, **request: object) -> Any:
    (reply,) = await client.ask({"id": 2, "history": {"channel": "a", **request}})
    return reply.get("history") or reply["error"]


def offsets(result: Any) -> list[int]:
    return [publication["offset"] for publication in result["publications"]]


async def test_a_history_of_nothing_tells_the_position(stage: Stage) -> None:
    client = await stage.client()
    result = await history(client)
    assert result == {"publications": [], "epoch": result["epoch"], "offset": 0}
    await publish(client, 2)
    assert (await history(client))["offset"] == 2


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"limit": 3}, [1, 2, 3]),
        ({"limit": -1}, [1, 2, 3, 4, 5]),
        ({"limit": 1000}, [1, 2, 3, 4, 5]),
        ({"limit": 2, "reverse": True}, [5, 4]),
        ({"limit": 10, "since": {"offset": 3}}, [4, 5]),
        ({"limit": 10, "since": {"offset": 3}, "reverse": True}, [2, 1]),
        ({"limit": 10, "since": {"offset": 9}}, []),
        ({"limit": 0, "since": {"offset": 3}}, []),
    ],
)
async def test_a_page_of_history(
    stage: Stage, request_: dict[str, object], expected: list[int]
) -> None:
    client = await stage.client()
    await publish(client, 5)
    assert offsets(await history(client, **request_)) == expected


async def test_a_history_reply_is_limited_by_the_settings() -> None:
    async with staging(open_config(client={"history_max_publication_limit": 2})) as stage:
        client = await stage.client()
        await publish(client, 5)
        assert offsets(await history(client, limit=-1)) == [1, 2]


async def test_a_history_reply_is_limited_by_the_room_in_the_outbox() -> None:
    async with staging(
        open_config(client={"queue_max_size": 65536, "message_size_limit": 32768})
    ) as stage:
        client = await stage.client()
        await publish(client, 5, data="x" * 12_000)
        assert offsets(await history(client, limit=5)) == [1, 2]
        assert offsets(await history(client, limit=5, since={"offset": 2})) == [3, 4]
        assert client.closed is None


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"limit": 1, "since": {"offset": 1, "epoch": "_"}}, 112),
        ({"limit": 1, "since": {"offset": 0}, "reverse": True}, 107),
        ({"channel": "plain:a"}, 108),
        ({"channel": "nowhere:a"}, 102),
        ({"channel": ""}, 107),
    ],
)
async def test_a_history_that_cannot_be_given_is_refused(
    stage: Stage, request_: dict[str, object], code: int
) -> None:
    client = await stage.client()
    await publish(client, 1)
    assert (await history(client, **request_))["code"] == code
