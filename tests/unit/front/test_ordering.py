"""Orders of the team's: carried out by every front, once, in the order of the log."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from broker.batch import NO_SENDER, Entry, EntryKind
from broker.partition import Partition
from broker.producer import Producer
from broker.record import Done, Outcome
from services.auth import make_token
from services.front.encodings.one_way import ONE_WAY_FRAMES
from services.front.one_way import receive as receive_one_way
from services.front.plain.answers import PlainAnswers
from services.front.plain.conversation import PlainConversation
from services.front.plain.encoding import PlainText
from services.orders import (
    DisconnectOrder,
    Order,
    RefreshOrder,
    SendOrder,
    SubscribeOrder,
    UnsubscribeOrder,
    encode_order,
    partition_of_order,
)
from services.settings import PlainConfig
from services.template import Template
from services.worker.app import run_worker
from services.worker.counting import WorkerCounters
from tests.unit.front.stage import (
    SECRET,
    Client,
    FakeClock,
    ProtobufClient,
    Stage,
    open_config,
    staging,
)
from tests.unit.front.two_fronts import two_fronts

NOW = 1_000_000.0
CONFIG = open_config(
    client={"token": {"hmac_secret_key": SECRET}, "channel_limit": 3},
    lanes={"main": {"partitions": 2}},
)
TOKENS = CONFIG.client.token


class Giver:
    """Somebody who gives orders, and waits until they are in the log."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._settled = asyncio.Event()

    async def give(self, *orders: Order) -> None:
        for order in orders:
            await self.offer(encode_order(order), partition_of_order(order, "main", 2))

    async def offer(self, payload: bytes, partition: Partition) -> None:
        self._settled.clear()
        entry = Entry(EntryKind.ORDER, "", NO_SENDER, payload)
        assert self._producer.offer(partition, entry, self)
        async with asyncio.timeout(5):
            await self._settled.wait()
        # Orders of a record are carried out after its outcomes were told.
        await asyncio.sleep(0)

    def confirmed(self) -> None:
        """See `Waiter.confirmed`."""

    def settled(self, outcome: Outcome) -> None:
        """See `Waiter.settled`."""
        assert type(outcome) is not Done
        self._settled.set()

    def refused(self) -> None:
        """See `Waiter.refused`."""
        raise AssertionError("the pool is open")

    def given_up(self) -> None:
        """See `Waiter.given_up`."""
        raise AssertionError("there is a worker")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def stage(clock: FakeClock) -> AsyncIterator[Stage]:
    """A front that knows users."""
    async with staging(CONFIG, clock=clock, wall_clock=lambda: NOW + clock.now - 1000) as stage:
        yield stage


@pytest.fixture
def giver(stage: Stage) -> Giver:
    return Giver(stage.parts.producer)


async def come(stage: Stage, user: str, **claims: Any) -> Client:
    return await stage.client(token=make_token(TOKENS, user, **claims))


def pushes(client: Client) -> list[Any]:
    return [news["push"] for news in client.news() if "push" in news]


async def test_a_message_reaches_all_sessions_of_its_user_and_no_others(
    stage: Stage, giver: Giver
) -> None:
    anns = [await come(stage, "ann") for _ in range(3)]
    others = [await come(stage, "bob"), await stage.client()]
    await giver.give(SendOrder(user="ann", data=msgspec.Raw(b'{"n":\n1}')))
    assert [pushes(ann) for ann in anns] == [[{"message": {"data": {"n": 1}}}]] * 3
    assert [pushes(other) for other in others] == [[], []]


async def test_an_order_for_one_client_reaches_it_alone_with_or_without_its_user(
    stage: Stage, giver: Giver
) -> None:
    ann, other, nobody = await come(stage, "ann"), await come(stage, "ann"), await stage.client()
    for user, client in (("ann", ann), ("", ann), ("", nobody), ("bob", other)):
        order = SendOrder(user=user, client=client.session.id, data=msgspec.Raw(b"1"))
        await giver.give(order)
    assert [len(pushes(client)) for client in (ann, other, nobody)] == [2, 0, 1]


