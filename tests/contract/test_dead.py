"""Promises of `DeadLetters`."""

import time
from collections.abc import Collection

import pytest

from broker.errors import BrokerUnavailable, DeadLettersInUse, SubmitRefused
from broker.interface import Broker, DeadLetter, DeadReason
from tests.contract.nodes import DEAD_BYTES, BrokerNode, wait_connected

BODIES = [b"letter %d" % number for number in range(10)]


def letter_of(body: bytes) -> DeadLetter:
    return DeadLetter(body, DeadReason.UNDECODABLE, "why")


async def set_aside_all(broker: Broker, bodies: Collection[bytes] = BODIES) -> None:
    for body in bodies:
        await broker.dead.set_aside(letter_of(body))


async def read_bodies(broker: Broker, *, dropping: Collection[bytes] = ()) -> list[bytes]:
    """Read all that is there, and drop some of it."""
    bodies = []
    async with broker.dead.read() as letters:
        async for held in letters:
            bodies.append(held.letter.body)
            if held.letter.body in dropping:
                await letters.drop(held)
    return bodies


@pytest.mark.parametrize("reason", DeadReason)
async def test_what_is_set_aside_is_kept_with_all_that_is_known_about_it(
    node: BrokerNode, reason: DeadReason
) -> None:
    letter = DeadLetter(
        b"\x00 no batch \xff\n",
        reason,
        "it does not begin with [ — ünlesbar",
        channel="räume:1",
        attempts=3,
        message_id="0a1b.main.0/17/2",
        set_aside_seconds=1_700_000_000,
    )
    async with node.open() as broker:
        await broker.dead.set_aside(letter)
        letters = await node.dead_letters(1)
    assert letters == [letter]


async def test_a_letter_that_does_not_say_when_it_was_set_aside_is_from_now(
    node: BrokerNode,
) -> None:
    before_seconds = int(time.time())
    async with node.open() as broker:
        await broker.dead.set_aside(letter_of(b"x"))
        letter = (await node.dead_letters(1))[0]
    assert before_seconds <= letter.set_aside_seconds <= time.time()


async def test_what_is_long_does_not_keep_a_letter_from_being_kept(node: BrokerNode) -> None:
    long = "much to say " * 20_000
    async with node.open() as broker:
        await broker.dead.set_aside(DeadLetter(b"x", DeadReason.REFUSED, long, channel=long))
        letter = (await node.dead_letters(1))[0]
    assert letter.body == b"x"
    assert letter.explanation
    assert letter.channel
    assert long.startswith(letter.explanation)
    assert long.startswith(letter.channel)


async def test_dead_letters_are_kept_in_their_order(node: BrokerNode) -> None:
    async with node.open() as broker:
        await set_aside_all(broker)
        assert [letter.body for letter in await node.dead_letters(10)] == BODIES


async def test_letters_beyond_the_room_for_them_are_refused(node: BrokerNode) -> None:
    async with node.open() as broker:
        with pytest.raises(SubmitRefused):
            await set_aside_all(broker, [bytes(1000)] * (DEAD_BYTES // 1000 + 2))
        kept = len(await read_bodies(broker))
        assert 0 < kept <= DEAD_BYTES // 1000 + 1


async def read_and_lose_connection(node: BrokerNode, broker: Broker) -> None:
    async with broker.dead.read() as letters:
        held = [each async for each in letters]
        await node.disconnect(broker)
        await wait_connected(broker, expected=False)
        with pytest.raises(BrokerUnavailable):
            await letters.drop(held[0])


# ---- reading


async def test_there_may_be_nothing_to_read(node: BrokerNode) -> None:
    async with node.open() as broker:
        assert await read_bodies(broker) == []


async def test_a_reader_is_given_what_was_set_aside_as_it_was(node: BrokerNode) -> None:
    letter = DeadLetter(b"\n\xff", DeadReason.FAILED, "ünlesbar", "räume:1", 3, "a.b.0/1/2", 1_700)
    async with node.open() as broker:
        await broker.dead.set_aside(letter)
        async with broker.dead.read() as letters:
            assert [held.letter async for held in letters] == [letter]


async def test_letters_that_are_left_are_in_their_place_for_the_next_reader(
    node: BrokerNode,
) -> None:
    async with node.open() as broker:
        await set_aside_all(broker, BODIES[:7])
        assert await read_bodies(broker) == BODIES[:7]
        await set_aside_all(broker, BODIES[7:])
        assert await read_bodies(broker) == BODIES


async def test_what_is_dropped_is_gone_and_what_is_left_stays_in_order(node: BrokerNode) -> None:
    async with node.open() as broker:
        await set_aside_all(broker)
        await read_bodies(broker, dropping=BODIES[1::3])
        left = [body for body in BODIES if body not in BODIES[1::3]]
        assert await read_bodies(broker) == left
        await read_bodies(broker, dropping=left)
        assert await read_bodies(broker) == []


async def test_a_reader_may_go_before_it_has_seen_all(node: BrokerNode) -> None:
    async with node.open() as broker:
        await set_aside_all(broker)
        async with broker.dead.read() as letters:
            await letters.drop(await anext(aiter(letters)))
        assert await read_bodies(broker) == BODIES[1:]


async def test_what_is_set_aside_during_a_read_is_for_the_next(node: BrokerNode) -> None:
    async with node.open() as broker:
        await set_aside_all(broker, BODIES[:5])
        bodies = []
        async with broker.dead.read() as letters:
            async for held in letters:
                bodies.append(held.letter.body)
                await broker.dead.set_aside(letter_of(b"later"))
        assert bodies == BODIES[:5]
        assert await read_bodies(broker) == BODIES[:5] + [b"later"] * 5


async def test_reading_over_and_over_loses_nothing_and_changes_no_place(node: BrokerNode) -> None:
    async with node.open() as broker:
        await set_aside_all(broker)
        for _ in range(40):
            assert await read_bodies(broker) == BODIES


async def test_two_do_not_read_at_the_same_time(node: BrokerNode) -> None:
    async with node.open() as one, node.open() as another:
        await set_aside_all(one)
        async with one.dead.read():
            with pytest.raises(DeadLettersInUse):
                async with another.dead.read():
                    pass
        assert await read_bodies(another) == BODIES


async def test_a_reader_that_loses_its_connection_leaves_all_in_its_place(
    node: BrokerNode,
) -> None:
    async with node.open() as one, node.open() as another:
        await set_aside_all(one)
        with pytest.raises(BrokerUnavailable):
            await read_and_lose_connection(node, one)
        assert await read_bodies(another) == BODIES
