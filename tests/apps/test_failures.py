"""Whatever a handler does costs its own entry: what its sender, its neighbours and others see."""

import asyncio
import re
import uuid
from typing import Any

import pytest

from tests.apps.site import Site, fresh, publish, received, two_clients
from tests.system.client import Client
from tests.system.connection import Reply

pytestmark = pytest.mark.timeout(60)

# What an operator is told of each.
FAILURES = {
    "raise": "NoSuchRoom: no such room",
    "hang": "took longer than 0.3 s",
    "nonsense": "object",
    "block": "the app process died (a handler did not come back within 0.3 s)",
    "exit": "the app process died (exit code 7)",
    "kill": "the app process died (killed by signal 9)",
    "hoard": "MiB of memory)",
}
FAILED, UNKNOWN = 100, 400
"""What its sender is told: that it failed; or, when that takes more than four seconds, as it may
where processes have to be started anew, that nothing is known yet."""


async def test_a_failing_entry_is_set_aside_and_its_neighbours_are_delivered_once(
    site: Site,
) -> None:
    """All ways to fail at the same time, so that each is a neighbour of the others, too."""
    run = uuid.uuid4().hex[:8]
    async with two_clients(site) as (sender, subscriber):
        async with asyncio.TaskGroup() as tasks:
            failing = [tasks.create_task(fail(how, run, sender, subscriber)) for how in FAILURES]
        letters = await site.dead_letters(f"open:{run}-*", len(FAILURES))

        for how, task in zip(FAILURES, failing, strict=True):
            channel, neighbour = channels_of(how, run)
            (letter,) = [each for each in letters if each["channel"] == channel]
            assert_set_aside(how, letter, site.notes("publish", channel=channel, n=2))
            assert_only_one_failed(task.result())
            assert await received(subscriber, channel) == [{"n": 1}, {"n": 3}]
            assert await received(subscriber, neighbour) == [{"n": 1}, {"n": 2}]


def channels_of(how: str, run: str) -> tuple[str, str]:
    return f"open:{run}-{how}", f"open:{run}-{how}-neighbour"


async def fail(how: str, run: str, sender: Client, subscriber: Client) -> list[Reply]:
    """Publish what fails among others, in one frame."""
    channel, neighbour = channels_of(how, run)
    await subscriber.subscribe(channel)
    await subscriber.subscribe(neighbour)
    return await sender.ask_together(
        publish(channel, 1),
        publish(neighbour, 1),
        publish(channel, 2, how=how, fails=9),
        publish(channel, 3),
        publish(neighbour, 2),
    )


def assert_only_one_failed(replies: list[Reply]) -> None:
    first, beside, failed, behind, beside_too = replies
    assert failed["error"]["code"] in (FAILED, UNKNOWN)
    for reply in (first, beside, behind, beside_too):
        assert "publish" in reply or reply["error"]["code"] == UNKNOWN


def assert_set_aside(how: str, letter: dict[str, Any], tries: list[dict[str, Any]]) -> None:
    assert (letter["reason"], letter["attempts"]) == ("failed", 3)
    assert FAILURES[how] in letter["explanation"]
    assert {each["attempt"] for each in tries} == {1, 2, 3}
    assert len({each["key"] for each in tries}) == 1


async def test_who_published_what_failed_is_told_so_and_operators_where(site: Site) -> None:
    channel, side = fresh("raise"), fresh("side")
    async with two_clients(site) as (sender, subscriber):
        await subscriber.subscribe(side)
        reply = await sender.ask(**publish(channel, how="raise", fails=3, besides={side: {"n": 1}}))
        (letter,) = await site.dead_letters(channel)

        error = {"code": FAILED, "message": "internal server error", "temporary": True}
        assert reply["error"] == error
        assert re.search(r"team\.py:\d+ _fail$", letter["explanation"])
        # What it published besides is not published.
        assert await received(subscriber, side) == []


async def test_a_channel_waits_for_an_entry_that_is_tried_again_and_others_go_on(
    site: Site,
) -> None:
    channel, other = fresh("waits"), fresh("goes-on")
    async with two_clients(site) as (sender, _):
        replies = await sender.ask_together(
            publish(channel, 1, how="raise", fails=2),
            publish(channel, 2),
            publish(other, 3),
        )

        assert all("publish" in reply for reply in replies)
        noted = [
            (note["n"], note["attempt"])
            for note in site.notes("publish")
            if note["channel"] in (channel, other)
        ]
        of_channel = [each for each in noted if each[0] != 3]
        assert of_channel == [(1, 1), (1, 2), (1, 3), (2, 1)]
        assert noted.index((3, 1)) < noted.index((1, 2))


