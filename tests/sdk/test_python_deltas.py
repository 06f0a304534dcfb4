"""The Python SDK with deltas, in JSON and in Protobuf, over two fronts."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from centrifuge import DeltaType, Publication

from tests.sdk.python_client import follow, next_of, python_client
from tests.system.balancer import balancing

pytestmark = [pytest.mark.sdk, pytest.mark.timeout(60)]

# Long enough to publish in before a cut client is back.
PAUSE_SECONDS = 0.5

STATES: list[dict[str, Any]] = [
    {"before": "the same é€😀 " * 20, "title": title, "after": "the same" * 20}
    for title in ("draft", "entwürfe", "草稿", "😀", "😁", "😁!")
]


@pytest.fixture(autouse=True)
async def _closed_sockets() -> AsyncIterator[None]:
    """Let the SDK finish: it closes its sockets in tasks that nothing waits for."""
    yield
    running = asyncio.all_tasks() - {asyncio.current_task()}
    if running:
        await asyncio.wait(running, timeout=5)


def read(publications: list[Publication]) -> list[Any]:
    """Payloads, which are bytes in Protobuf, as their values."""
    return [json.loads(p.data) if isinstance(p.data, bytes) else p.data for p in publications]


@pytest.mark.parametrize("use_protobuf", [False, True], ids=["json", "protobuf"])
async def test_a_client_with_deltas_sees_every_state_also_after_it_came_back(
    fronts: list[str], *, use_protobuf: bool
) -> None:
    channel = f"document:{uuid.uuid4()}"
    async with (
        balancing(fronts[0]) as balancer,
        python_client(
            balancer.url, shortest_pause_seconds=PAUSE_SECONDS, use_protobuf=use_protobuf
        ) as (client, events),
        python_client(fronts[0]) as (other, _),
    ):
        followed = await follow(client, channel, delta=DeltaType.FOSSIL)
        await next_of(events.connecting)
        for state in STATES[:2]:
            await other.publish(channel, state)
        seen = await followed.events.take(2)

        balancer.move_to(fronts[1])
        await next_of(events.connecting)
        for state in STATES[2:4]:
            await other.publish(channel, state)
        resumed = await next_of(followed.events.subscribed)
        for state in STATES[4:]:
            await other.publish(channel, state)
        seen += await followed.events.take(4)

    assert (resumed.was_recovering, resumed.recovered) == (True, True)
    assert read(seen) == STATES
    assert [publication.offset for publication in seen] == [1, 2, 3, 4, 5, 6]
    assert [publication.delta for publication in seen] == [False, True, False, True, True, True]
