"""The Python SDK coming and going without end, through one address before two fronts."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from centrifuge import ClientState, ReplyError

from tests.sdk.python_client import next_of, python_client
from tests.sdk.python_members import LOOK_SECONDS, Member, agree, members_of, own_list
from tests.system.balancer import balancing

pytestmark = [
    pytest.mark.sdk,
    pytest.mark.timeout(60),
    pytest.mark.parametrize("use_protobuf", [False, True], ids=["json", "protobuf"]),
]

# Within this a subscribe anywhere is seen everywhere.
SEEN_SECONDS = 1.0
ROUNDS = 8
STAYING = 4
NUMBERS = [1, 2, 3]


@pytest.fixture(autouse=True)
async def _closed_sockets() -> AsyncIterator[None]:
    """Let the SDK finish: it closes its sockets in tasks that nothing waits for."""
    yield
    running = asyncio.all_tasks() - {asyncio.current_task()}
    if running:
        await asyncio.wait(running, timeout=5)


@pytest.fixture
def room() -> str:
    return f"room:{uuid.uuid4()}"


@pytest.fixture
def reading() -> str:
    return f"open:{uuid.uuid4()}"


@pytest.fixture
async def members(
    fronts: list[str], room: str, reading: str, *, use_protobuf: bool
) -> AsyncIterator[list[Member]]:
    """Six, of whom the first four are to stay."""
    async with (
        balancing(*fronts) as balancer,
        members_of(6, balancer.url, room, reading, use_protobuf=use_protobuf) as members,
    ):
        yield members


async def come_and_go(member: Member, times: int) -> None:
    for _ in range(times):
        await member.subscribe()
        await member.unsubscribe()
    await member.subscribe()


async def all_ready(members: list[Member]) -> None:
    for member in members:
        await member.ready()


async def assert_agreed(fronts: list[str], room: str, reading: str, members: list[Member]) -> None:
    """All fronts tell of the room what its members do; those who stay, and no others, read on."""
    assert len(own_list(members)) == STAYING
    async with AsyncExitStack() as stack:
        watchers = [(await stack.enter_async_context(python_client(url)))[0] for url in fronts]
        for watcher in watchers:
            await agree(watcher, room, members, SEEN_SECONDS)
        for number in NUMBERS:
            await watchers[0].publish(reading, number)
        async with asyncio.timeout(SEEN_SECONDS):
            while any(len(each.read) < len(NUMBERS) for each in members[:STAYING]):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
    expected = [NUMBERS] * STAYING + [[]] * (len(members) - STAYING)
    assert [member.read for member in members] == expected


async def test_after_connect_and_disconnect_loops_presence_is_who_is_there(
    fronts: list[str], room: str, reading: str, members: list[Member]
) -> None:
    for member in members:
        await member.subscribe()
    for round_number in range(ROUNDS):
        for number, member in enumerate(members):
            await member.client.connect()
            if number % 3 == round_number % 3:
                await member.client.ready()
            else:
                await member.client.disconnect()
    for member in members[STAYING:]:
        await member.client.disconnect()
    for member in members[:STAYING]:
        await member.client.connect()
    await all_ready(members[:STAYING])

    await assert_agreed(fronts, room, reading, members)


async def test_after_subscribe_and_unsubscribe_loops_presence_is_who_is_subscribed(
    fronts: list[str], room: str, reading: str, members: list[Member]
) -> None:
    for member in members:
        await member.client.ready()
    for round_number in range(ROUNDS):
        for member in members:
            await come_and_go(member, 1 + round_number % 4)
        if round_number % 3 == 0:
            await all_ready(members)
    for member in members[STAYING:]:
        await member.unsubscribe()
    await all_ready(members[:STAYING])

    await assert_agreed(fronts, room, reading, members)


async def test_an_rpc_that_nobody_answers_is_refused_and_the_client_stays(
    fronts: list[str], *, use_protobuf: bool
) -> None:
    async with python_client(fronts[0], use_protobuf=use_protobuf) as (client, events):
        await next_of(events.connected)
        with pytest.raises(ReplyError) as refused:
            await client.rpc("nobody", b"{}" if use_protobuf else {})
        assert refused.value.code == 108
        assert client.state is ClientState.CONNECTED