async def test_what_leaks_is_replaced_and_nothing_is_lost_or_done_again(site: Site) -> None:
    channel = fresh("leak")
    async with two_clients(site) as (sender, subscriber):
        await subscriber.subscribe(channel)
        assert "publish" in await sender.ask(**publish(channel, 1, how="leak"))
        (note,) = site.notes("publish", channel=channel)
        replaced = await site.until_logged("app process replaced", pid=note["pid"])
        assert "publish" in await sender.ask(**publish(channel, 2))

        assert "MiB of memory" in replaced["reason"]
        assert await received(subscriber, channel) == [{"n": 1, "how": "leak"}, {"n": 2}]
        notes = site.notes("publish", channel=channel)[:2]
        assert [(each["n"], each["attempt"]) for each in notes] == [(1, 1), (2, 1)]
        assert len({each["pid"] for each in notes}) == 2


async def test_a_refusal_is_told_at_once_and_not_tried_again(site: Site) -> None:
    channel = fresh("refuse")
    async with two_clients(site) as (sender, subscriber):
        await subscriber.subscribe(channel)
        before = await site.count("worker_refused")
        replies = await sender.ask_together(
            publish(channel, 1), publish(channel, 2, how="refuse"), publish(channel, 3)
        )
        after = await site.count("worker_refused")

        assert replies[1]["error"] == {"code": 1234, "message": "not here"}
        assert after - before == 1
        assert len(site.notes("publish", channel=channel, n=2)) == 1
        assert await received(subscriber, channel) == [{"n": 1}, {"n": 3}]
        assert await site.dead_letters(channel, 0) == []


async def test_what_is_swallowed_is_answered_and_nobody_receives_it(site: Site) -> None:
    channel = fresh("swallow")
    async with two_clients(site) as (sender, subscriber):
        await subscriber.subscribe(channel)
        reply = await sender.ask(**publish(channel, 1, how="swallow"))

        assert reply["publish"] == {}
        assert await received(subscriber, channel) == []
        assert len(await subscriber.history(channel)) == 1  # the mark that ends `received`


async def test_what_is_changed_is_what_everybody_receives(site: Site) -> None:
    channel = fresh("change")
    async with two_clients(site) as (sender, subscriber):
        await subscriber.subscribe(channel)
        assert "publish" in await sender.ask(**publish(channel, 1, how="change"))

        assert await received(subscriber, channel) == [{"n": 1, "seen": True}]
        assert (await sender.history(channel))[0] == {"n": 1, "seen": True}


async def test_data_that_does_not_fit_the_annotated_type_is_refused_with_its_place(
    site: Site,
) -> None:
    channel = fresh("unfit")
    async with two_clients(site) as (sender, _):
        command = {"publish": {"channel": channel, "data": {"n": "one"}}}
        reply = await sender.ask(**command)

        assert reply["error"]["code"] == 401
        assert "/n: " in reply["error"]["message"]
        assert site.notes("publish", channel=channel) == []


@pytest.mark.parametrize("how", ["raise", "exit"])
async def test_what_a_handler_publishes_besides_comes_once_however_often_it_fails(
    how: str, site: Site
) -> None:
    channel, sides = fresh(how), [fresh(f"side{number}") for number in range(5)]
    besides = {side: {"n": number} for number, side in enumerate(sides)}
    async with two_clients(site) as (sender, subscriber):
        for side in sides:
            await subscriber.subscribe(side)
        reply = await sender.ask(**publish(channel, how=how, fails=1, besides=besides))
        heard = [await subscriber.until_pushed(side, "pub") for side in sides]

        assert "publish" in reply
        assert [each["data"] for each in heard] == [{"n": number} for number in range(5)]
        assert [each["attempt"] for each in site.notes("publish", channel=channel)] == [1, 2]
        for side in sides:
            assert await received(subscriber, side) == []


async def test_what_is_said_besides_reaches_nobody_twice_if_a_worker_is_killed_meanwhile(
    site: Site,
) -> None:
    channel, side = fresh("killed"), fresh("side")
    async with two_clients(site) as (sender, subscriber):
        await subscriber.subscribe(side)
        await subscriber.subscribe(channel)
        replies = await site.killing_the_worker_of(
            channel,
            sender.ask_together(
                publish(channel, 1, how="freeze its worker", besides={side: {"n": 1}}),
                publish(channel, 2),
            ),
        )
        tries = site.notes("publish", channel=channel, n=1)

        assert all("publish" in reply for reply in replies)
        assert len(tries) == 2
        assert len({each["pid"] for each in tries}) == 2
        # To the handler it is the same entry: what it wrote with this key is not written again.
        assert len({each["key"] for each in tries}) == 1
        assert {each["attempt"] for each in tries} == {1}
        assert await received(subscriber, channel) == [
            {"n": 1, "how": "freeze its worker", "besides": {side: {"n": 1}}},
            {"n": 2},
        ]
        assert await received(subscriber, side) == [{"n": 1}]
