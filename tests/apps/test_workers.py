"""Workers that stop, are killed and take over while handlers run; and what is done afterwards."""

import asyncio
from itertools import count

import pytest

from tests.apps.site import Site, fresh, publish, received, two_clients
from tests.system.client import Client

pytestmark = pytest.mark.timeout(60)

CHANNELS = 8


async def publishing(sender: Client, channel: str, stop: asyncio.Event) -> list[int]:
    """Publish one after the other, with handlers that take a moment; gives what was answered."""
    answered: list[int] = []
    for n in count():
        if stop.is_set():
            return answered
        side = channel.replace("open:", "open:side-")
        wish = {"how": "slow", "besides": {side: {"n": n}}}
        reply = await sender.ask(**publish(channel, n, **wish))
        if "publish" in reply:
            answered.append(n)
    raise AssertionError("there is no last number")


async def assert_once_and_in_order(subscriber: Client, channel: str, answered: list[int]) -> None:
    side = channel.replace("open:", "open:side-")
    heard = [each["n"] for each in await received(subscriber, channel)]
    beside = [each["n"] for each in await received(subscriber, side)]
    assert heard == sorted(set(heard))
    assert set(answered) <= set(heard)
    # Different channels are in different partitions, between which there is no order.
    assert beside == heard


@pytest.mark.parametrize("ending", ["kill", "stop"])
async def test_whatever_becomes_of_workers_all_is_received_once_and_in_order(
    ending: str, site: Site
) -> None:
    channels = [fresh(f"{ending}-{number}") for number in range(CHANNELS)]
    stop = asyncio.Event()
    async with two_clients(site) as (sender, subscriber):
        for channel in channels:
            await subscriber.subscribe(channel)
            await subscriber.subscribe(channel.replace("open:", "open:side-"))
        async with asyncio.TaskGroup() as tasks:
            publishers = [
                tasks.create_task(publishing(sender, channel, stop)) for channel in channels
            ]
            for worker in site.deployment.workers:
                await site.until_noted("publish", 3, channel=channels[0])
                if ending == "kill":
                    worker.kill9()
                else:
                    assert await asyncio.to_thread(worker.terminate) == 0
                await site.until_handled_more(3)
                worker.start()
                await site.until_started(worker)
            await site.until_handled_more(3)
            stop.set()
        for channel, publisher in zip(channels, publishers, strict=True):
            await assert_once_and_in_order(subscriber, channel, publisher.result())
            if ending == "stop":
                # Who is told to stop lets its handlers end: none is called again.
                keys = [note["key"] for note in site.notes("publish", channel=channel)]
                assert len(keys) == len(set(keys))
