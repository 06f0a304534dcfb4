"""A team's handlers, as the clients of both unmodified SDKs know them, over everything they speak.

Not here: what handlers may do besides, and how they fail (`tests.apps`, whose app this is).
"""

import asyncio
import json
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from centrifuge import Client, ClientState, ReplyError

from broker.local.node import LocalNode
from tests.apps.site import Site, running_site
from tests.sdk.python_client import ClientEvents, SubscriptionEvents, follow, next_of, python_client
from tests.sdk.scenarios import FOLDER
from tests.sdk.test_node_sdk import SPOKEN, run_scenarios
from tests.system.token import make_token
from tests.system.tools import find_node

pytestmark = [pytest.mark.sdk, pytest.mark.timeout(60)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(
    tmp_path_factory: pytest.TempPathFactory, rabbit_node: LocalNode
) -> AsyncIterator[Site]:
    """Two fronts and two workers with an app."""
    prefix = f"sdk{secrets.token_hex(3)}."
    directory = tmp_path_factory.mktemp("handlers")
    async with running_site(directory, rabbit_node.amqp_url, prefix) as running:
        yield running


@pytest.fixture
def fronts(site: Site) -> list[str]:
    return site.deployment.front_urls


@pytest.mark.parametrize(("transport", "encoding"), SPOKEN)
def test_the_javascript_sdk_finds_what_it_expects(
    transport: str, encoding: str, fronts: list[str]
) -> None:
    run_scenarios(find_node(FOLDER), "handlers.mjs", transport, encoding, fronts)


class Speaker:
    """A client of the Python SDK whose data is JSON in both encodings."""

    def __init__(self, client: Client, events: ClientEvents, *, use_protobuf: bool) -> None:
        self.client = client
        self.events = events
        self._use_protobuf = use_protobuf

    def told(self, data: Any) -> Any:
        return json.loads(data) if self._use_protobuf else data

    async def rpc(self, method: str, data: Any = None) -> Any:
        written = json.dumps(data).encode() if self._use_protobuf else data
        return self.told((await self.client.rpc(method, written)).data)

    async def order(self, what: str, user: str, **rest: Any) -> None:
        await self.rpc("order", {"what": what, "user": user, **rest})


@pytest.fixture(params=[False, True], ids=["json", "protobuf"])
def use_protobuf(request: pytest.FixtureRequest) -> bool:
    wanted: bool = request.param
    return wanted


@pytest_asyncio.fixture(autouse=True)
async def _closed_sockets() -> AsyncIterator[None]:
    """Let the SDK finish: it closes its sockets in tasks that nothing waits for."""
    yield
    running = asyncio.all_tasks() - {asyncio.current_task()}
    if running:
        await asyncio.wait(running, timeout=5)


@asynccontextmanager
async def speaking(url: str, *, use_protobuf: bool, **options: Any) -> AsyncIterator[Speaker]:
    if use_protobuf and "data" in options:
        options["data"] = json.dumps(options["data"]).encode()
    async with python_client(url, use_protobuf=use_protobuf, **options) as (client, events):
        yield Speaker(client, events, use_protobuf=use_protobuf)


async def test_the_python_sdk_is_answered_and_refused(
    fronts: list[str], *, use_protobuf: bool
) -> None:
    async with speaking(fronts[0], use_protobuf=use_protobuf) as speaker:
        assert await speaker.rpc("double", 21) == 42
        with pytest.raises(ReplyError) as refused:
            await speaker.rpc("refuse")
        with pytest.raises(ReplyError) as unknown:
            await speaker.rpc("nobody")

        assert (refused.value.code, refused.value.message) == (777, "not today")
        assert unknown.value.code == 108
        assert speaker.client.state is ClientState.CONNECTED


async def test_the_python_sdk_is_let_in_as_the_handlers_say(
    fronts: list[str], *, use_protobuf: bool
) -> None:
    channel = f"open:{uuid.uuid4()}"
    data = {"how": "welcome", "user": "grace", "channels": [channel]}
    async with (
        speaking(fronts[0], use_protobuf=use_protobuf, data=data) as speaker,
        speaking(fronts[1], use_protobuf=use_protobuf, data={"how": "disconnect"}) as sent_away,
    ):
        connected = await next_of(speaker.events.connected)
        subscribed = await next_of(speaker.events.subscribed)
        followed = await follow(speaker.client, f"asked:{uuid.uuid4()}-welcome")
        refused = SubscriptionEvents()
        subscription = speaker.client.new_subscription(
            f"asked:{uuid.uuid4()}-refuse", events=refused
        )
        await subscription.subscribe()

        assert speaker.told(connected.data) == {"motd": "hello"}
        assert subscribed.channel == channel
        assert (await speaker.rpc("whoami"))["user"] == "grace"
        assert speaker.told(followed.first.data) == {"topic": "boats"}
        assert (await next_of(refused.unsubscribed)).code == 779
        assert (await next_of(sent_away.events.disconnected)).code == 4501


async def test_the_python_sdk_carries_out_what_is_ordered(
    fronts: list[str], *, use_protobuf: bool
) -> None:
    user, channel = f"user-{uuid.uuid4()}", f"open:{uuid.uuid4()}"
    token = make_token(user)
    async with (
        speaking(fronts[0], use_protobuf=use_protobuf, token=token) as speaker,
        speaking(fronts[1], use_protobuf=use_protobuf) as other,
    ):
        events = speaker.events
        await next_of(events.connecting)
        await next_of(events.connected)
        await other.order("subscribe", user, channel=channel, data={"why": "invited"})
        subscribed = await next_of(events.subscribed)
        assert (subscribed.channel, speaker.told(subscribed.data)) == (channel, {"why": "invited"})
        await other.order("unsubscribe", user, channel=channel)
        assert (await next_of(events.unsubscribed)).channel == channel

        await other.order("disconnect", user, code=4001, reason="come again")
        assert (await next_of(events.connecting)).code == 4001
        await next_of(events.connected)
        await other.order("disconnect", user, code=4501, reason="not any more")
        disconnected = await next_of(events.disconnected)
        assert (disconnected.code, disconnected.reason) == (4501, "not any more")
        assert speaker.client.state is ClientState.DISCONNECTED


async def test_a_handler_of_binary_data_is_given_bytes_and_gives_some(fronts: list[str]) -> None:
    async with python_client(fronts[0], use_protobuf=True) as (client, _):
        followed = await follow(client, f"bytes:{uuid.uuid4()}")
        await followed.subscription.publish(b"\x00\xff{")
        (publication,) = await followed.events.take(1)

        assert publication.data == b"{\xff\x00"
