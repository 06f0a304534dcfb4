"""Promises of `DeadLetters`."""

import time

import pytest

from broker.interface import DeadLetter, DeadReason
from tests.contract.nodes import BrokerNode


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
        await broker.dead.set_aside(DeadLetter(b"x", DeadReason.UNDECODABLE, "why"))
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
    bodies = [b"letter %d" % number for number in range(10)]
    async with node.open() as broker:
        for body in bodies:
            await broker.dead.set_aside(DeadLetter(body, DeadReason.UNDECODABLE, "why"))
        assert [letter.body for letter in await node.dead_letters(10)] == bodies
