"""Promises of `DeadLetters`."""

import pytest

from broker.embedded import DeadLetter
from broker.interface import DeadReason
from tests.contract.nodes import BrokerNode


@pytest.mark.parametrize("reason", DeadReason)
async def test_what_is_set_aside_is_kept_with_its_reason(
    node: BrokerNode, reason: DeadReason
) -> None:
    body = b"\x00 no batch \xff\n"
    async with node.open() as broker:
        await broker.dead.set_aside(body, reason, "it does not begin with [ — ünlesbar")
        letters = await node.dead_letters(1)
    assert letters == [DeadLetter(body, reason, "it does not begin with [ — ünlesbar")]


async def test_a_long_explanation_does_not_keep_a_letter_from_being_kept(
    node: BrokerNode,
) -> None:
    explanation = "much to say " * 20_000
    async with node.open() as broker:
        await broker.dead.set_aside(b"x", DeadReason.REFUSED, explanation)
        letter = (await node.dead_letters(1))[0]
    assert letter.body == b"x"
    assert letter.explanation
    assert explanation.startswith(letter.explanation)


async def test_dead_letters_are_kept_in_their_order(node: BrokerNode) -> None:
    bodies = [b"letter %d" % number for number in range(10)]
    async with node.open() as broker:
        for body in bodies:
            await broker.dead.set_aside(body, DeadReason.UNDECODABLE, "why")
        assert [letter.body for letter in await node.dead_letters(10)] == bodies
