"""Entries that were answered before a handler saw them, and dead letters that are replayed."""

import pytest

from tests.apps.site import Site, fresh, publish, two_clients

pytestmark = pytest.mark.timeout(60)


async def test_a_refusal_after_an_early_answer_is_a_message_and_a_dead_letter(site: Site) -> None:
    channel = fresh("late", "hasty")
    async with two_clients(site) as (sender, subscriber):
        await subscriber.subscribe(channel)
        replies = await sender.ask_together(
            publish(channel, 1, how="refuse"), publish(channel, 2, how="change")
        )
        told = await sender.until_pushed("", "message")
        (letter,) = await site.dead_letters(channel)

        assert all("publish" in reply for reply in replies)
        error = {"code": 1234, "message": "not here"}
        assert told["data"] == {"refused": {"channel": channel, "error": error}}
        assert (letter["reason"], letter["attempts"]) == ("refused", 0)
        assert (await subscriber.until_pushed(channel, "pub"))["data"] == {"n": 2, "seen": True}


async def test_a_failure_after_an_early_answer_is_told_too(site: Site) -> None:
    channel = fresh("failed", "hasty")
    async with two_clients(site) as (sender, _):
        reply = await sender.ask(**publish(channel, how="raise", fails=3))
        told = await sender.until_pushed("", "message")
        (letter,) = await site.dead_letters(channel)

        assert "publish" in reply
        assert told["data"]["refused"]["error"]["code"] == 100
        assert (letter["reason"], letter["attempts"]) == ("failed", 3)


async def test_a_dead_letter_is_handled_again_when_it_is_replayed(site: Site) -> None:
    channel = fresh("replay")
    async with two_clients(site) as (sender, subscriber):
        await subscriber.subscribe(channel)
        reply = await sender.ask(**publish(channel, 1, how="raise", fails=3))
        (letter,) = await site.dead_letters(channel)
        site.mend(channel)
        await site.dead("replay", letter["id"], "--yes")

        assert reply["error"]["code"] == 100
        assert (await subscriber.until_pushed(channel, "pub"))["data"]["n"] == 1
        assert await site.dead_letters(channel, 0) == []
