"""Of a ticker subscribers are told the newest, at most once a window, and always the last."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any, ClassVar

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from broker.partition import Partition
from services.config import load_config
from services.front import fanout as fanout_module
from services.front.conflation import Conflating, Conflation, News, find_conflation
from services.front.hub import Subscription
from services.view.history import Publication
from services.wire.errors import Disconnect
from tests.unit.front.stage import (
    OPEN,
    OPEN_CHANNELS,
    Client,
    FakeClock,
    ProtobufClient,
    Stage,
    staging,
)
from tests.unit.front.test_deltas import Reader, publication, pushed, subscribe

WINDOW_SECONDS = 0.5
TICKER = Conflating(WINDOW_SECONDS)
LIMIT_BYTES = 10_000


def windows(clock: FakeClock, conflating: Conflating = TICKER) -> Conflation:
    return Conflation(clock, lambda _: conflating, conflating.seconds, LIMIT_BYTES)


def take(
    conflation: Conflation,
    *publications: Publication,
    sequence: int = 1,
    epoch: str = "e",
    previous: Publication | None = None,
    channel: str = "a",
    conflating: Conflating = TICKER,
) -> list[int]:
    """The offsets that are told at once."""
    return told(conflation.take(channel, conflating, publications, sequence, epoch, previous))


def told(news: News | None) -> list[int]:
    return [] if news is None else [each.offset for each in news.publications]


def ended(conflation: Conflation) -> list[int]:
    """The offsets of all that is told because windows have ended."""
    offsets: list[int] = []
    while (news := conflation.end()) is not None:
        offsets += told(news)
    return offsets


# ---- windows


def test_the_first_after_a_quiet_time_is_told_at_once_and_then_the_newest_of_each_window() -> None:
    clock = FakeClock()
    conflation = windows(clock)
    assert take(conflation, publication(5)) == [5]
    assert take(conflation, publication(6)) == []
    assert take(conflation, publication(7)) == []
    assert ended(conflation) == []
    clock.turn(WINDOW_SECONDS)
    assert ended(conflation) == [7]
    assert take(conflation, publication(8)) == []
    clock.turn(WINDOW_SECONDS)
    assert ended(conflation) == [8]
    clock.turn(WINDOW_SECONDS)
    assert ended(conflation) == []
    assert take(conflation, publication(9)) == [9]


def test_a_quiet_channel_keeps_nothing() -> None:
    clock = FakeClock()
    conflation = windows(clock)
    for offset in (5, 6):
        take(conflation, publication(offset))
    assert (len(conflation), conflation.held_bytes > 0) == (1, True)
    for _ in range(2):
        clock.turn(WINDOW_SECONDS)
        ended(conflation)
    assert (len(conflation), conflation.held_bytes) == (0, 0)


def test_of_those_that_come_together_the_newest_is_told() -> None:
    assert take(windows(FakeClock()), publication(5), publication(6), publication(7)) == [7]


def test_a_channels_very_first_is_told_itself_for_it_tells_the_epoch() -> None:
    clock = FakeClock()
    conflation = windows(clock)
    assert take(conflation, publication(1), publication(2), publication(3)) == [1]
    clock.turn(WINDOW_SECONDS)
    assert ended(conflation) == [3]


def test_another_epoch_is_told_at_once_and_nothing_more_of_the_one_before() -> None:
    clock = FakeClock()
    conflation = windows(clock)
    take(conflation, publication(5), epoch="old")
    take(conflation, publication(6), epoch="old")
    clock.turn(WINDOW_SECONDS / 2)
    assert take(conflation, publication(1), epoch="new") == [1]
    assert take(conflation, publication(2), epoch="new") == []
    clock.turn(WINDOW_SECONDS / 2)
    assert ended(conflation) == []
    clock.turn(WINDOW_SECONDS / 2)
    assert ended(conflation) == [2]


def test_what_has_no_number_knows_no_epochs() -> None:
    clock = FakeClock()
    conflation = windows(clock)
    take(conflation, publication(0, 1), epoch="one period")
    assert take(conflation, publication(0, 2), epoch="the next") == []
    clock.turn(WINDOW_SECONDS)
    assert ended(conflation) == [0]


def test_what_is_told_against_is_what_was_told_last_where_deltas_are_told() -> None:
    clock, conflating = FakeClock(), Conflating(WINDOW_SECONDS, tells_deltas=True)
    conflation = windows(clock, conflating)

    def take_next(offset: int, previous: Publication | None = None) -> News | None:
        publications = [publication(offset)]
        return conflation.take("a", conflating, publications, offset, "e", previous)

    first = take_next(5, publication(4))
    assert first is not None
    assert first.previous == publication(4)
    take_next(6, publication(5))
    take_next(7, publication(6))
    clock.turn(WINDOW_SECONDS)
    news = conflation.end()
    assert news == News("a", [publication(7)], 7, "e", publication(5))
    take_next(8, publication(7))
    conflation.forget_told(lambda channel: channel == "another")
    assert conflation.held("a") == News("a", [publication(8)], 8, "e", publication(7))
    conflation.forget_told(lambda channel: channel == "a")
    take_next(9, publication(8))
    clock.turn(WINDOW_SECONDS)
    assert conflation.end() == News("a", [publication(9)], 9, "e", None)


def test_beyond_the_limit_a_publication_is_told_at_once() -> None:
    clock = FakeClock()
    conflation = windows(clock, Conflating(WINDOW_SECONDS, tells_deltas=True))
    large = [Publication(n, b"x" * (LIMIT_BYTES // 2), b"null", 0) for n in range(5, 30)]
    channels = ("a", "b", "c")
    for channel in channels:
        assert take(conflation, large[0], channel=channel) == [5]
    told_at_once = 0
    for each in large[1:]:
        for channel in channels:
            told_at_once += len(take(conflation, each, channel=channel))
            assert conflation.held_bytes <= LIMIT_BYTES
    assert told_at_once > 0
    for _ in range(3):
        clock.turn(WINDOW_SECONDS)
        ended(conflation)
    assert (len(conflation), conflation.held_bytes) == (0, 0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from("ab"), st.integers(1, 4)),
        st.tuples(st.just("turn"), st.just(""), st.integers(1, 12)),
    ),
    max_size=60,
)


class Listener:
    """Who is told of two tickers, and when."""

    lengths: ClassVar = {"a": 0.5, "b": 0.8}

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.conflation = Conflation(self.clock, lambda _: None, min(self.lengths.values()))
        self.tops = dict.fromkeys(self.lengths, 1)
        self.heard: dict[str, list[tuple[float, int]]] = {channel: [] for channel in self.lengths}

    def publish(self, channel: str, count: int) -> None:
        top = self.tops[channel]
        record = [publication(offset) for offset in range(top + 1, top + 1 + count)]
        self.tops[channel] += count
        conflating = Conflating(self.lengths[channel])
        self._hear(self.conflation.take(channel, conflating, record, 1, "e", None))

    def turn(self, tenths: int) -> None:
        for _ in range(tenths):
            self.clock.turn(0.1)
            while (news := self.conflation.end()) is not None:
                self._hear(news)

    def _hear(self, news: News | None) -> None:
        if news is not None:
            self.heard[news.channel].append((self.clock.now, news.publications[0].offset))


@given(STEPS)
def test_what_is_told_rises_ends_with_the_newest_and_comes_once_a_window(
    steps: list[tuple[str, str, int]],
) -> None:
    listener = Listener()
    for kind, channel, count in steps:
        if kind == "turn":
            listener.turn(count)
            continue
        listener.publish(channel, count)
        is_held = listener.conflation.held(channel) is not None
        assert is_held == (listener.heard[channel][-1][1] < listener.tops[channel])
    listener.turn(20)
    for channel, length in listener.lengths.items():
        offsets = [offset for _, offset in listener.heard[channel]]
        assert offsets == sorted(set(offsets))
        assert not offsets or offsets[-1] == listener.tops[channel]
        moments = [moment for moment, _ in listener.heard[channel]]
        assert all(b - a >= length - 1e-9 for a, b in pairwise(moments))
    assert (len(listener.conflation), listener.conflation.held_bytes) == (0, 0)


async def test_one_waiter_is_in_time_for_windows_of_every_length() -> None:
    clock = FakeClock()
    lengths = {"long": 60.0, "short": 0.5}
    conflation = Conflation(clock, lambda channel: Conflating(lengths[channel]), 0.5)
    news: list[str] = []

    async def tell() -> None:
        while True:
            await conflation.wait()
            found = conflation.end()
            news.extend([found.channel] if found else [])

    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(tell())
        for channel, length in lengths.items():
            for offset in (5, 6):
                take(
                    conflation, publication(offset), channel=channel, conflating=Conflating(length)
                )
            await turn(clock, 0.0)
        await turn(clock, 0.5)
        assert news == ["short"]
        for _ in range(119):
            await turn(clock, 0.5)
        assert news == ["short", "long"]
        telling.cancel()


async def turn(clock: FakeClock, seconds: float) -> None:
    clock.turn(seconds)
    for _ in range(5):
        await asyncio.sleep(0)


# ---- a front with tickers

HISTORY = {"history_size": 9, "history_ttl": "1m", **OPEN_CHANNELS}
NEWEST = {"force_recovery": True, "force_recovery_mode": "cache", "auto_cache_recover": True}
CONFLATE = {"conflate": WINDOW_SECONDS}
NAMESPACES: list[dict[str, Any]] = [
    {"name": "ticker", **CONFLATE, **HISTORY, **NEWEST},
    {"name": "stream", **CONFLATE, **HISTORY, "force_recovery": True},
    {"name": "bare", **CONFLATE, **OPEN_CHANNELS},
    {"name": "delta", **CONFLATE, "delta_publish": True, "force_recovery": True, **HISTORY},
    {"name": "silent", **CONFLATE, "echo": False, "force_recovery": True, **HISTORY},
    {"name": "all", "force_recovery": True, **HISTORY},
]


class Tickers(Stage):
    """A front whose time is turned by hand."""

    clock: FakeClock

    async def turn(self, seconds: float = WINDOW_SECONDS) -> None:
        """Let time pass, and what is due be told."""
        await turn(self.clock, seconds)
        await self.until(lambda: self.fanout.waiting_bytes == 0)


@pytest_asyncio.fixture(params=[5, 1000])
async def stage(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Tickers]:
    """With slices of few sessions, and of many."""
    monkeypatch.setattr(fanout_module, "SLICE_SESSIONS", request.param)
    config = load_config(environ={}, defaults={**OPEN, "namespace": NAMESPACES})
    clock = FakeClock()
    async with staging(config, clock=clock) as stage:
        tickers = Tickers(stage.broker, stage.parts, stage.fanout)
        tickers.clock = clock
        yield tickers


async def follow(client: Client, channel: str, **request: object) -> Any:
    (reply,) = await client.ask({"id": 2, "subscribe": {"channel": channel, **request}})
    return reply["subscribe"]


async def publish(stage: Tickers, client: Client, channel: str, *data: object) -> None:
    """Publish one after the other, and wait for the answers."""
    for each in data:
        await client.send({"id": 7, "publish": {"channel": channel, "data": each}})
        await stage.until(lambda: client.session.unanswered == 0)
    await stage.until(lambda: stage.fanout.waiting_bytes == 0)


def heard(client: Client) -> list[Any]:
    return [each["data"] for each in pushed(client.news())]


async def test_others_have_their_turn_while_many_windows_end(stage: Tickers) -> None:
    client = await stage.client()
    channels = [f"bare:{number}" for number in range(3 * fanout_module.NEWS_A_TURN)]
    client_limit = stage.parts.config.client.channel_limit
    clients = [await stage.client() for _ in range(-(-len(channels) // client_limit))]
    for number, channel in enumerate(channels):
        await follow(clients[number // client_limit], channel)
    for data in (1, 2):
        for channel in channels:
            await client.send({"id": 7, "publish": {"channel": channel, "data": data}})
            if client.session.unanswered > 50:
                await stage.until(lambda: client.session.unanswered == 0)
        await stage.until(lambda: client.session.unanswered == 0)
    assert sum(heard(each).count(1) for each in clients) == len(channels)
    stage.clock.turn(WINDOW_SECONDS)
    turns = told = 0
    while told < len(channels):
        await asyncio.sleep(0)
        told += sum(len(heard(each)) for each in clients)
        turns += told > 0
    assert turns >= 3


@pytest.mark.parametrize("channel", ["ticker:a", "stream:a", "bare:a"])
@pytest.mark.parametrize("kind", [Client, ProtobufClient])
async def test_subscribers_are_told_the_first_and_then_the_newest(
    stage: Tickers, kind: type[Client], channel: str
) -> None:
    maker = await stage.client()
    clients = [kind(stage.parts) for _ in range(9)]
    for client in clients:
        await client.connect()
        await follow(client, channel)
    await publish(stage, maker, channel, 1, 2, 3)
    assert [heard(client) for client in clients] == [[1]] * 9
    await stage.turn()
    assert [heard(client) for client in clients] == [[3]] * 9
    await publish(stage, maker, channel, 4)
    assert [heard(client) for client in clients] == [[]] * 9
    await stage.turn()
    assert [heard(client) for client in clients] == [[4]] * 9
    await stage.turn()
    await publish(stage, maker, channel, 5)
    assert [heard(client) for client in clients] == [[5]] * 9


async def test_channels_of_other_namespaces_are_told_all(stage: Tickers) -> None:
    client = await stage.client()
    await follow(client, "all:a")
    await publish(stage, client, "all:a", 1, 2, 3)
    assert heard(client) == [1, 2, 3]


async def test_a_history_has_all_and_offsets_that_are_told_rise(stage: Tickers) -> None:
    client = await stage.client()
    await follow(client, "stream:a")
    await publish(stage, client, "stream:a", 1, 2, 3, 4)
    await stage.turn()
    assert [each["offset"] for each in pushed(client.news())] == [1, 4]
    (reply,) = await client.ask({"id": 3, "history": {"channel": "stream:a", "limit": 9}})
    assert [each["data"] for each in reply["history"]["publications"]] == [1, 2, 3, 4]


async def test_who_comes_back_gets_all_it_missed_and_nothing_twice(stage: Tickers) -> None:
    maker, client = await stage.client(), await stage.client()
    await follow(client, "stream:a")
    await publish(stage, maker, "stream:a", 1, 2, 3)
    assert heard(client) == [1]
    client.session.part("stream:a")
    result = await follow(client, "stream:a", recover=True, offset=1)
    assert [each["data"] for each in result["publications"]] == [2, 3]
    await stage.turn()
    assert heard(client) == []
    await publish(stage, maker, "stream:a", 4)
    await stage.turn()
    assert heard(client) == [4]


async def test_who_joins_in_a_window_gets_the_newest_once(stage: Tickers) -> None:
    maker, early, late = [await stage.client() for _ in range(3)]
    await follow(early, "ticker:a")
    await publish(stage, maker, "ticker:a", 1, 2)
    result = await follow(late, "ticker:a")
    assert [each["data"] for each in result["publications"]] == [2]
    await stage.turn()
    assert (heard(early), heard(late)) == ([1, 2], [])
    await publish(stage, maker, "ticker:a", 3)
    await stage.turn()
    assert (heard(early), heard(late)) == ([3], [3])


async def test_who_joins_in_a_window_is_told_what_was_published_afterwards(
    stage: Tickers,
) -> None:
    maker, early, late = [await stage.client() for _ in range(3)]
    await follow(early, "ticker:a")
    await publish(stage, maker, "ticker:a", 1)
    await follow(late, "ticker:a")
    await publish(stage, maker, "ticker:a", 2)
    await stage.turn()
    assert (heard(early), heard(late)) == ([1, 2], [2])


async def test_who_left_is_told_nothing_and_leaves_nothing_behind(stage: Tickers) -> None:
    client = await stage.client()
    await follow(client, "bare:a")
    await publish(stage, client, "bare:a", 1, 2)
    client.session.part("bare:a")
    assert heard(client) == [1]
    await stage.turn()
    await stage.turn()
    assert heard(client) == []
    await follow(client, "bare:a")
    await publish(stage, client, "bare:a", 3)
    assert heard(client) == [3]


async def test_deltas_are_told_against_what_was_told_last(stage: Tickers) -> None:
    maker, early, late = [await stage.client() for _ in range(3)]
    readers = {early: Reader(), late: Reader()}

    async def publish_versions(*versions: int) -> None:
        data = [{"text": "a long text " * 20, "version": version} for version in versions]
        await publish(stage, maker, "delta:a", *data)

    await subscribe(early)
    await publish_versions(1, 2, 3)
    await subscribe(late)
    await publish_versions(4)
    await stage.turn()
    await publish_versions(5, 6)
    await stage.turn()
    await stage.turn()
    await publish_versions(7)
    news = {client: pushed(client.news()) for client in readers}
    versions = {
        client: [readers[client].read(each)["version"] for each in each_news]
        for client, each_news in news.items()
    }
    assert versions == {early: [1, 4, 6, 7], late: [4, 6, 7]}
    assert [each.get("delta", False) for each in news[early]] == [False, True, True, True]
    assert [each.get("delta", False) for each in news[late]] == [False, True, True]


async def test_whose_own_is_the_newest_is_told_nothing_without_echo(stage: Tickers) -> None:
    client, other = await stage.client(), await stage.client()
    for each in (client, other):
        await follow(each, "silent:a")
    await publish(stage, other, "silent:a", "first")
    await publish(stage, other, "silent:a", "second")
    await publish(stage, client, "silent:a", "the client's")
    await stage.turn()
    assert heard(client) == ["first"]
    assert heard(other) == ["the client's"]


async def test_where_something_may_be_missing_who_comes_back_is_not_told_what_was_held(
    stage: Tickers,
) -> None:
    client, stranger = await stage.client(), await stage.client()
    await follow(client, "stream:a")
    await follow(stranger, "bare:a")
    for channel in ("stream:a", "bare:a"):
        await publish(stage, stranger, channel, 1, 2)
    assert (heard(client), heard(stranger)) == ([1], [1])
    stage.parts.view.lose_continuity(Partition("main", 0))
    (end,) = client.news()
    assert end["push"]["unsubscribe"]["code"] == 2500
    result = await follow(client, "stream:a", recover=True, offset=1)
    assert [each["data"] for each in result["publications"]] == [2]
    await stage.turn()
    # Nobody told the one without a position to come back, and it misses nothing.
    assert (heard(client), heard(stranger)) == ([], [2])


async def test_of_an_epoch_that_has_ended_nothing_held_is_told(stage: Tickers) -> None:
    client = await stage.client()
    channel = "ticker:a"
    subscription = Subscription(client.session, channel, 0, is_positioned=False)
    client.session.join(subscription)
    client.news()
    stage.fanout.publish(channel, [publication(7)], 1, "old")
    stage.fanout.publish(channel, [publication(8)], 2, "old")
    stage.fanout.publish(channel, [publication(1)], 3, "new")
    for _ in range(3):
        await stage.turn()
    assert [(each["offset"], each.get("epoch")) for each in pushed(client.news())] == [
        (7, None),
        (1, "new"),
    ]


async def test_a_front_that_leaves_tells_what_it_holds_before_it_sends_a_client_away(
    stage: Tickers,
) -> None:
    maker, client, late = [await stage.client() for _ in range(3)]
    await follow(client, "bare:a")
    await follow(client, "stream:a")
    for channel in ("bare:a", "stream:a"):
        await publish(stage, maker, channel, 1, 2)
    await follow(late, "bare:a")
    heard(client)
    await stage.parts.sessions.disconnect_all(Disconnect.SHUTDOWN, 0.0)
    assert (client.closed, late.closed) == (3001, 3001)
    assert heard(client) == [2, 2]
    assert heard(late) == []


async def test_what_ends_together_makes_nobody_slow_who_could_not_be_written_to_yet() -> None:
    limits = {"allow_anonymous_connect_without_token": True, "queue_max_size": 400_000}
    config = load_config(environ={}, defaults={**OPEN, "namespace": NAMESPACES, "client": limits})
    clock = FakeClock()
    async with staging(config, clock=clock, has_worker=False) as stage:
        client = await stage.client()
        client.news()
        large = Publication(0, b'"' + b"x" * 40_000 + b'"', b"null", 0)
        for number in range(20):
            channel = f"bare:{number}"
            client.session.join(Subscription(client.session, channel, 0, is_positioned=False))
            for _ in range(2):
                await stage.fanout.ready()
                stage.fanout.publish(channel, [large], 1)
        assert len(await client.next(20)) == 20
        clock.turn(WINDOW_SECONDS)
        assert len(await client.next(20)) == 20
        assert client.closed is None


async def test_without_such_a_namespace_there_is_nothing_of_it() -> None:
    async with staging(has_worker=False) as stage:
        parts = stage.parts
        assert find_conflation(parts.config, parts.addresses, FakeClock()) is None