async def test_orders_of_one_user_are_carried_out_in_order(stage: Stage, giver: Giver) -> None:
    ann = await come(stage, "ann")
    orders = [SendOrder(user="ann", data=msgspec.Raw(b"%d" % n)) for n in range(20)]
    await giver.give(*orders)
    assert [push["message"]["data"] for push in pushes(ann)] == list(range(20))


@pytest.mark.parametrize(
    ("order", "closed"),
    [
        (DisconnectOrder(user="ann"), (3503, "force disconnect")),
        (DisconnectOrder(user="ann", code=4123, reason="come back"), (4123, "come back")),
        (DisconnectOrder(user="ann", code=3001, reason=""), (3001, "shutdown")),
        (DisconnectOrder(user="ann", code=77, reason="x"), (3503, "x")),
    ],
)
async def test_sessions_are_ended_with_the_teams_code(
    stage: Stage, giver: Giver, order: DisconnectOrder, closed: tuple[int, str]
) -> None:
    ann, bob = await come(stage, "ann"), await come(stage, "bob")
    await giver.give(order)
    assert ann.line.closed == closed
    assert bob.closed is None
    assert stage.parts.sessions.find("ann", "") == []
    assert stage.parts.sessions.find("", ann.session.id) == []


async def test_subscriptions_end_one_or_all(stage: Stage, giver: Giver) -> None:
    ann = await come(stage, "ann")
    for number, channel in enumerate(("a", "b", "plain:c"), 2):
        await ann.ask({"id": number, "subscribe": {"channel": channel}})
    await giver.give(UnsubscribeOrder(user="ann", channel="b", code=2100, reason="enough"))
    assert pushes(ann) == [{"channel": "b", "unsubscribe": {"code": 2100, "reason": "enough"}}]
    await giver.give(UnsubscribeOrder(user="ann"))
    told = {push["channel"]: push["unsubscribe"] for push in pushes(ann)}
    gone = {"code": 2000, "reason": "server unsubscribe"}
    assert told == {"a": gone, "plain:c": gone}
    assert len(stage.parts.hub) == 0
    assert ann.closed is None


async def test_what_a_client_cannot_make_anew_ends_its_session(stage: Stage, giver: Giver) -> None:
    ann = await come(stage, "ann")
    await giver.give(
        SubscribeOrder(user="ann", channel="a"),
        UnsubscribeOrder(user="ann", channel="a", code=2502, reason="state invalidated"),
    )
    assert ann.closed == 3014


@pytest.mark.parametrize("client_of", [Client, ProtobufClient])
async def test_a_client_is_put_into_a_channel_as_if_its_token_had(
    stage: Stage, giver: Giver, client_of: type[Client]
) -> None:
    ann = client_of(stage.parts)
    await ann.connect(token=make_token(TOKENS, "ann"))
    await ann.ask({"id": 2, "publish": {"channel": "closed:a", "data": 0}})
    order = SubscribeOrder(
        user="ann",
        channel="$a",
        info=msgspec.Raw(b'{"role":"host"}'),
        data=msgspec.Raw(b'{"n":1}'),
    )
    await giver.give(order, order)
    (push,) = pushes(ann)
    subscribe = push["subscribe"]
    assert push["channel"] == "$a"
    assert subscribe.pop("epoch")
    assert subscribe == {"recoverable": True, "positioned": True, "data": {"n": 1}}
    subscription = ann.session.subscription("$a")
    assert subscription is not None
    assert subscription.is_server_side
    assert subscription.chan_info == b'{"role":"host"}'
    await ann.send({"id": 3, "publish": {"channel": "$a", "data": 1}})
    assert [push["pub"]["offset"] for push in [n["push"] for n in await ann.next(2) if "push" in n]]


@pytest.mark.parametrize("channel", ["nowhere:a", "ü", "bytes:a", ""])
async def test_a_channel_that_cannot_be_is_passed_over(
    stage: Stage, giver: Giver, channel: str
) -> None:
    ann = await come(stage, "ann")
    await giver.give(
        SubscribeOrder(user="ann", channel=channel), SendOrder(user="ann", data=msgspec.Raw(b"1"))
    )
    assert pushes(ann) == [{"message": {"data": 1}}]
    assert len(stage.parts.hub) == 0


