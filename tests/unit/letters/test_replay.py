"""Replay on the embedded node, ended at every step of the way and started again."""

import asyncio
from collections.abc import Sequence

import pytest

from broker.batch import decode_batch
from broker.embedded import EmbeddedAccess, EmbeddedLimits, Leg
from broker.embedded.travel import one_turn
from broker.interface import DeadLetter
from broker.record import Published
from services.letters import plan as plan_module
from services.letters.plan import Plan
from services.letters.replay import ReplayStopped, replay
from tests.unit.letters.making import letter
from tests.unit.view.writing import MAIN
from tests.unit.worker.parts import CONFIG, Scene, batch, until

NUMBERS = range(9)


def channel_of(number: int) -> str:
    return "ab"[number % 2]


def payload(number: int) -> bytes:
    return b'{"n":%d}' % number


PUBLISHED = {
    channel: [payload(number) for number in NUMBERS if channel_of(number) == channel]
    for channel in ("a", "b")
}


def letters() -> list[DeadLetter]:
    """Of two channels in turn, out of order, and one of them twice."""
    made = [letter(channel_of(n), f"0a.main.0/{n}/0", payload(n)) for n in NUMBERS]
    return [*made[3:], *made[:3], made[4]]


class Ended(Exception):
    """The process is no more."""


class Life:
    """A process's way to the broker, which ends after so many steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    async def __call__(self, leg: Leg) -> None:
        if self._left == 0:
            raise Ended
        self._left -= 1
        await one_turn(leg)


async def replay_all(broker: EmbeddedAccess) -> int:
    plan = Plan(CONFIG)
    async with broker.dead.read() as reading:
        async for held in reading:
            plan.add(held)
        return await replay(broker, reading, plan)


async def lives_and_ends(scene: Scene, steps: int) -> bool:
    """Replay until the end comes; False if all was done before."""
    try:
        async with scene.node.open("operator", Life(steps)) as broker:
            await replay_all(broker)
    except Ended:
        return True
    return False


async def set_aside(scene: Scene, made: Sequence[DeadLetter]) -> None:
    async with scene.node.open("another worker") as broker:
        for each in made:
            await broker.dead.set_aside(each)


def published(scene: Scene, channel: str) -> list[bytes]:
    return [
        each.payload
        for each in scene.settlements()
        if isinstance(each.outcome, Published) and each.outcome.channel == channel
    ]


@pytest.mark.parametrize("strays_arrive", ["at once", "after all"])
async def test_each_entry_is_carried_out_once_and_in_order_wherever_a_replay_is_ended(
    strays_arrive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "BATCH_ENTRIES_AT_MOST", 2)
    steps, is_ended = 1, True
    while is_ended:
        scene = Scene()
        await set_aside(scene, letters())
        async with scene.worker("one"):
            is_ended = await lives_and_ends(scene, steps)
            await lives_and_ends(scene, steps // 2)
            if strays_arrive == "at once":
                scene.node.deliver_strays()
            async with scene.node.open("operator") as broker:
                await replay_all(broker)
            scene.node.deliver_strays()
            await scene.submit(batch(1, "last"))
            await until(lambda: bool(published(scene, "last")))  # noqa: B023  (awaited at once)
        assert {each: published(scene, each) for each in PUBLISHED} == PUBLISHED, steps
        assert not scene.node.dead_letters()
        steps += 1
    assert steps > 30


async def test_what_is_refused_again_is_a_dead_letter_again_and_still_the_same_entry() -> None:
    scene = Scene()
    broken = letter("a", "0a.main.0/1/0", b"{")
    await set_aside(scene, [broken])
    async with scene.worker("one"):
        async with scene.node.open("operator") as broker:
            assert await replay_all(broker) == 1
        await until(lambda: bool(scene.node.dead_letters()))
    (again,) = scene.node.dead_letters()
    assert again.message_id != broken.message_id
    (entry,) = decode_batch(again.body).entries
    assert (entry.payload, entry.key) == (b"{", broken.message_id)


async def test_what_a_full_pool_does_not_take_is_still_there() -> None:
    scene = Scene(EmbeddedLimits(inbound_max_bytes=1))
    await set_aside(scene, letters())
    async with scene.node.open("operator") as broker:
        with pytest.raises(ReplayStopped, match=r"after 0 of 9: the pool inbound\.main\.0 is full"):
            await replay_all(broker)
    assert list(scene.node.dead_letters()) == letters()


async def test_a_replay_that_loses_the_broker_says_how_far_it_came() -> None:
    scene = Scene()
    await set_aside(scene, letters())
    async with scene.node.open("operator") as broker:
        scene.node.hold_confirms()

        async def cut() -> None:
            await until(lambda: bool(scene.node.waiting(MAIN)))
            scene.node.disconnect("operator")

        cutting = asyncio.ensure_future(cut())
        with pytest.raises(ReplayStopped, match="RabbitMQ went away"):
            await replay_all(broker)
        await cutting
    assert len(scene.node.dead_letters()) == len(letters())
