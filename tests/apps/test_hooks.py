"""Who may come in, and into a channel, as the app says; and what holds when it says nothing."""

import asyncio
import uuid

import pytest

from tests.apps.site import Site, fresh
from tests.system.client import Client, client_of
from tests.system.connection import ConnectionLost, Reply, UnexpectedReply, connected
from tests.system.token import make_token

pytestmark = pytest.mark.timeout(60)


async def refusal(url: str, **asked: object) -> Reply:
    """What a client is told that is not let in."""
    with pytest.raises(UnexpectedReply) as refused:
        async with connected(url, **asked):
            pass
    error: Reply = refused.value.args[0]["error"]
    return error


async def error_of(client: Client, channel: str) -> Reply:
    reply = await client.ask(subscribe={"channel": channel})
    error: Reply = reply["error"]
    return error


async def test_the_connect_handler_says_who_a_client_is_and_where(site: Site) -> None:
    user, channel = f"user{uuid.uuid4().hex[:8]}", fresh("home", "room")
    asked = {"how": "welcome", "user": user, "channels": [channel]}
    async with (
        client_of(site.here, data=asked) as client,
        client_of(site.there) as other,
    ):
        present = await client.ask(presence={"channel": channel})
        known = await client.ask(rpc={"method": "whoami", "data": None})
        await other.ask(rpc={"method": "order", "data": {"what": "send", "user": user, "data": 1}})

        assert client.welcome["data"] == {"motd": "hello"}
        assert channel in client.welcome["subs"]
        info = {"name": user.title()}
        (seen,) = present["presence"]["presence"].values()
        assert (seen["user"], seen["conn_info"]) == (user, info)
        assert (known["rpc"]["data"]["user"], known["rpc"]["data"]["info"]) == (user, info)
        assert (await client.until_pushed("", "message"))["data"] == 1


async def test_the_connect_handler_is_told_whom_the_token_names_under_the_id_it_gets(
    site: Site,
) -> None:
    async with client_of(site.here, token=make_token("ada")) as client:
        (note,) = site.notes("connect", client=client.welcome["client"])

        assert note["user"] == "ada"


async def test_the_connect_handler_refuses_with_a_code_of_its_own(site: Site) -> None:
    error = await refusal(site.here, data={"how": "refuse"})

    assert error == {"code": 778, "message": "closed today"}


async def test_the_connect_handler_sends_away_for_good(site: Site) -> None:
    with pytest.raises(ConnectionLost, match=r"4501.*go away"):
        async with connected(site.here, data={"how": "disconnect"}):
            pass


@pytest.mark.parametrize("how", ["raise", "hang"])
async def test_a_connect_handler_that_fails_lets_nobody_in(how: str, site: Site) -> None:
    for url in (site.here, site.there):
        error = await refusal(url, data={"how": how})

        assert (error["code"], error["temporary"]) == (100, True)


async def test_a_bad_token_is_not_let_in_by_any_handler(site: Site) -> None:
    forged = make_token("ada", secret="not the secret of these tests at all")
    with pytest.raises(ConnectionLost, match="3500"):
        async with connected(site.here, token=forged, data={"how": "welcome", "user": "ada"}):
            pass


async def test_the_subscribe_handler_lets_in_with_what_others_see(site: Site) -> None:
    channel = fresh("welcome", "asked")
    async with client_of(site.here) as client:
        result = await client.subscribe(channel)
        present = await client.ask(presence={"channel": channel})

        assert result["data"] == {"topic": "boats"}
        (seen,) = present["presence"]["presence"].values()
        assert seen["chan_info"] == {"role": "guest"}


async def test_the_subscribe_handler_refuses_with_a_code_of_its_own(site: Site) -> None:
    async with client_of(site.here) as client:
        error = await error_of(client, fresh("refuse", "asked"))

        assert error == {"code": 779, "message": "members only"}


async def test_the_subscribe_handler_may_end_the_session(site: Site) -> None:
    async with client_of(site.here) as client:
        with pytest.raises(ConnectionLost):
            await client.subscribe(fresh("disconnect", "asked"))

        assert await client.until_lost() == (4502, "not there")


async def test_a_subscribe_handler_that_hangs_denies_and_holds_up_nobody_else(
    site: Site,
) -> None:
    async with client_of(site.here) as client, client_of(site.here) as other:
        error = await error_of(client, fresh("hang", "asked"))

        assert (error["code"], error["temporary"]) == (100, True)
        await other.subscribe(fresh("fine", "asked"))


async def refused_channel(url: str) -> Reply:
    async with client_of(url) as client:
        return await error_of(client, fresh("fine", "asked"))


async def test_without_a_worker_the_settings_say_who_comes_in(site: Site) -> None:
    """Last in this file: the workers start anew."""
    for worker in site.deployment.workers:
        worker.kill9()
    try:
        async with asyncio.TaskGroup() as tasks:
            denied = tasks.create_task(refusal(site.here))
            allowed = tasks.create_task(refused_channel(site.there))
    finally:
        for worker in site.deployment.workers:
            worker.start()
    await site.until_answering()

    assert (denied.result()["code"], denied.result()["temporary"]) == (100, True)
    # As without a handler, by which nobody may follow this channel.
    assert allowed.result()["code"] == 103
    async with client_of(site.here) as client:
        await client.subscribe(fresh("fine", "asked"))