async def test_no_more_channels_than_a_session_may_have(stage: Stage, giver: Giver) -> None:
    ann = await come(stage, "ann")
    await giver.give(*(SubscribeOrder(user="ann", channel=f"plain:{n}") for n in range(4)))
    assert len(pushes(ann)) == 3
    assert ann.closed is None


async def test_a_channel_whose_log_is_not_caught_up_is_followed_when_it_is(
    stage: Stage, giver: Giver, clock: FakeClock
) -> None:
    running = asyncio.create_task(stage.parts.ordering.run())
    ann, bob = await come(stage, "ann"), await come(stage, "bob")
    for reader in stage.parts.view.readers:
        reader.is_caught_up.clear()
    ordering = stage.parts.ordering
    for user in ("ann", "bob"):
        ordering.carry_out(encode_order(SubscribeOrder(user=user, channel="a")))
    ordering.carry_out(encode_order(UnsubscribeOrder(user="bob", channel="a")))
    await asyncio.sleep(0)
    assert pushes(ann) == []
    for reader in stage.parts.view.readers:
        reader.is_caught_up.set()
    clock.turn(0.25)
    await stage.until(lambda: stage.parts.hub.is_subscribed("a"))
    assert [push["channel"] for push in pushes(ann)] == ["a"]
    assert pushes(bob) == []
    running.cancel()


async def test_a_stay_that_an_order_bounds_ends_the_session(
    stage: Stage, giver: Giver, clock: FakeClock
) -> None:
    ann = await come(stage, "ann")
    await giver.give(SubscribeOrder(user="ann", channel="a", expire_at=NOW + 5))
    clock.turn(6)
    stage.parts.wheel.turn()
    assert ann.closed == 3006


async def test_a_sessions_term_changes_and_it_is_told(
    stage: Stage, giver: Giver, clock: FakeClock
) -> None:
    ann = await come(stage, "ann", expire_at=NOW + 600)
    await giver.give(RefreshOrder(user="ann", expire_at=NOW + 10), RefreshOrder(user="ann"))
    assert pushes(ann) == [{"refresh": {"expires": True, "ttl": 10}}, {"refresh": {}}]
    await giver.give(RefreshOrder(user="ann", expire_at=NOW + 10))
    for _ in range(2):
        clock.turn(18)
        stage.parts.wheel.turn()
        ann.session.take_pong()
    assert ann.closed == 3005


@pytest.mark.parametrize("changes", [{"is_expired": True}, {"expire_at": NOW - 1}])
async def test_a_session_whose_time_is_over_ends_at_once(
    stage: Stage, giver: Giver, changes: dict[str, Any]
) -> None:
    ann = await come(stage, "ann")
    await giver.give(RefreshOrder(user="ann", **changes))
    assert ann.closed == 3005


async def test_a_one_way_client_is_told_of_orders_in_its_own_words(
    stage: Stage, giver: Giver
) -> None:
    client = Client(stage.parts, encoding=ONE_WAY_FRAMES)
    token = make_token(TOKENS, "ann")
    await receive_one_way(client.session, b'{"token":"%b"}' % token.encode())
    client.news()
    await giver.give(
        SendOrder(user="ann", data=msgspec.Raw(b"1")),
        SubscribeOrder(user="ann", channel="plain:a"),
        UnsubscribeOrder(user="ann"),
        RefreshOrder(user="ann", expire_at=NOW + 10),
    )
    assert client.news() == [
        {"message": {"data": 1}},
        {"channel": "plain:a", "subscribe": {}},
        {"channel": "plain:a", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}},
        {"refresh": {"expires": True, "ttl": 10}},
    ]


async def test_a_plain_client_is_told_when_it_is_taken_out_and_of_nothing_else(
    stage: Stage, giver: Giver
) -> None:
    plain = PlainConfig(enabled=True, welcome="")
    language = PlainText(Template(plain.relay))
    client = Client(stage.parts, encoding=language)
    token = make_token(TOKENS, "ann")
    conversation = PlainConversation(language, PlainAnswers(plain), "plain:a", token)
    await conversation.open(client.session)
    await giver.give(
        SendOrder(user="ann", data=msgspec.Raw(b"1")),
        RefreshOrder(user="ann", expire_at=NOW + 10),
        UnsubscribeOrder(user="ann"),
        DisconnectOrder(user="ann"),
    )
    stage.parts.flusher.flush()
    assert b"".join(client.wire.writes)[2:] == b"unsubscribed (2000): server unsubscribe"
    assert client.closed == 3503


async def test_who_comes_after_an_order_is_not_meant_even_if_its_log_is_read_anew(
    stage: Stage, giver: Giver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RESUME_SECONDS", "LAGGING_SECONDS"):
        monkeypatch.setattr(f"broker.follow.{name}", 0.1)
    early = await come(stage, "ann")
    order = DisconnectOrder(user="ann")
    await giver.give(order, SendOrder(user="ann", data=msgspec.Raw(b"1")))
    assert early.closed == 3503
    late = await come(stage, "ann")
    partition = partition_of_order(order, "main", 2)
    reader = stage.parts.view.readers[partition.number]
    stage.broker.lose_tail(partition, 1)
    await stage.until(lambda: reader.epoch_to_end is not None and reader.is_caught_up.is_set())
    stage.parts.view.sweep()
    await stage.until(lambda: reader.epoch_to_end is None)
    assert late.closed is None
    await giver.give(order)
    assert late.closed == 3503


async def test_an_order_that_was_missed_is_carried_out_when_its_log_is_read_anew(
    stage: Stage, giver: Giver
) -> None:
    ann = await come(stage, "ann")
    channels = ["plain:a", "plain:b", "plain:c", "plain:d"]
    for number, channel in enumerate(channels, 2):
        await ann.send({"id": number, "publish": {"channel": channel, "data": 1}})
    await ann.next(len(channels))
    for reader in stage.parts.view.readers:
        reader.is_caught_up.clear()
    await giver.give(DisconnectOrder(user="ann"))
    assert ann.closed == 3503


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b'{"order":"dance","user":"ann"}',
        b'{"order":"disconnect"}',
        b'{"order":"disconnect","user":"\\ud800"}',
        b'{"order":"send","user":"ann","data":1e999}',
        b'{"order":"subscribe","user":"ann","channel":"a","data":1e999}',
        b'{"order":"subscribe","user":"ann","channel":"a","info":"%b"}' % (b"x" * 5000),
    ],
)
async def test_what_is_no_order_does_no_harm(stage: Stage, payload: bytes) -> None:
    ann = await come(stage, "ann")
    stage.parts.ordering.carry_out(payload)
    assert ann.closed is None
    assert pushes(ann) == []
    assert len(stage.parts.hub) == 0


@pytest.mark.parametrize("expire_at", [1e308, NOW])
async def test_a_time_beyond_all_times_is_far_away(
    stage: Stage, giver: Giver, expire_at: float
) -> None:
    ann = await come(stage, "ann")
    await giver.give(SubscribeOrder(user="ann", channel="plain:a", expire_at=expire_at))
    await giver.give(RefreshOrder(user="ann", expire_at=max(expire_at, NOW + 10)))
    assert ann.closed is None


async def test_every_front_carries_out_an_order_for_its_own_sessions() -> None:
    async with two_fronts(CONFIG) as fronts:
        worker_stop = asyncio.Event()
        async with fronts.broker.open() as access, asyncio.TaskGroup() as tasks:
            tasks.create_task(run_worker(CONFIG, access, worker_stop, WorkerCounters()))
            anns = [Client(parts) for parts in fronts.parts for _ in range(2)]
            for ann in anns:
                await ann.connect(token=make_token(TOKENS, "ann"))
            await Giver(fronts.parts[0].producer).give(
                SendOrder(user="ann", data=msgspec.Raw(b"1")),
                SubscribeOrder(user="ann", channel="a"),
                DisconnectOrder(user="ann", code=4000, reason="bye"),
            )
            async with asyncio.timeout(5):
                while not all(ann.closed for ann in anns):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            for ann in anns:
                told = [sorted(push) for push in pushes(ann)]
                assert told == [["message"], ["channel", "subscribe"]]
            worker_stop.set()
